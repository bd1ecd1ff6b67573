//! How this agent's clock compares with those of the others.
//!
//! Each board exchange carries the clock of the agent that answers; a comparison is off by at most
//! half of the round trip (Cristian 1989). Of a peer's recent measurements the one with the
//! shortest round trip counts. No clock is known to be right: the median of all represents the
//! majority, so a single wrong or lying clock decides nothing.

use regionmesh_protocol::{identity::AgentId, plan::PlanAge};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, VecDeque},
    time::Instant,
};

/// Clocks that differ by more than this are reported, milliseconds.
pub(crate) const SKEW_REPORTED_MS: u64 = 2_000;
/// An agent whose clock is further than this from the majority's is not a candidate for leader,
/// milliseconds.
pub(crate) const SKEW_LEADER_MAX_MS: u64 = 10_000;
/// Most measurements kept per peer.
const MEASUREMENTS_MAX: usize = 8;
/// How long a measurement counts, milliseconds.
const FRESH_MS: u64 = 60_000;
/// Measurements with a longer round trip are ignored, milliseconds.
const ROUND_TRIP_MAX_MS: u64 = 2_000;
/// Most peers that are compared.
const PEERS_MAX: usize = 2_048;

/// What an agent's clocks show, as a board exchange carries it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockReading {
    /// Its wall clock, Unix milliseconds.
    pub unix_ms: u64,
    /// The age of the plan that it knows, if it measured that.
    pub plan: Option<PlanAge>,
}

/// A peer's clocks, as a board exchange carried them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerClock {
    pub reading: ClockReading,
    /// When it arrived.
    pub received: Instant,
    /// Whom we had asked, and when. None if the peer asked: the time in transit is unknown then.
    pub asked: Option<(AgentId, Instant)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Measurement {
    at_ms: u64,
    /// The peer's clock minus our own.
    offset_ms: i64,
    round_trip_ms: u64,
}

impl Measurement {
    /// The least that the peer's clock differs from ours.
    fn distance_ms(&self) -> u64 {
        self.offset_ms
            .unsigned_abs()
            .saturating_sub(self.round_trip_ms.div_ceil(2))
    }
}

/// The clocks of peers, compared with our own. `now_ms` is a monotonic clock.
#[derive(Debug, Clone, Default)]
pub struct PeerClocks {
    peers: BTreeMap<AgentId, VecDeque<Measurement>>,
}

/// How our own clock compares with all known ones.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OwnClock {
    /// How many clocks are known, our own included.
    pub known: usize,
    /// How many of them agree with ours, our own included.
    pub agreeing: usize,
    /// How far ours is ahead of the majority's; negative: behind. 0 if no majority disagrees.
    pub ahead_ms: i64,
    /// The peer whose clock differs most, and by how much it is ahead of ours.
    pub furthest: Option<(AgentId, i64)>,
    /// Whether it is too far off to lead while another agent may.
    pub is_off: bool,
}

impl OwnClock {
    /// Whether our clock lacks a majority that agrees with it.
    pub fn is_doubtful(&self) -> bool {
        self.known > 1 && self.agreeing * 2 <= self.known
    }
}

impl PeerClocks {
    /// A peer's clock was `offset_ms` ahead of ours, measured over a round trip of `round_trip_ms`.
    pub fn measured(&mut self, peer: &AgentId, offset_ms: i64, round_trip_ms: u64, now_ms: u64) {
        let has_room = self.peers.len() < PEERS_MAX || self.peers.contains_key(peer);
        if round_trip_ms > ROUND_TRIP_MAX_MS || !has_room {
            return;
        }

        let kept = self.peers.entry(peer.clone()).or_default();
        if kept.len() >= MEASUREMENTS_MAX {
            kept.pop_front();
        }
        kept.push_back(Measurement {
            at_ms: now_ms,
            offset_ms,
            round_trip_ms,
        });
    }

    /// Our own clock was set: earlier measurements no longer count.
    pub fn own_clock_set(&mut self) {
        self.peers.clear();
    }

    /// How our clock compares. `may_lead` says which peers could lead in our place.
    pub fn judge(&mut self, may_lead: impl Fn(&AgentId) -> bool, now_ms: u64) -> OwnClock {
        for kept in self.peers.values_mut() {
            kept.retain(|measurement| now_ms.saturating_sub(measurement.at_ms) < FRESH_MS);
        }
        self.peers.retain(|_, kept| !kept.is_empty());

        let best: Vec<(&AgentId, Measurement)> = self
            .peers
            .iter()
            .filter_map(|(peer, kept)| Some((peer, best_of(kept)?)))
            .collect();
        let mut offsets: Vec<i64> = best
            .iter()
            .map(|(_, best)| best.offset_ms)
            .chain([0])
            .collect();

        offsets.sort_unstable();

        let lower = offsets[(offsets.len() - 1) / 2];
        let upper = offsets[offsets.len() / 2];
        let ahead_ms = match (lower, upper) {
            (lower, _) if lower > 0 => lower.saturating_neg(),
            (_, upper) if upper < 0 => upper.saturating_neg(),
            _ => 0,
        };
        let agrees = |best: &&(&AgentId, Measurement)| best.1.distance_ms() <= SKEW_REPORTED_MS;
        let is_close = |offset_ms: i64| {
            offset_ms.saturating_add(ahead_ms).unsigned_abs() <= SKEW_LEADER_MAX_MS
        };
        let has_better = best
            .iter()
            .any(|(peer, best)| is_close(best.offset_ms) && may_lead(peer));
        let furthest = best
            .iter()
            .max_by_key(|(_, best)| best.offset_ms.unsigned_abs());

        OwnClock {
            known: offsets.len(),
            agreeing: 1 + best.iter().filter(agrees).count(),
            ahead_ms,
            furthest: furthest.map(|(peer, best)| ((*peer).clone(), best.offset_ms)),
            is_off: ahead_ms.unsigned_abs() > SKEW_LEADER_MAX_MS && has_better,
        }
    }
}

fn best_of(kept: &VecDeque<Measurement>) -> Option<Measurement> {
    kept.iter()
        .min_by_key(|measurement| (measurement.round_trip_ms, u64::MAX - measurement.at_ms))
        .copied()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
