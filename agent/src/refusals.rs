//! What peers asked for and did not get: counted, written down, and shown as a problem.
//!
//! A refusal means that a peer runs another version or configuration, or that somebody else holds
//! its key. Either way somebody should look, so each one is counted by reason, audited, and a
//! problem of the agent that refused.

use prometheus::{IntCounterVec, Opts, Registry};
use regionmesh_protocol::{status::problem::ProblemKind, wire::PeerRefusal};
use regionmesh_runtime::{logging::Reminder, problems::Problems};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// How often the same refusal of the same peer is written down.
const AUDIT_EVERY: Duration = Duration::from_secs(1);
/// A peer that was refused nothing for this long is no problem any more.
const OVER_AFTER: Duration = Duration::from_secs(300);
/// Most peers that are remembered: more than a mesh has.
const PEERS_MAX: usize = 1_024;

/// Reasons beside those of [`PeerRefusal`].
pub mod reason {
    /// A ballot further than one step from what a majority of acceptors promised.
    pub const BALLOT_TOO_FAR: &str = "ballot-too-far";
    /// A plan that no majority accepted.
    pub const PLAN_NOT_COMMITTED: &str = "plan-not-committed";
    /// A claim to lead under a ballot that no majority promised.
    pub const NOT_THE_LEADER: &str = "not-the-leader";
    /// A request to reset an acceptor to a plan that is not known to be committed.
    pub const JOIN_NOT_DECIDED: &str = "join-not-decided";
    /// A plan with a region or address that is not in this agent's configuration.
    pub const UNKNOWN_ADDRESS: &str = "unknown-address";
    /// An acceptor that is further than a majority can be.
    pub const ACCEPTOR_IMPLAUSIBLE: &str = "acceptor-implausible";
    /// An answer without a proof, or with a wrong one.
    pub const ANSWER_NOT_PROVEN: &str = "answer-not-proven";
    /// A request that can't be read.
    pub const MALFORMED: &str = "malformed";

    /// All of them.
    pub const ALL: [&str; 8] = [
        BALLOT_TOO_FAR,
        PLAN_NOT_COMMITTED,
        NOT_THE_LEADER,
        JOIN_NOT_DECIDED,
        UNKNOWN_ADDRESS,
        ACCEPTOR_IMPLAUSIBLE,
        ANSWER_NOT_PROVEN,
        MALFORMED,
    ];
}

/// Counts, writes down and shows refusals. Clones are the same.
#[derive(Debug, Clone)]
pub struct Refusals {
    counted: IntCounterVec,
    problems: Problems,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    audited: Reminder<(String, &'static str)>,
    /// When each peer was last refused something.
    last: BTreeMap<String, Instant>,
}

impl Refusals {
    /// Registers the counter.
    pub fn new(registry: &Registry, problems: Problems) -> prometheus::Result<Self> {
        let counted = IntCounterVec::new(
            Opts::new(
                "regionmesh_peer_refusals_total",
                "What peers asked for or claimed and this agent refused, by reason.",
            ),
            &["reason"],
        )?;

        registry.register(Box::new(counted.clone()))?;
        // From 0, so that an alert sees the first of each.
        PeerRefusal::REASONS
            .iter()
            .chain(&reason::ALL)
            .for_each(|reason| drop(counted.with_label_values(&[*reason])));

        let state = State {
            audited: Reminder::new(AUDIT_EVERY),
            last: BTreeMap::new(),
        };

        Ok(Self {
            counted,
            problems,
            state: Arc::new(Mutex::new(state)),
        })
    }

    /// Counts a refusal of `peer`, an agent or a region, and makes it known.
    pub fn refuse(&self, peer: &str, reason: &'static str, what: &str) {
        self.counted.with_label_values(&[reason]).inc();
        let now = Instant::now();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);

        if state.last.len() >= PEERS_MAX && !state.last.contains_key(peer) {
            return;
        }
        state.last.insert(peer.to_owned(), now);

        if let Some(left_out) = state.audited.admit(&(peer.to_owned(), reason), now) {
            // Debug forms: what a peer sent may hold line breaks, which would forge lines.
            tracing::warn!(target: "regionmesh::audit", ?peer, reason, ?what, left_out, "refused a peer");
            let advice = "if it runs this version and configuration, its key may be stolen: see \
                docs/explanation/security.md";
            self.problems.set(
                ProblemKind::PeerRefused,
                peer,
                format!("{reason}: {what}; {advice}"),
            );
        }
    }

    /// Counts something that has a problem of its own.
    pub fn count_one(&self, reason: &'static str) {
        self.counted.with_label_values(&[reason]).inc();
    }

    /// Ends the problems of peers that were refused nothing for a while.
    pub fn expire(&self, now: Instant) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let State { audited, last } = &mut *state;
        let before = last.len();

        last.retain(|_, at| now.saturating_duration_since(*at) < OVER_AFTER);
        if last.len() < before {
            audited.retain(|(peer, _)| last.contains_key(peer));
            self.problems
                .retain(ProblemKind::PeerRefused, |peer| last.contains_key(peer));
        }
    }

    /// How often something was refused for `reason`.
    pub fn count(&self, reason: &str) -> u64 {
        self.counted.with_label_values(&[reason]).get()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_a_problem_of_that_peer_until_it_was_quiet_for_a_while() {
        let problems = Problems::default();
        let refusals = Refusals::new(&Registry::new(), problems.clone()).unwrap();
        for _ in 0..3 {
            refusals.refuse("a/0", reason::BALLOT_TOO_FAR, "ballot 18446744073709551615");
        }

        let active = problems.active();
        assert_eq!((active.len(), active[0].subject.as_str()), (1, "a/0"));
        assert!(
            active[0].detail.contains("ballot 18446744073709551615"),
            "{active:?}"
        );

        assert_eq!(
            [reason::BALLOT_TOO_FAR, reason::MALFORMED].map(|reason| refusals.count(reason)),
            [3, 0]
        );

        refusals.expire(Instant::now());
        assert_eq!(problems.active().len(), 1);
        refusals.expire(Instant::now() + OVER_AFTER);
        assert_eq!(problems.active(), []);
    }
}
