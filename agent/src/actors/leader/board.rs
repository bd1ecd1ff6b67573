//! What the dns-leader actor reads from the board: leaders, plans, and the inputs of the next plan.

use crate::config::{Config, RegionConfig};
use regionmesh_core::{
    gossip::{AgentView, BoardView},
    health::verdict::{RegionVerdict, answered},
    leader::{
        certificate::Presented,
        election::{ElectionView, KnownLeader},
    },
    planning::{PlanInputs, RegionInput, load::LoadMeter},
    recovery::canary::Evidence,
};
use regionmesh_protocol::{
    identity::{AgentId, RegionName},
    plan::{CommittedPlan, Plan, RegionPlan, TrafficState},
    register::{
        ballot::{Ballot, Stamp},
        members::Members,
    },
    status::{
        Holdings, LeaderStatus, ServingStatus, StatusEntry, StatusKind, condition::Condition,
        served::Served,
    },
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Instant,
};

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

/// The certificate chains that agents publish.
pub(super) struct Chains<'a>(pub(super) &'a BoardView);

impl Presented for Chains<'_> {
    fn chain(&self, agent: &AgentId) -> Option<&[Vec<u8>]> {
        let view = self.0.agents.get(agent)?;
        match &*view
            .status_entries
            .get(&StatusKind::Certificate)?
            .status_entry
        {
            StatusEntry::Certificate(chain) => Some(chain),
            _ => None,
        }
    }
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

/// The inputs of an election.
pub(super) fn view(
    leader: Option<KnownLeader>,
    verdicts: &BTreeMap<RegionName, RegionVerdict>,
    members: BTreeSet<RegionName>,
) -> ElectionView {
    let failed = verdicts
        .iter()
        .filter(|(_, verdict)| verdict.condition == Condition::Failed);
    let failed = failed.map(|(region, _)| region.clone()).collect();

    ElectionView {
        leader,
        failed,
        members,
        is_clock_off: false,
    }
}

/// The serving status of the live agents.
pub(super) fn served(board: &BoardView) -> impl Iterator<Item = (&AgentId, Served)> {
    board
        .agents
        .iter()
        .filter(|(_, view)| view.is_alive)
        .filter_map(|(agent, view)| {
            let StatusEntry::Serving(status) =
                &*view.status_entries.get(&StatusKind::Serving)?.status_entry
            else {
                return None;
            };
            Some((agent, status.served()))
        })
}

/// The inputs of the next plan, for the members that a plan can be made for. `current` is the plan
/// in force: it shows which regions are ramping.
pub(super) fn plan_inputs(
    config: &Config,
    board: &BoardView,
    verdicts: &BTreeMap<RegionName, RegionVerdict>,
    meter: &mut LoadMeter,
    current: Option<&Plan>,
    members: &Members,
) -> PlanInputs {
    // Where another server serves the models, requests and loaded models are not known: verdict and
    // time decide alone.
    let is_measured = config.serving.embedded;
    let configured = config
        .regions
        .iter()
        .filter(|region| members.may_serve(&region.name))
        .map(|region| {
            let verdict = verdicts.get(&region.name);
            let places = serving(board, &region.name)
                .fold(0u32, |sum, status| sum.saturating_add(status.places));
            let measured = meter.most_rps(&region.name, places);
            let input = RegionInput {
                weight_bp: region.weight_bp,
                priority: region.priority,
                addresses: addresses(config, region, verdict, current),
                condition: verdict.map_or(Condition::Unknown, |verdict| verdict.condition),
                since_ms: verdict.map_or(0, |verdict| verdict.since_ms),
                reason: verdict.map_or_else(String::new, |verdict| verdict.reason.clone()),
                is_complete: is_complete(board, &region.name, current),
                is_loaded: !is_measured || is_loaded(board, &region.name),
                inference_passes: config
                    .health
                    .inference
                    .as_ref()
                    .map(|_| inference_passes(board, &region.name)),
                capacity_rps: region
                    .capacity_rps
                    .or(measured.filter(|_| config.traffic.measured_capacity)),
                measured_capacity_rps: measured,
                load_rps: meter.rps(&region.name),
                evidence: match current {
                    Some(plan) if is_measured => evidence(plan, meter, &region.name),
                    _ => Evidence::NotMeasured,
                },
            };

            (region.name.clone(), input)
        });

    let strange = members
        .regions()
        .filter(|name| config.region(name).is_none());
    let strange =
        strange.filter_map(|name| Some((name.clone(), unknown_input(current?.regions.get(name)?))));
    let regions = configured.chain(strange).collect();
    let ramping = current
        .iter()
        .flat_map(|plan| &plan.regions)
        .filter(|(_, part)| is_ramping(&part.traffic_state));

    meter.retain_comparisons(&ramping.map(|(name, _)| name.clone()).collect());
    PlanInputs {
        regions,
        strategy: config.traffic.strategy,
        suspect_percent: config.traffic.suspect_percent,
        recovery: config.recovery.clone(),
        max_out: config.traffic.max_out,
        ttl_ms: u64::from(config.dns.ttl_s) * 1_000,
        cost: None,
    }
}

