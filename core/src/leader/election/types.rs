//! What goes into an election and comes out of it.

use regionmesh_protocol::{identity::RegionName, register::ballot::Ballot};
use std::collections::BTreeSet;

/// Delays and timeouts of an election, milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ElectionSettings {
    /// Shortest delay before an attempt.
    pub(crate) delay_min_ms: u64,
    /// Longest delay before the first attempt; doubled with each further one.
    pub(crate) delay_max_ms: u64,
    /// No delay is longer than this.
    pub(crate) delay_cap_ms: u64,
    /// By how much longer each further agent of a region waits: their candidates would fence each
    /// other, as each asks other voters.
    pub(crate) turn_ms: u64,
    /// How long a candidate waits for votes.
    pub(crate) votes_ms: u64,
    /// How long it waits if the sound regions could elect it but refused, and only failed ones are
    /// left to answer: their agents are rarely alive.
    pub(crate) failed_votes_ms: u64,
    /// How long a proposer that used our acceptor counts as a working leader, until gossip says who
    /// leads.
    pub(crate) heard_ms: u64,
    /// How long a vote that we granted is not granted to another: simultaneous candidates would
    /// fence each other.
    pub(crate) lend_ms: u64,
    /// How long an outranked leader is not a candidate: if two sides see only a third party (a
    /// witness), leadership would swing between them.
    pub(crate) hold_off_ms: u64,
}

impl Default for ElectionSettings {
    fn default() -> Self {
        Self {
            delay_min_ms: 50,
            delay_max_ms: 300,
            delay_cap_ms: 2_000,
            turn_ms: 1_000,
            votes_ms: 1_000,
            failed_votes_ms: 300,
            heard_ms: 1_000,
            lend_ms: 400,
            hold_off_ms: 5_000,
        }
    }
}

/// The leader according to gossip.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownLeader {
    /// The highest ballot under which an agent says that it leads.
    pub ballot: Ballot,
    /// Whether SWIM considers that agent alive.
    pub is_alive: bool,
}

/// What this agent sees when it decides.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ElectionView {
    /// The leader, unless it is this agent.
    pub leader: Option<KnownLeader>,
    /// Regions whose verdict is failed.
    pub failed: BTreeSet<RegionName>,
    /// The register's members as far as known.
    pub members: BTreeSet<RegionName>,
    /// Whether this agent's clock differs too much from the others' to lead, and one of them may
    /// lead instead.
    pub is_clock_off: bool,
    /// How many agents of the region stand for election before this one; none: it does not, since
    /// it reaches other regions only through them.
    pub candidacy: Option<u64>,
}

impl ElectionView {
    /// Whether a candidate could not improve on the leader: the leader's agent lives, and its
    /// region serves, or the candidate's does not either (otherwise a mesh whose regions all failed
    /// would elect forever).
    pub(super) fn is_led_well(&self, candidate: &RegionName) -> bool {
        self.leader.as_ref().is_some_and(|leader| {
            leader.is_alive
                && (!self.failed.contains(&leader.ballot.agent.region)
                    || self.failed.contains(candidate))
        })
    }
}

/// What the caller must do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ElectionEffect {
    /// Ask one agent of each of these regions (and the witness, if it is among them) for its vote.
    RequestVotes(Ballot, BTreeSet<RegionName>),
    /// Take this ballot: start the proposer.
    Propose(Ballot),
}
