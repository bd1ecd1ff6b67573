//! Agents, and the problems that they report.

use super::entry::{millis, status_entry};
use crate::snapshots::Snapshots;
use regionmesh_client::{AgentStatus, HoldingsStatus, LinkStatus, ProblemStatus};
use regionmesh_core::gossip::{AgentView, BoardView};
use regionmesh_protocol::{
    identity::{AgentId, RegionName},
    status::{AgentInfo, StatusEntry, StatusKind, problem::PROBLEMS_MAX},
};
use std::cmp::Reverse;

/// The problems of every live agent, the most urgent first.
pub(crate) fn problems(board: &BoardView) -> Vec<ProblemStatus> {
    let mut all = Vec::new();
    for (id, view) in board.agents.iter().filter(|(_, view)| view.is_alive) {
        let Some(StatusEntry::Problems(problems)) = status_entry(view, StatusKind::Problems) else {
            continue;
        };
        all.extend(
            problems
                .iter()
                .take(PROBLEMS_MAX)
                .map(|problem| ProblemStatus {
                    region: id.region.clone(),
                    agent: id.to_string(),
                    kind: problem.kind,
                    severity: problem.kind.severity(),
                    subject: problem.subject.clone(),
                    detail: problem.detail.clone(),
                    since_ms: problem.since_ms,
                }),
        );
    }

    all.sort_by_key(|problem| (Reverse(problem.severity), problem.since_ms));
    all
}

/// Every agent that this agent knows and has not yet forgotten.
pub(crate) fn agents(snapshots: &Snapshots, now_ms: u64) -> Vec<AgentStatus> {
    let board = snapshots.board.borrow().clone();
    let links = snapshots.links.borrow().clone();
    let status = |(id, view): (&AgentId, &AgentView)| AgentStatus {
        round_trip_us: links.get(id).map(|link| link.round_trip_us),
        ..agent(id, view, now_ms)
    };

    board.agents.iter().map(status).collect()
}

/// An agent's status without the round trip from the answering agent.
fn agent(id: &AgentId, view: &AgentView, now_ms: u64) -> AgentStatus {
    let unknown = AgentInfo {
        version: String::new(),
        started_ms: now_ms,
        boot: 0,
        api_url: String::new(),
        cloud: String::new(),
    };
    let info = match status_entry(view, StatusKind::Agent) {
        Some(StatusEntry::Agent(info)) => info,
        _ => &unknown,
    };

    let (serving_ready, requests_total) = match status_entry(view, StatusKind::Serving) {
        Some(StatusEntry::Serving(serving)) => (serving.is_ready, serving.requests_total),
        _ => (false, 0),
    };
    let (links, unreachable) = reported_links(view);
    let ages = view
        .status_entries
        .iter()
        .map(|(kind, seen)| (<&str>::from(*kind).into(), millis(seen.seen_at.elapsed())));
    let newest = view
        .status_entries
        .values()
        .map(|seen| seen.seen_at.elapsed())
        .min()
        .unwrap_or_default();

    AgentStatus {
        agent: id.to_string(),
        alive: view.is_alive,
        version: info.version.clone(),
        uptime_ms: if view.is_alive {
            now_ms.saturating_sub(info.started_ms)
        } else {
            0
        },
        api_url: info.api_url.clone(),
        cloud: info.cloud.clone(),
        round_trip_us: None,
        age_ms: millis(newest),
        serving_ready,
        requests_total,
        holdings: holdings(view),
        status_ages_ms: ages.collect(),
        links,
        unreachable,
    }
}

fn holdings(view: &AgentView) -> HoldingsStatus {
    view.holdings()
        .map_or_else(HoldingsStatus::default, |held| HoldingsStatus {
            versions: held.version_count,
            missing: held.missing,
            lag_ms: held.lag_ms,
            unknown: held.unknown.clone(),
        })
}

/// The links and the unreachable regions that an agent reports; none once it is dead.
fn reported_links(view: &AgentView) -> (Vec<LinkStatus>, Vec<RegionName>) {
    match status_entry(view, StatusKind::Links) {
        Some(StatusEntry::Links(reported)) if view.is_alive => {
            let link = |(agent, round_trip_us): &(String, u64)| LinkStatus {
                agent: agent.clone(),
                round_trip_us: *round_trip_us,
            };

            (
                reported.peers.iter().map(link).collect(),
                reported.unreachable.clone(),
            )
        }
        _ => (Vec::new(), Vec::new()),
    }
}
