//! Events and alerts about certificates that should have been renewed.

use super::ChangeDetector;
use crate::notify::alert::{AlertIdentity, MeshAlert};
use regionmesh_protocol::{
    event::{Event, EventKind},
    identity::AgentId,
};
use std::collections::{BTreeMap, BTreeSet};

/// Validity of a certificate, Unix seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// The first valid second.
    pub not_before_s: i64,
    /// The last valid second.
    pub not_after_s: i64,
}

const DAY_S: i64 = 24 * 3_600;
/// The stages of expiry, the last first: the alert, the divisor of the certificate's lifetime below
/// which it begins, and the most time left at which it begins, seconds. A fraction, since a
/// certificate may be valid for hours or for years.
const STAGES: [(MeshAlert, i64, i64); 2] = [
    (MeshAlert::CertificateExpiryImminent, 20, 2 * DAY_S),
    (MeshAlert::CertificateExpiring, 5, 7 * DAY_S),
];

/// The stages that a certificate is in.
fn stages(validity: &Validity, now_s: i64) -> impl Iterator<Item = MeshAlert> {
    let lifetime_s = validity.not_after_s.saturating_sub(validity.not_before_s);
    let left_s = validity.not_after_s.saturating_sub(now_s);
    STAGES
        .into_iter()
        .filter(move |(_, part, most_s)| left_s < (*most_s).min(lifetime_s / part))
        .map(|(alert, ..)| alert)
}

impl ChangeDetector {
    /// Takes in the certificates of all living agents, changed or not.
    pub fn certificates(
        &mut self,
        certificates: &BTreeMap<AgentId, Validity>,
        now_ms: u64,
    ) -> Vec<Event> {
        let now_s = i64::try_from(now_ms / 1_000).unwrap_or(i64::MAX);
        let mut events = Vec::new();
        for (agent, validity) in certificates {
            for alert in stages(validity, now_s) {
                events.extend(self.expiring(agent, validity, alert, now_ms));
            }
        }

        // The certificate of an absent agent is unknown: it gets neither better nor worse.
        self.expiring.retain(|(agent, not_after_s, _)| {
            certificates
                .get(agent)
                .is_none_or(|validity| validity.not_after_s == *not_after_s)
        });

        for (alert, ..) in STAGES {
            let is_over = |(_, validity): &(&AgentId, &Validity)| {
                stages(validity, now_s).all(|stage| stage != alert)
            };
            let renewed: BTreeSet<String> = certificates
                .iter()
                .filter(is_over)
                .map(|(agent, _)| agent.to_string())
                .collect();

            self.book.end(alert.name(), now_ms, |labels| {
                renewed.contains(&labels["agent"])
            });
        }

        events
    }

    /// Raises the alert of one stage; returns its event the first time.
    fn expiring(
        &mut self,
        agent: &AgentId,
        validity: &Validity,
        alert: MeshAlert,
        now_ms: u64,
    ) -> Option<Event> {
        let now_s = i64::try_from(now_ms / 1_000).unwrap_or(i64::MAX);
        let left_h = validity.not_after_s.saturating_sub(now_s).max(0) / 3_600;
        let summary = format!("the certificate of {agent} expires soon");
        let description = format!("it expires in {left_h} h; from then on the agent is cut off");
        let name = agent.to_string();

        self.raise(
            EventKind::Certificate,
            alert,
            &[("agent", &name)],
            summary.clone(),
            &description,
            now_ms,
        );

        let stage = (agent.clone(), validity.not_after_s, alert);
        if !self.expiring.insert(stage) {
            return None;
        }

        let urgency = if alert == MeshAlert::CertificateExpiryImminent {
            ":imminent"
        } else {
            ""
        };
        let expires_s = validity.not_after_s.to_string();

        Some(Event {
            id: format!("certificate:{agent}:{expires_s}{urgency}"),
            kind: EventKind::Certificate,
            severity: AlertIdentity::from(alert).severity,
            time_ms: now_ms,
            region: Some(agent.region.clone()),
            fields: [("agent", name), ("expires_s", expires_s)].into(),
            text: format!("{summary}: {description}"),
            reported_by: None,
        })
    }
}
