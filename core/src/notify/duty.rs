//! Who tells a receiver of events and alerts: one agent of all, so that nobody is told twice.
//!
//! The leader does, since every agent knows who that is. Where its word does not arrive (it says so
//! on the board), or where nobody has led for a while, the first of the other living agents does,
//! in the order of their names. Two agents that see the mesh differently, as in a partition, may
//! both be on duty: what they send has the same identity, so a receiver that looks at it takes it
//! once.

use regionmesh_protocol::identity::AgentId;

/// How long the mesh may be without a leader until somebody else speaks, milliseconds: an election
/// takes less.
pub const LEADERLESS_MS: u64 = 10_000;

/// An agent that may speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Speaker<'a> {
    pub agent: &'a AgentId,
    /// Whether it does not reach the receiver, as it says itself.
    pub is_unheard: bool,
}

/// The agent that tells the receiver now; none while an election is likely to be under way.
///
/// - `alive`: the agents that are alive, in any order.
/// - `leader`: who leads, as far as known.
/// - `leaderless_ms`: how long no leader has been known that is alive, milliseconds.
pub fn on_duty<'a>(
    alive: &[Speaker<'a>],
    leader: Option<&AgentId>,
    leaderless_ms: u64,
) -> Option<&'a AgentId> {
    let leading = leader.and_then(|leader| alive.iter().find(|speaker| speaker.agent == leader));
    if leading.is_none() && leaderless_ms < LEADERLESS_MS {
        return None;
    }

    let heard = alive
        .iter()
        .filter(|speaker| !speaker.is_unheard)
        .map(|speaker| speaker.agent)
        .min();

    match leading {
        Some(leading) if !leading.is_unheard => Some(leading.agent),
        // If nobody is heard, the leader goes on trying.
        Some(leading) => Some(heard.unwrap_or(leading.agent)),
        None => heard.or_else(|| alive.iter().map(|speaker| speaker.agent).min()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
