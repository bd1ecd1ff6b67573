//! Which agents of a region observe endpoints, and how they hand over.
//!
//! At most [`OBSERVERS_MAX`] living agents of a region observe, so that the probes of an endpoint
//! do not grow with the number of agents. They are chosen by rendezvous hashing: all agents with
//! the same board agree, and the death of an observer moves one role. An agent that knows of no
//! other observes.
//!
//! An agent that is not chosen any more observes until those that are have published, so that its
//! region always has a vote.

use super::judge::Report;
use crate::{gossip::BoardView, rendezvous};
use regionmesh_protocol::{identity::AgentId, status::condition::Condition};
use std::time::{Duration, Instant};

/// At most this many living agents of a region are chosen: two can die together.
const OBSERVERS_MAX: usize = 3;
/// The rendezvous key.
const KEY: &[u8] = b"observers";
/// An agent that is not chosen any more observes for this long at most.
const HAND_OVER: Duration = Duration::from_secs(10);

/// Whether this agent observes.
#[derive(Debug, Clone, Default)]
pub(super) struct Role {
    state: State,
    /// The living agents of the region that `chosen` was computed from.
    living: Vec<AgentId>,
    chosen: Vec<AgentId>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Observing,
    HandingOver {
        /// When it stops, whether or not others have published.
        ends: Instant,
    },
    Idle,
}

impl Role {
    pub(super) fn is_observing(&self) -> bool {
        self.state != State::Idle
    }

    /// The agents of the region that should observe.
    pub(super) fn chosen(&self) -> &[AgentId] {
        &self.chosen
    }

    /// Takes in the board and the time.
    pub(super) fn update(&mut self, own: &AgentId, board: &BoardView, now: Instant) {
        if !living(own, board).eq(&self.living) {
            self.living = living(own, board).cloned().collect();
            let chosen = rendezvous::top(OBSERVERS_MAX, KEY, &self.living);
            self.chosen = chosen.into_iter().cloned().collect();
        }

        let is_chosen = self.chosen.contains(own);
        let ends = match self.state {
            State::Observing => Some(now + HAND_OVER),
            State::HandingOver { ends } => Some(ends),
            State::Idle => None,
        };

        self.state = match ends {
            _ if is_chosen => State::Observing,
            Some(ends) if now < ends && !self.is_taken_over(board, now) => {
                State::HandingOver { ends }
            }
            _ => State::Idle,
        };
    }

    fn is_taken_over(&self, board: &BoardView, now: Instant) -> bool {
        self.chosen
            .iter()
            .all(|agent| has_concluded(agent, board, now))
    }
}

/// The living agents of this agent's region, this one last.
fn living<'a>(own: &'a AgentId, board: &'a BoardView) -> impl Iterator<Item = &'a AgentId> {
    let others = board
        .agents
        .iter()
        .filter(move |(agent, view)| agent.region == own.region && view.is_alive && *agent != own);

    others.map(|(agent, _)| agent).chain([own])
}

/// Whether `agent` has published what it concludes about every endpoint.
fn has_concluded(agent: &AgentId, board: &BoardView, now: Instant) -> bool {
    let report = board
        .agents
        .get(agent)
        .and_then(|view| Report::of(agent, view, now));

    report.is_some_and(|report| {
        let regions = &report.observations.regions;
        let is_conclusive = regions
            .iter()
            .all(|seen| seen.condition != Condition::Unknown);

        report.is_fresh && !regions.is_empty() && is_conclusive
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;
