//! The inputs of the next plan, from what agents publish and the verdicts on their regions.

use super::{
    PlanInputs, RegionInput,
    load::LoadMeter,
    settings::{PlanSettings, RegionSettings},
};
use crate::{
    gossip::BoardView,
    health::verdict::{RegionVerdict, answered},
    recovery::canary::Evidence,
};
use regionmesh_protocol::{
    identity::{AgentId, RegionName},
    plan::{Plan, RegionPlan, TrafficState},
    register::members::Members,
    status::{
        Holdings, ServingStatus, StatusEntry, StatusKind, condition::Condition, served::Served,
    },
};
use std::{collections::BTreeMap, net::IpAddr};

/// The serving status of the live agents.
pub(crate) fn served(board: &BoardView) -> impl Iterator<Item = (&AgentId, Served)> {
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
pub(crate) fn plan_inputs(
    settings: &PlanSettings,
    board: &BoardView,
    verdicts: &BTreeMap<RegionName, RegionVerdict>,
    meter: &mut LoadMeter,
    current: Option<&Plan>,
    members: &Members,
) -> PlanInputs {
    // Where another server serves the models, requests and loaded models are not known: verdict and
    // time decide alone.
    let is_measured = settings.is_serving_embedded;
    let configured = settings
        .regions
        .iter()
        .filter(|(name, _)| members.may_serve(name))
        .map(|(name, region)| {
            let verdict = verdicts.get(name);
            let places =
                serving(board, name).fold(0u32, |sum, status| sum.saturating_add(status.places));
            let measured = meter.most_rps(name, places);
            let input = RegionInput {
                weight_bp: region.weight_bp,
                priority: region.priority,
                addresses: addresses(settings, name, region, verdict, current),
                condition: verdict.map_or(Condition::Unknown, |verdict| verdict.condition),
                since_ms: verdict.map_or(0, |verdict| verdict.since_ms),
                reason: verdict.map_or_else(String::new, |verdict| verdict.reason.clone()),
                is_complete: is_complete(board, name, current),
                is_loaded: !is_measured || is_loaded(board, name),
                inference_passes: settings
                    .has_inference_probes
                    .then(|| inference_passes(board, name)),
                capacity_rps: region
                    .capacity_rps
                    .or(measured.filter(|_| settings.measured_capacity)),
                measured_capacity_rps: measured,
                load_rps: meter.rps(name),
                evidence: match current {
                    Some(plan) if is_measured => evidence(plan, meter, name),
                    _ => Evidence::NotMeasured,
                },
            };

            (name.clone(), input)
        });

    let strange = members
        .regions()
        .filter(|name| !settings.regions.contains_key(*name));
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
        strategy: settings.strategy,
        suspect_percent: settings.suspect_percent,
        recovery: settings.recovery.clone(),
        max_out: settings.max_out,
        ttl_ms: settings.ttl_ms,
        cost: None,
    }
}

/// A member that this agent's configuration does not have, and can't judge: it keeps its part of
/// the plan.
pub(super) fn unknown_input(planned: &RegionPlan) -> RegionInput {
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
    settings: &PlanSettings,
    name: &RegionName,
    region: &RegionSettings,
    verdict: Option<&RegionVerdict>,
    current: Option<&Plan>,
) -> Vec<IpAddr> {
    let configured = &region.addresses;
    if !settings.judges_each_address {
        return configured.clone();
    }

    let judged = verdict
        .map(|verdict| verdict.addresses.as_slice())
        .unwrap_or_default();
    let in_force = current
        .and_then(|plan| plan.regions.get(name))
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

    answered(configured, judged, in_force)
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
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests;
