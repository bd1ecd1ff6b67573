//! Refused requests and claims of peers: counted, audited, and reported as problems.
//!
//! A refusal means that a peer runs another version or configuration, or that its key was stolen.
//! An operator should look into both, so each refusal is counted by reason, audited, and reported
//! as a problem of the agent that refused.

use parking_lot::Mutex;
use prometheus::{IntCounterVec, register_int_counter_vec_with_registry};
use regionmesh_protocol::{status::problem::ProblemKind, wire::PeerRefusal};
use regionmesh_runtime::{logging::KeyedThrottle, metrics::Registry, problems::Problems};
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

/// Interval at which the same refusal of the same peer is audited.
const AUDIT_EVERY: Duration = Duration::from_secs(1);
/// Time without refusals after which a peer's problem ends.
const OVER_AFTER: Duration = Duration::from_secs(300);
/// Limit on remembered peers: more than a mesh has.
const PEERS_MAX: usize = 1_024;

/// Reasons in addition to those of [`PeerRefusal`].
pub(crate) mod reason {
    /// A ballot more than one step beyond what a majority of acceptors promised.
    pub(crate) const BALLOT_TOO_FAR: &str = "ballot-too-far";
    /// A plan that was not accepted by a majority.
    pub(crate) const PLAN_NOT_COMMITTED: &str = "plan-not-committed";
    /// A claim to lead under a ballot that was not promised by a majority.
    pub(crate) const NOT_THE_LEADER: &str = "not-the-leader";
    /// A request to reset an acceptor to a plan that is not known to be committed.
    pub(crate) const JOIN_NOT_DECIDED: &str = "join-not-decided";
    /// A plan with a region or address that is not in this agent's configuration.
    pub(crate) const UNKNOWN_ADDRESS: &str = "unknown-address";
    /// An acceptor's state beyond what a majority can have reached.
    pub(crate) const ACCEPTOR_IMPLAUSIBLE: &str = "acceptor-implausible";
    /// An answer without a valid proof.
    pub(crate) const ANSWER_NOT_PROVEN: &str = "answer-not-proven";
    /// A request that can't be read.
    pub(crate) const MALFORMED: &str = "malformed";

    /// All of these reasons.
    pub(crate) const ALL: [&str; 8] = [
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

/// The counter of refusals.
#[derive(Debug, Clone)]
pub struct RefusalMetrics {
    counted: IntCounterVec,
}

/// Counts, audits and reports refusals. Clones share their state.
#[derive(Debug, Clone)]
pub struct Refusals {
    counted: IntCounterVec,
    problems: Problems,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    audited: KeyedThrottle<(String, &'static str)>,
    /// When each peer was last refused something.
    last: BTreeMap<String, Instant>,
}

impl RefusalMetrics {
    /// Registers the counter.
    pub fn new(registry: &Registry) -> prometheus::Result<Self> {
        let counted = register_int_counter_vec_with_registry!(
            "regionmesh_peer_refusals_total",
            "Requests and claims of peers refused, by reason.",
            &["reason"],
            registry
        )?;

        // Start at 0, so that alerts see the first refusal of each kind.
        PeerRefusal::REASONS
            .iter()
            .chain(&reason::ALL)
            .for_each(|reason| drop(counted.with_label_values(&[*reason])));

        Ok(Self { counted })
    }
}

impl Refusals {
    /// No refusals yet; those to come are reported in `problems`.
    pub fn new(metrics: RefusalMetrics, problems: Problems) -> Self {
        let state = State {
            audited: KeyedThrottle::new(AUDIT_EVERY),
            last: BTreeMap::new(),
        };

        Self {
            counted: metrics.counted,
            problems,
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// Counts, audits and reports a refusal of `peer`, an agent or a region.
    pub fn refuse(&self, peer: &str, reason: &'static str, what: &str) {
        self.counted.with_label_values(&[reason]).inc();
        let now = Instant::now();
        let mut state = self.state.lock();

        if state.last.len() >= PEERS_MAX && !state.last.contains_key(peer) {
            return;
        }
        state.last.insert(peer.to_owned(), now);

        if let Some(left_out) = state.audited.admit(&(peer.to_owned(), reason), now) {
            // Debug format: line breaks in a peer's data could forge log lines.
            tracing::warn!(
                target: "regionmesh::audit",
                ?peer,
                reason,
                ?what,
                left_out,
                "refused a peer"
            );
            let advice = "if it runs this version and configuration, its key may be stolen: see \
                docs/explanation/security.md";
            self.problems.set(
                ProblemKind::PeerRefused,
                peer,
                format!("{reason}: {what}; {advice}"),
            );
        }
    }

    /// Counts a refusal that is not reported as a problem of the peer.
    pub fn count_one(&self, reason: &'static str) {
        self.counted.with_label_values(&[reason]).inc();
    }

    /// Ends the problems of peers without recent refusals.
    pub fn expire(&self, now: Instant) {
        let mut state = self.state.lock();
        let State { audited, last } = &mut *state;
        let before = last.len();

        last.retain(|_, at| now.saturating_duration_since(*at) < OVER_AFTER);
        if last.len() < before {
            audited.retain(|(peer, _)| last.contains_key(peer));
            self.problems
                .retain(ProblemKind::PeerRefused, |peer| last.contains_key(peer));
        }
    }

    /// Number of refusals for `reason`.
    pub fn count(&self, reason: &str) -> u64 {
        self.counted.with_label_values(&[reason]).get()
    }
}

#[cfg(test)]
mod tests;
