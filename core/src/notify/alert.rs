//! Alerts: conditions with a beginning and an end. An event is a point in time; an alert is a
//! state.
//!
//! An alert's identity is its labels, as in Prometheus: two agents that report one condition send
//! the same alert, and Alertmanager merges them. Every agent has this book;
//! [`crate::notify::notifier`] decides which agent sends it.

mod table;

use regionmesh_protocol::{
    event::{EventKind, Severity},
    identity::AgentId,
};
use std::{cmp::Reverse, collections::BTreeMap};
pub(crate) use table::{AlertIdentity, MeshAlert};
pub use table::{AlertRow, KnownBy, rows};

/// Most alerts kept. Beyond that the most numerous give way, and omitted ones are counted.
pub(crate) const ALERTS_MAX: usize = 256;
/// How long a resolved alert is kept, milliseconds, so that an agent that becomes responsible in
/// that time still sends its end.
pub(crate) const RESOLVED_RETENTION_MS: u64 = 5 * 60 * 1_000;

/// The labels that identify an alert.
pub type Labels = BTreeMap<&'static str, String>;

/// A condition that operators should know of while it is active.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    /// Its identity: `alertname`, `mesh`, `severity`, and what it is about.
    pub labels: Labels,
    /// The kind of the events that begin and end it.
    pub kind: EventKind,
    /// How urgent it is.
    pub severity: Severity,
    /// In one sentence.
    pub summary: String,
    /// The latest details.
    pub description: String,
    /// When it began, Unix milliseconds.
    pub starts_ms: u64,
    /// When it ended, Unix milliseconds; none while it is active.
    pub ended_ms: Option<u64>,
    /// The only agent that can know of it; none if every agent can.
    pub reported_by: Option<AgentId>,
}

impl Alert {
    pub fn name(&self) -> &str {
        self.labels.get("alertname").map_or("", String::as_str)
    }

    /// What it is about, apart from a region: the values of its other labels, in the order of their
    /// names.
    pub fn about(&self) -> String {
        let is_about =
            |label: &&str| !matches!(*label, "alertname" | "mesh" | "severity" | "region");
        let values = self
            .labels
            .iter()
            .filter(|(label, _)| is_about(label))
            .map(|(_, value)| value.as_str());

        values.collect::<Vec<_>>().join(" ")
    }
}

/// Active and recently resolved alerts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AlertBook {
    alerts: BTreeMap<Labels, Alert>,
    left_out: u64,
}

impl AlertBook {
    /// Raises an alert. An active one keeps its start time and gets the new description.
    pub(crate) fn raise(&mut self, alert: Alert) {
        match self.alerts.get_mut(&alert.labels) {
            Some(known) if known.ended_ms.is_none() => known.description = alert.description,
            Some(known) => *known = alert,
            None => {
                let has_room = self.alerts.len() < ALERTS_MAX;
                if !has_room {
                    self.left_out = self.left_out.saturating_add(1);
                }
                if has_room || self.makes_room(&alert) {
                    self.alerts.insert(alert.labels.clone(), alert);
                }
            }
        }
    }

    /// Makes room for a further alert in a full book; returns whether it could. One of the most
    /// numerous name gives way, if that name has at least two more than the new alert's, or one
    /// more and the new alert is more severe. Every name keeps its part of the book, and no two
    /// alerts replace each other in turn.
    fn makes_room(&mut self, alert: &Alert) -> bool {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for known in self.alerts.values() {
            *counts.entry(known.name()).or_default() += 1;
        }

        let count = |alert: &Alert| counts.get(alert.name()).copied().unwrap_or(0);
        let rank = |known: &&Alert| {
            (
                count(known),
                Reverse(known.severity),
                known.ended_ms.is_some(),
                known.starts_ms,
            )
        };

        let most = self.alerts.values().max_by_key(rank);
        let most =
            most.filter(|most| (count(most), alert.severity) > (count(alert) + 1, most.severity));
        let Some(labels) = most.map(|most| most.labels.clone()) else {
            return false;
        };

        self.alerts.remove(&labels).is_some()
    }

    /// Ends every alert of this name whose labels match `claim`.
    pub fn end(&mut self, name: &str, now_ms: u64, claim: impl Fn(&Labels) -> bool) {
        let active = self
            .alerts
            .values_mut()
            .filter(|alert| alert.ended_ms.is_none() && alert.name() == name);

        for alert in active.filter(|alert| claim(&alert.labels)) {
            alert.ended_ms = Some(now_ms.max(alert.starts_ms));
        }
    }

    /// Whether an alert with this name and label is active.
    pub fn holds(&self, name: &str, label: &str, value: &str) -> bool {
        let is_it = |alert: &&Alert| {
            alert.name() == name && alert.labels.get(label).is_some_and(|is| is == value)
        };
        self.alerts
            .values()
            .filter(|alert| alert.ended_ms.is_none())
            .any(|alert| is_it(&alert))
    }

    /// Forgets what ended long ago.
    pub fn forget(&mut self, now_ms: u64) {
        self.alerts.retain(|_, alert| {
            alert
                .ended_ms
                .is_none_or(|ended_ms| now_ms < ended_ms + RESOLVED_RETENTION_MS)
        });
    }

    /// All alerts, including resolved ones.
    pub fn iter(&self) -> impl Iterator<Item = &Alert> {
        self.alerts.values()
    }

    /// How many were omitted for lack of room.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