/// A member that this agent's configuration does not have, and can't judge: it keeps its part of
/// the plan.
fn unknown_input(planned: &RegionPlan) -> RegionInput {
    RegionInput {
        weight_bp: planned.weight_bp,
        priority: u16::MAX,
        addresses: planned.addresses.clone(),
        condition: Condition::Unknown,
        since_ms: 0,
        reason: "it is not in the leader's configuration".into(),
        is_complete: false,
        is_loaded: false,
        inference_passes: None,
        capacity_rps: None,
        measured_capacity_rps: None,
        load_rps: None,
        evidence: Evidence::Missing,
    }
}

/// What DNS is to answer for a region: those of its addresses that are not judged down.
fn addresses(
    config: &Config,
    region: &RegionConfig,
    verdict: Option<&RegionVerdict>,
    current: Option<&Plan>,
) -> Vec<IpAddr> {
    let configured = region.dns_addresses();
    if !config.health.each_address {
        return configured;
    }

    let judged = verdict
        .map(|verdict| verdict.addresses.as_slice())
        .unwrap_or_default();
    let in_force = current
        .and_then(|plan| plan.regions.get(&region.name))
        .map(|part| part.addresses.as_slice());

    // A region that failed as a whole gets no other addresses: its last one would follow in a plan
    // of its own.
    if let (Some(Condition::Failed), Some(in_force)) =
        (verdict.map(|verdict| verdict.condition), in_force)
    {
        let kept: Vec<IpAddr> = configured
            .iter()
            .filter(|address| in_force.contains(*address))
            .copied()
            .collect();

        if !kept.is_empty() {
            return kept;
        }
    }

    answered(&configured, judged, in_force)
}

fn is_ramping(traffic_state: &TrafficState) -> bool {
    matches!(traffic_state, TrafficState::Ramping { .. })
}

/// How a ramping region compares with the regions that serve their share.
fn evidence(plan: &Plan, meter: &mut LoadMeter, name: &RegionName) -> Evidence {
    let Some(TrafficState::Ramping { step, since_ms }) = plan
        .regions
        .get(name)
        .map(|part| part.traffic_state.clone())
    else {
        return Evidence::NotMeasured;
    };
    let control = plan
        .regions
        .iter()
        .filter(|(_, part)| part.weight_bp > 0 && part.traffic_state == TrafficState::Serving);

    meter.comparison(
        name,
        step,
        since_ms,
        &control.map(|(other, _)| other.clone()).collect(),
    )
}

/// The serving status of a region's live agents.
fn serving<'a>(
    board: &'a BoardView,
    region: &'a RegionName,
) -> impl Iterator<Item = &'a ServingStatus> {
    board
        .agents
        .iter()
        .filter(|(agent, view)| agent.region == *region && view.is_alive)
        .filter_map(|(_, view)| {
            match &*view.status_entries.get(&StatusKind::Serving)?.status_entry {
                StatusEntry::Serving(status) => Some(status),
                _ => None,
            }
        })
}

