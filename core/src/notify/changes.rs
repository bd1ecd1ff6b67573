//! The change detector: from what an agent sees of the mesh to events
//! ([`regionmesh_protocol::event::Event`]) and alerts ([`Alert`]).
//!
//! It receives each change of what all agents hold, compares it with what it received before, and
//! returns events. Ids are made from what is equal at every agent (a stamp, a ballot, the
//! observers' own clocks), never from when this agent noticed. An agent that starts reports only
//! those of its first findings that need attention.

mod certificates;
mod conflicts;
mod leader;
mod money;
mod orders;
mod plan;
mod problems;
mod ramp;
mod table;
#[cfg(test)]
mod tests;
mod verdict;
mod zone;

pub use certificates::Validity;
pub use table::{EVENT_ROWS, EventRow};
pub use verdict::{Judged, agreed_since};
pub use zone::ZoneState;

use crate::{
    notify::alert::{Alert, AlertBook, AlertIdentity, Labels, MeshAlert},
    recovery::ramp::RecoveryPolicy,
};
use regionmesh_protocol::{
    event::EventKind,
    identity::{AgentId, MeshName, RegionName},
    plan::CommittedPlan,
    register::ballot::Ballot,
    status::{
        condition::Condition,
        money::Notices,
        problem::{Problem, ProblemKind},
    },
    text::is_unprintable,
};
use std::collections::{BTreeMap, BTreeSet};

/// Longest text of a peer that an event or alert quotes, characters.
const QUOTED_MAX: usize = 1_000;
/// What identifies a problem in the mesh: agent, kind, subject.
type ProblemKey = (AgentId, ProblemKind, String);

/// The change detector of one agent.
#[derive(Debug)]
pub struct ChangeDetector {
    mesh: MeshName,
    own: AgentId,
    recovery: RecoveryPolicy,
    book: AlertBook,
    conditions: BTreeMap<RegionName, Condition>,
    plan: Option<CommittedPlan>,
    leader: Option<Ballot>,
    /// Since when no agent leads.
    leaderless_ms: Option<u64>,
    zones: BTreeMap<String, ZoneState>,
    conflicts: Option<BTreeSet<(String, String)>>,
    expiring: BTreeSet<(AgentId, i64, MeshAlert)>,
    problems: BTreeMap<ProblemKey, Problem>,
    notices: Notices,
}

impl ChangeDetector {
    /// The change detector of the agent `own`, before the first input.
    pub fn new(mesh: MeshName, own: AgentId, recovery: RecoveryPolicy) -> Self {
        Self {
            mesh,
            own,
            recovery,
            book: AlertBook::default(),
            conditions: BTreeMap::new(),
            plan: None,
            leader: None,
            leaderless_ms: None,
            zones: BTreeMap::new(),
            conflicts: None,
            expiring: BTreeSet::new(),
            problems: BTreeMap::new(),
            notices: Notices::default(),
        }
    }

    /// Active and recently resolved alerts.
    pub fn alerts(&self) -> &AlertBook {
        &self.book
    }

    /// Forgets alerts that ended long ago.
    pub fn forget(&mut self, now_ms: u64) {
        self.book.forget(now_ms);
    }

    /// Raises an alert, or updates an active one.
    fn raise(
        &mut self,
        kind: EventKind,
        alert: impl Into<AlertIdentity>,
        about: &[(&'static str, &str)],
        summary: String,
        details: &str,
        starts_ms: u64,
    ) {
        let AlertIdentity { name, severity } = alert.into();
        let mut labels: Labels = about
            .iter()
            .map(|(label, value)| (*label, (*value).to_owned()))
            .collect();

        labels.insert("alertname", name.into());
        labels.insert("mesh", self.mesh.to_string());
        labels.insert("severity", severity.to_string());

        let reported_by =
            matches!(kind, EventKind::FenceLost | EventKind::Drift).then(|| self.own.clone());
        let description = quoted(details);

        self.book.raise(Alert {
            labels,
            kind,
            severity,
            summary,
            description,
            starts_ms,
            ended_ms: None,
            reported_by,
        });
    }
}

/// A stamp with its boot number, unique to one plan, without spaces.
fn stamp(committed: &CommittedPlan) -> String {
    format!(
        "{}#{}",
        ballot(&committed.stamp.ballot),
        committed.stamp.seq
    )
}

fn ballot(ballot: &Ballot) -> String {
    format!("{ballot}.{:x}", ballot.boot)
}

/// Text that partly comes from peers, made safe for a line of JSON or a terminal.
fn quoted(text: &str) -> String {
    text.chars()
        .map(|c| if is_unprintable(c) { ' ' } else { c })
        .take(QUOTED_MAX)
        .collect()
}
