//! Which agent notifies a receiver of events and alerts: one of all, so that each receiver gets an
//! event once.
//!
//! The leader, since every agent knows who leads. If it can't reach the receiver (it publishes
//! that), or if no agent has led for a while, the first of the other living agents by name. Two
//! agents that see the mesh differently, as in a partition, may both be responsible: they send the
//! same identities, so a receiver can drop duplicates.

use regionmesh_protocol::identity::AgentId;

/// How long the mesh may be without a leader until another agent notifies, milliseconds: an
/// election takes less.
pub(crate) const LEADERLESS_MS: u64 = 10_000;

/// An agent that may notify.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate<'a> {
    pub agent: &'a AgentId,
    /// Whether it reports that it can't reach the receiver.
    pub is_unheard: bool,
}

/// The agent that notifies the receiver now; none while an election is probably in progress.
///
/// - `alive`: the agents that are alive, in any order.
/// - `leader`: the leader, if known.
/// - `leaderless_ms`: how long no living leader has been known, milliseconds.
pub fn responsible_agent<'a>(
    alive: &[Candidate<'a>],
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
        // If none reaches it, the leader keeps trying.
        Some(leading) => Some(heard.unwrap_or(leading.agent)),
        None => heard.or_else(|| alive.iter().map(|speaker| speaker.agent).min()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
