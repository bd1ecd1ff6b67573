//! What the board says about leaders and plans.

use super::election::KnownLeader;
use crate::gossip::{AgentView, BoardView};
use regionmesh_protocol::{
    identity::{AgentId, RegionName},
    plan::CommittedPlan,
    register::ballot::{Ballot, Stamp},
    status::{LeaderStatus, StatusEntry, StatusKind},
};
use std::time::Instant;

/// The leader status of an agent.
fn leader_status(view: &AgentView) -> Option<&LeaderStatus> {
    match &*view.status_entries.get(&StatusKind::Leader)?.status_entry {
        StatusEntry::Leader(status) => Some(status),
        _ => None,
    }
}

/// The plan that an agent publishes as committed.
fn plan_of(view: &AgentView) -> Option<&CommittedPlan> {
    match &*view.status_entries.get(&StatusKind::Plan)?.status_entry {
        StatusEntry::Plan(plan) => Some(plan),
        _ => None,
    }
}

/// Every ballot on the board, and the agent that published it.
pub(super) fn ballots(board: &BoardView) -> impl Iterator<Item = (&AgentId, &Ballot)> {
    board.agents.iter().flat_map(|(agent, view)| {
        let status = leader_status(view);
        let plan = plan_of(view).map(|plan| &plan.stamp.ballot);
        let leading = status.and_then(|status| status.leading.as_ref());
        let claimed = plan
            .into_iter()
            .chain(leading)
            .chain(status.and_then(|status| status.highest.as_ref()));

        claimed.map(move |ballot| (agent, ballot))
    })
}

/// The plan that each other agent publishes as the last committed one, and since when.
pub(super) fn plans<'a>(
    board: &'a BoardView,
    me: &'a AgentId,
) -> impl Iterator<Item = (&'a AgentId, &'a CommittedPlan, Instant)> {
    board
        .agents
        .iter()
        .filter(move |(agent, _)| *agent != me)
        .filter_map(|(agent, view)| {
            let seen = view.status_entries.get(&StatusKind::Plan)?;
            Some((agent, plan_of(view)?, seen.seen_at))
        })
}

/// Whether an agent of another region publishes a plan that is no later than `known`. The board
/// does not outlive a process, so it was published since our start.
pub(super) fn is_heard_elsewhere(board: &BoardView, region: &RegionName, known: &Stamp) -> bool {
    board.agents.iter().any(|(agent, view)| {
        agent.region != *region && plan_of(view).is_some_and(|plan| plan.stamp <= *known)
    })
}

/// The ballots under which other agents claim to lead, and since when.
pub(super) fn claims<'a>(
    board: &'a BoardView,
    me: &'a AgentId,
) -> impl Iterator<Item = (&'a Ballot, &'a AgentView, Instant)> {
    board
        .agents
        .iter()
        .filter(move |(agent, _)| *agent != me)
        .filter_map(|(agent, view)| {
            let seen = view.status_entries.get(&StatusKind::Leader)?;
            // An agent can claim only its own ballots.
            let ballot = leader_status(view)?
                .leading
                .as_ref()
                .filter(|ballot| ballot.agent == *agent)?;

            Some((ballot, view, seen.seen_at))
        })
}

/// The highest believed ballot under which another agent claims to lead.
pub(super) fn known_leader(
    board: &BoardView,
    me: &AgentId,
    is_believed: impl Fn(&Ballot) -> bool,
) -> Option<KnownLeader> {
    let believed = claims(board, me).filter(|(ballot, ..)| is_believed(ballot));
    let leaders = believed.map(|(ballot, view, _)| KnownLeader {
        ballot: ballot.clone(),
        is_alive: view.is_alive,
    });

    leaders.max_by(|a, b| a.ballot.cmp(&b.ballot))
}