/// Whether all of a region's live agents that publish a serving status have their models loaded.
/// Unknown counts as not loaded.
fn is_loaded(board: &BoardView, region: &RegionName) -> bool {
    serving(board, region).next().is_some() && serving(board, region).all(|status| status.is_ready)
}

/// Whether the last synthetic inference passed, at each address of the region that is not down, for
/// more than half of the live observers elsewhere that sent one. Unknown counts as not passed.
fn inference_passes(board: &BoardView, region: &RegionName) -> bool {
    let mut passed = 0usize;
    let mut asked = 0usize;
    for (_, view) in board
        .agents
        .iter()
        .filter(|(agent, view)| agent.region != *region && view.is_alive)
    {
        let seen = view
            .status_entries
            .get(&StatusKind::Observations)
            .map(|seen| &*seen.status_entry);
        let Some(StatusEntry::Observations(observations)) = seen else {
            continue;
        };
        let Some(of_region) = observations
            .regions
            .iter()
            .find(|seen| seen.region == *region)
        else {
            continue;
        };

        let working = of_region
            .addresses
            .iter()
            .filter(|seen| seen.condition != Condition::Failed);
        let results: Vec<bool> = working.filter_map(|seen| seen.inference).collect();

        asked += usize::from(!results.is_empty());
        passed += usize::from(!results.is_empty() && results.iter().all(|passes| *passes));
    }

    passed * 2 > asked
}

/// The holdings that a region's live agents publish.
fn holdings<'a>(
    board: &'a BoardView,
    region: &'a RegionName,
) -> impl Iterator<Item = &'a Holdings> {
    let living = board
        .agents
        .iter()
        .filter(|(agent, view)| agent.region == *region && view.is_alive);
    living.filter_map(|(_, view)| view.holdings())
}

/// Whether a live agent of the region publishes that nothing is missing there, see
/// [`Holdings::is_complete`].
fn is_complete(board: &BoardView, region: &RegionName, current: Option<&Plan>) -> bool {
    let with_traffic = current
        .into_iter()
        .flat_map(|plan| &plan.regions)
        .filter(|(_, part)| part.weight_bp > 0);
    let serving: Vec<(&RegionName, &Holdings)> = with_traffic
        .flat_map(|(name, _)| holdings(board, name).map(move |held| (name, held)))
        .collect();

    holdings(board, region).any(|held| held.is_complete(region, &serving))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use regionmesh_core::gossip::SeenStatus;
    use regionmesh_protocol::status::entry::EntryVersion;
    use std::sync::Arc;

    fn board(holdings: &[(&str, Holdings)]) -> BoardView {
        let mut board = BoardView::default();
        for (agent, held) in holdings {
            let status_entry = Arc::new(StatusEntry::Holdings(held.clone()));
            let seen = SeenStatus {
                status_entry,
                version: EntryVersion::default(),
                seen_at: Instant::now(),
            };
            let view = AgentView {
                is_alive: true,
                status_entries: [(StatusKind::Holdings, seen)].into(),
            };

            board.agents.insert(agent.parse().unwrap(), view);
        }

        board
    }

    #[test]
    fn an_unknown_catalogue_delays_a_region_only_if_no_region_with_traffic_vouches_for_it() {
        let own: RegionName = "a".parse().unwrap();
        let broken: RegionName = "c".parse().unwrap();
        let lacking = Holdings {
            unknown: vec![broken],
            ..Holdings::default()
        };
        let board = board(&[
            ("a/n", lacking),
            ("b/n", Holdings::default()),
            ("c/n", Holdings::default()),
        ]);

        let plan = |weight_bp: u16| {
            let part = |weight_bp| RegionPlan {
                weight_bp,
                ..RegionPlan::default()
            };
            let parts = [("a", 0), ("b", weight_bp), ("c", 100)]
                .map(|(name, bp)| (name.parse().unwrap(), part(bp)));

            Plan {
                regions: parts.into(),
                ..Plan::default()
            }
        };

        assert!(is_complete(&board, &own, Some(&plan(100))));
        assert!(!is_complete(&board, &own, Some(&plan(0))));
        assert!(!is_complete(&board, &own, None));
    }
}
