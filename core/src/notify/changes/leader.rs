//! Who leads.

use super::{ChangeDetector, ballot};
use crate::notify::alert::MeshAlert;
use regionmesh_protocol::{
    event::{Event, EventKind, Severity},
    register::ballot::Ballot,
};
use std::collections::BTreeMap;

/// How long the mesh must be without a leader until that is an event, milliseconds: elections take
/// less.
const LEADERLESS_MS: u64 = crate::notify::notifier::LEADERLESS_MS;

impl ChangeDetector {
    /// Takes in who leads, changed or not; call it at least once a second.
    pub fn leader(&mut self, leader: Option<&Ballot>, now_ms: u64) -> Option<Event> {
        let Some(leader) = leader else {
            let since_ms = *self.leaderless_ms.get_or_insert(now_ms);
            if now_ms.saturating_sub(since_ms) < LEADERLESS_MS
                || self
                    .book
                    .holds(MeshAlert::NoLeader.name(), "mesh", &self.mesh.to_string())
            {
                return None;
            }

            let summary = "no agent leads: the plan can't change".to_owned();
            let details = format!(
                "{} has seen no leader for {} s",
                self.own,
                LEADERLESS_MS / 1_000
            );

            self.raise(
                EventKind::Leader,
                MeshAlert::NoLeader,
                &[],
                summary.clone(),
                &details,
                since_ms,
            );

            let last = self.leader.as_ref().map_or_else(|| "none".into(), ballot);
            return Some(Event {
                id: format!("leader:lost:{last}"),
                kind: EventKind::Leader,
                severity: Severity::Critical,
                time_ms: since_ms,
                region: None,
                fields: [("last", last)].into(),
                text: summary,
                reported_by: None,
            });
        };

        self.leaderless_ms = None;
        self.book.end(MeshAlert::NoLeader.name(), now_ms, |_| true);
        if self.leader.as_ref() == Some(leader) {
            return None;
        }

        let before = self.leader.replace(leader.clone());
        let mut fields: BTreeMap<_, _> = [
            ("leader", leader.agent.to_string()),
            ("ballot", leader.number.to_string()),
        ]
        .into();

        fields.extend(before.map(|before| ("before", before.agent.to_string())));
        Some(Event {
            id: format!("leader:{}", ballot(leader)),
            kind: EventKind::Leader,
            severity: Severity::Info,
            time_ms: now_ms,
            region: Some(leader.agent.region.clone()),
            fields,
            text: format!("{} leads, by ballot {}", leader.agent, leader.number),
            reported_by: None,
        })
    }
}
