//! What the dns-leader actor reads off the board: who leads, which plan is the latest, what the next plan rests on.

use crate::{
    config::Config,
    snapshots::{AgentView, BoardView},
};
use regionmesh_protocol::{
    election::{KnownLeader, Sight},
    facts::{Fact, FactKind, LeaderFacts},
    identity::{AgentId, RegionName},
    plan::{CommittedPlan, PlanInputs, RegionInput},
    register::Ballot,
    verdict::{Condition, RegionVerdict},
};
use std::collections::{BTreeMap, BTreeSet};

/// What an agent says of the leader.
pub(super) fn leader_facts(view: &AgentView) -> Option<&LeaderFacts> {
    match &*view.facts.get(&FactKind::Leader)?.fact {
        Fact::Leader(facts) => Some(facts),
        _ => None,
    }
}

/// The plan that an agent says is committed.
pub(super) fn plan_of(view: &AgentView) -> Option<&CommittedPlan> {
    match &*view.facts.get(&FactKind::Plan)?.fact {
        Fact::Plan(plan) => Some(plan),
        _ => None,
    }
}

/// Every ballot that the board tells of.
pub(super) fn ballots(board: &BoardView) -> impl Iterator<Item = &Ballot> {
    board.agents.values().flat_map(|view| {
        let facts = leader_facts(view);
        let plan = plan_of(view).map(|plan| &plan.stamp.ballot);
        let leading = facts.and_then(|facts| facts.leading.as_ref());
        plan.into_iter().chain(leading).chain(facts.and_then(|facts| facts.highest.as_ref()))
    })
}

/// The latest committed plan that any agent tells of.
pub(super) fn latest_plan(board: &BoardView) -> Option<&CommittedPlan> {
    board.agents.values().filter_map(plan_of).max_by(|a, b| a.stamp.cmp(&b.stamp))
}

/// Whether an agent of another region tells of a plan. The board does not outlive a process, so it is of this life.
pub(super) fn is_heard_elsewhere(board: &BoardView, region: &RegionName) -> bool {
    board.agents.iter().any(|(agent, view)| agent.region != *region && plan_of(view).is_some())
}

/// The highest ballot under which another agent says that it leads.
pub(super) fn known_leader(board: &BoardView, me: &AgentId) -> Option<KnownLeader> {
    board
        .agents
        .iter()
        .filter(|(agent, _)| *agent != me)
        .filter_map(|(agent, view)| {
            // An agent speaks for itself alone.
            let ballot = leader_facts(view)?.leading.as_ref().filter(|ballot| ballot.agent == *agent)?;
            Some(KnownLeader { ballot: ballot.clone(), is_alive: view.is_alive })
        })
        .max_by(|a, b| a.ballot.cmp(&b.ballot))
}

/// What an election is decided by.
pub(super) fn sight(
    board: &BoardView,
    verdicts: &BTreeMap<RegionName, RegionVerdict>,
    me: &AgentId,
    members: BTreeSet<RegionName>,
) -> Sight {
    let failed = verdicts.iter().filter(|(_, verdict)| verdict.condition == Condition::Failed);
    Sight { leader: known_leader(board, me), failed: failed.map(|(region, _)| region.clone()).collect(), members }
}

/// What the next plan rests on.
pub(super) fn plan_inputs(
    config: &Config,
    board: &BoardView,
    verdicts: &BTreeMap<RegionName, RegionVerdict>,
) -> PlanInputs {
    let regions = config.regions.iter().map(|region| {
        let verdict = verdicts.get(&region.name);
        let input = RegionInput {
            weight_bp: region.weight_bp,
            priority: region.priority,
            addresses: region.dns_addresses(),
            condition: verdict.map_or(Condition::Unknown, |verdict| verdict.condition),
            since_ms: verdict.map_or(0, |verdict| verdict.since_ms),
            reason: verdict.map_or_else(String::new, |verdict| verdict.reason.clone()),
            is_complete: is_complete(board, &region.name),
        };
        (region.name.clone(), input)
    });
    PlanInputs {
        regions: regions.collect(),
        strategy: config.traffic.strategy,
        suspect_percent: config.traffic.suspect_percent,
        recovery: config.recovery.clone(),
    }
}

/// Whether a living agent of the region says that nothing is missing there. Not known is not complete.
fn is_complete(board: &BoardView, region: &RegionName) -> bool {
    board.agents.iter().filter(|(agent, view)| agent.region == *region && view.is_alive).any(|(_, view)| {
        let holdings = view.facts.get(&FactKind::Holdings).map(|seen| &*seen.fact);
        matches!(holdings, Some(Fact::Holdings(holdings)) if holdings.missing == 0)
    })
}
