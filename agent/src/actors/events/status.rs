//! What the status board says: when observers agreed, and what the live agents publish.

use regionmesh_core::{
    gossip::BoardView,
    health::verdict::RegionVerdict,
    notify::changes::{Validity, agreed_since},
};
use regionmesh_protocol::{
    identity::{AgentId, RegionName},
    status::{StatusEntry, StatusKind, condition::Condition, money::CostNotice, problem::Problem},
};
use std::collections::{BTreeMap, BTreeSet};

/// When the observers reached this verdict, by their own clocks, and whether the board shows as
/// many of them as the verdict counts.
pub(super) fn since(
    board: &BoardView,
    region: &RegionName,
    verdict: &RegionVerdict,
) -> (Option<u64>, bool) {
    // No observer publishes draining or unknown.
    if matches!(verdict.condition, Condition::Draining | Condition::Unknown) {
        return (None, true);
    }

    let agrees = |condition: Condition| {
        condition == verdict.condition
            || (condition == Condition::Failed && verdict.condition == Condition::Suspect)
    };
    let agreeing: Vec<_> = board
        .agents
        .iter()
        .filter(|(agent, view)| agent.region != *region && view.is_alive)
        .filter_map(|(agent, view)| {
            match &*view
                .status_entries
                .get(&StatusKind::Observations)?
                .status_entry
            {
                StatusEntry::Observations(observations) => {
                    let of_region = observations
                        .regions
                        .iter()
                        .find(|observation| observation.region == *region)?;
                    agrees(of_region.condition).then_some((&agent.region, of_region.since_ms))
                }
                _ => None,
            }
        })
        .collect();

    let is_missing = |(observer, vote): &(RegionName, Condition)| {
        agrees(*vote) && !agreeing.iter().any(|(region, _)| *region == observer)
    };
    let is_on_board = !verdict.votes.iter().any(is_missing);
    let voters = verdict
        .votes
        .iter()
        .filter(|(_, vote)| *vote != Condition::Unknown)
        .count();

    // A region that reports itself failed is judged failed immediately, and its observers
    // detect_changes a probe later: the other agents will date the verdict by the observers'
    // clocks.
    let observers: BTreeSet<&RegionName> = agreeing.iter().map(|(region, _)| *region).collect();
    let is_whole = is_on_board && observers.len() > voters / 2;

    (agreed_since(agreeing.into_iter(), voters), is_whole)
}

/// The problems that live agents publish.
pub(super) fn published_problems(board: &BoardView) -> BTreeMap<AgentId, Vec<Problem>> {
    let living = board.agents.iter().filter(|(_, view)| view.is_alive);
    living
        .filter_map(|(agent, view)| {
            match &*view.status_entries.get(&StatusKind::Problems)?.status_entry {
                StatusEntry::Problems(problems) => Some((agent.clone(), problems.clone())),
                _ => None,
            }
        })
        .collect()
}

/// The cost notices that live agents publish.
pub(super) fn published_notices(board: &BoardView) -> Vec<CostNotice> {
    let living = board.agents.values().filter(|view| view.is_alive);
    let status = living.filter_map(|view| {
        match &*view.status_entries.get(&StatusKind::Cost)?.status_entry {
            StatusEntry::Cost(status) => Some(status),
            _ => None,
        }
    });

    status
        .flat_map(|status| status.notices.iter().cloned())
        .collect()
}

/// The validity of the certificates of live agents.
pub(super) fn certificates(board: &BoardView) -> BTreeMap<AgentId, Validity> {
    let living = board.agents.iter().filter(|(_, view)| view.is_alive);
    living
        .filter_map(|(agent, view)| {
            match &*view
                .status_entries
                .get(&StatusKind::Certificate)?
                .status_entry
            {
                StatusEntry::Certificate(chain) => {
                    let (_, leaf) = x509_parser::parse_x509_certificate(chain.first()?).ok()?;
                    let valid = leaf.validity();
                    let not_before_s = valid.not_before.timestamp();
                    let not_after_s = valid.not_after.timestamp();

                    Some((
                        agent.clone(),
                        Validity {
                            not_before_s,
                            not_after_s,
                        },
                    ))
                }
                _ => None,
            }
        })
        .collect()
}
