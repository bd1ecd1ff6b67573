//! Ballots, and the order of the values that are proposed under them.

pub use crate::register::bounds::Bounds;

use crate::identity::AgentId;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Name of the acceptor that is not a region: a separate store that makes the number of acceptors
/// odd.
pub const WITNESS: &str = "witness";

/// How far the number of a ballot or of a value may be above what is known of the register: no
/// single message can use up the numbers, and in practice no acceptor that was away meets the
/// limit. See `regionmesh_core::leader::ballots`.
pub const STEP_MAX: u64 = 1 << 20;

/// A right to propose. Ordered by number; the other fields keep two candidates' ballots distinct.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Ballot {
    /// At most one above the highest seen.
    pub number: u64,
    /// Who proposes.
    pub agent: AgentId,
    /// Drawn at the agent's start, so that a restarted agent never repeats a ballot; incremented if
    /// it is a candidate again with the same number.
    pub boot: u64,
}

impl fmt::Display for Ballot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.number, self.agent)
    }
}

/// A value's place in the order of values: the leader's ballot, then the value's number under it.
///
/// A leader commits many values under one ballot (its promises stay good until a higher ballot
/// takes them); `seq` grows by one with each value and across leaders, so `(ballot, seq)` is what
/// CASPaxos calls a ballot: no two values ever share it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Stamp {
    /// The leader's ballot.
    pub ballot: Ballot,
    /// The value's number, counted from 1 over all leaders.
    pub seq: u64,
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.ballot, self.seq)
    }
}

/// The highest numbers that an acceptor, or a majority of them, has seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reach {
    /// The highest ballot's number.
    pub number: u64,
    /// The last value's number.
    pub seq: u64,
}

impl Reach {
    /// The higher of both, for each number.
    pub fn max(self, other: Self) -> Self {
        Self {
            number: self.number.max(other.number),
            seq: self.seq.max(other.seq),
        }
    }

    /// One bounded step beyond.
    pub fn step(self) -> Self {
        Self {
            number: self.number.saturating_add(STEP_MAX),
            seq: self.seq.saturating_add(STEP_MAX),
        }
    }

    /// Whether neither number is beyond `limit`.
    pub fn is_within(self, limit: Self) -> bool {
        self.number <= limit.number && self.seq <= limit.seq
    }

    /// How far more than half of `all` have come; the default if there are none.
    pub fn of_majority(all: impl Iterator<Item = Self>) -> Self {
        let (mut numbers, mut seqs): (Vec<u64>, Vec<u64>) =
            all.map(|reach| (reach.number, reach.seq)).unzip();
        let middle = |all: &mut Vec<u64>| {
            all.sort_unstable_by(|a, b| b.cmp(a));
            all.get(all.len() / 2).copied().unwrap_or_default()
        };

        Self {
            number: middle(&mut numbers),
            seq: middle(&mut seqs),
        }
    }
}

impl fmt::Display for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ballot {}, plan {}", self.number, self.seq)
    }
}
