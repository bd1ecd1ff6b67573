//! Regions: verdicts, observations and their parts of the plan.

use super::{entry::millis, plans::ramp_percent};
use crate::{config::Config, snapshots::Snapshots};
use regionmesh_client::{
    AddressSeen, AddressStatus, ObservationStatus, RegionStatus, VerdictStatus, VoteStatus,
};
use regionmesh_core::{
    gossip::BoardView,
    health::verdict::{AddressVerdict, RegionVerdict},
    planning::forecast,
};
use regionmesh_protocol::{
    identity::RegionName,
    plan::Plan,
    status::{
        StatusEntry, StatusKind,
        condition::{AddressObservation, Condition},
    },
};
use std::net::IpAddr;

/// The verdict on every region of the configuration.
pub(crate) fn verdicts(config: &Config, snapshots: &Snapshots) -> Vec<VerdictStatus> {
    let verdicts = snapshots.verdicts.borrow().clone();
    let status = |region: &crate::config::RegionConfig| {
        let verdict = verdicts.get(&region.name);
        VerdictStatus {
            region: region.name.clone(),
            verdict: verdict.map_or(Condition::Unknown, |verdict| verdict.condition),
            since_ms: verdict.map_or(0, |verdict| verdict.since_ms),
            reason: verdict
                .map(|verdict| verdict.reason.clone())
                .unwrap_or_default(),
        }
    };

    config.regions.iter().map(status).collect()
}

/// What each agent saw last of one region's endpoint.
fn observations(board: &BoardView, region: &RegionName) -> Vec<ObservationStatus> {
    let seen = board
        .agents
        .iter()
        .filter(|(_, view)| view.is_alive)
        .filter_map(|(id, view)| {
            let seen = view.status_entries.get(&StatusKind::Observations)?;
            let StatusEntry::Observations(all) = &*seen.status_entry else {
                return None;
            };
            let observation = all
                .regions
                .iter()
                .find(|observation| observation.region == *region)?;

            Some(ObservationStatus {
                observer: id.to_string(),
                condition: observation.condition,
                evidence: observation.evidence.clone(),
                since_ms: observation.since_ms,
                round_trip_us: observation.round_trip_us,
                addresses: observation.addresses.iter().map(address_seen).collect(),
                age_ms: millis(seen.seen_at.elapsed()),
            })
        });

    seen.collect()
}

fn address_seen(seen: &AddressObservation) -> AddressSeen {
    AddressSeen {
        address: seen.address,
        condition: seen.condition,
        evidence: seen.evidence.clone(),
        since_ms: seen.since_ms,
        probed_ms: seen.probed_ms,
        round_trip_us: seen.round_trip_us,
        quantile_us: seen.quantile_us,
        error_bp: seen.error_bp,
        inference: seen.inference,
    }
}

/// The verdict on each address, and whether it is among those that are `answered`.
fn address_verdicts(verdict: Option<&RegionVerdict>, answered: &[IpAddr]) -> Vec<AddressStatus> {
    let judged = verdict
        .map(|verdict| verdict.addresses.as_slice())
        .unwrap_or_default()
        .iter();
    let status = |judged: &AddressVerdict| AddressStatus {
        address: judged.address,
        verdict: judged.condition,
        since_ms: judged.since_ms,
        reason: judged.reason.clone(),
        answered: answered.contains(&judged.address),
    };

    judged.map(status).collect()
}

/// The status of every region. The times of `plan`, the committed one, must be by this agent's
/// clock.
pub(crate) fn regions(
    config: &Config,
    snapshots: &Snapshots,
    plan: Option<&Plan>,
) -> Vec<RegionStatus> {
    let shares = plan.map(Plan::shares).unwrap_or_default();
    let is_member = |name: &RegionName| plan.is_none_or(|plan| plan.members.may_serve(name));
    let inputs = snapshots.plan_inputs.borrow().clone();
    let verdicts = snapshots.verdicts.borrow().clone();
    let board = snapshots.board.borrow().clone();
    let region = |region: &crate::config::RegionConfig| {
        let planned = plan.and_then(|plan| plan.regions.get(&region.name));
        let verdict = verdicts.get(&region.name);
        let input = inputs
            .as_ref()
            .and_then(|inputs| inputs.regions.get(&region.name));
        let votes = verdict
            .map(|verdict| verdict.votes.as_slice())
            .unwrap_or_default()
            .iter();

        let votes = votes.map(|(region, condition)| VoteStatus {
            region: region.clone(),
            condition: *condition,
        });
        let addresses = planned.map_or_else(
            || region.dns_addresses(),
            |planned| planned.addresses.clone(),
        );
        let ttl_ms = u64::from(config.dns.ttl_s).saturating_mul(1_000);
        let forecast = planned.and_then(|planned| forecast(planned, &config.recovery, ttl_ms));

        RegionStatus {
            region: region.name.clone(),
            cloud: region.cloud.clone(),
            endpoint: region.endpoint.clone(),
            serving_url: region.serving_url.clone(),
            verdict: verdict.map_or(Condition::Unknown, |verdict| verdict.condition),
            verdict_since_ms: verdict.map_or(0, |verdict| verdict.since_ms),
            verdict_reason: verdict
                .map(|verdict| verdict.reason.clone())
                .unwrap_or_default(),
            votes: votes.collect(),
            observations: observations(&board, &region.name),
            weight_bp: planned.map_or(0, |planned| planned.weight_bp),
            share: shares.get(&region.name).copied().unwrap_or(0.0),
            traffic_state: match planned {
                Some(planned) => planned.traffic_state.as_str(),
                None if is_member(&region.name) => "unplanned",
                None => "not a member",
            }
            .into(),
            ramp_percent: planned.and_then(|planned| ramp_percent(config, &planned.traffic_state)),
            ramp_starts_ms: forecast.and_then(|forecast| forecast.ramp_ms),
            full_share_ms: forecast.map(|forecast| forecast.full_ms),
            address_verdicts: address_verdicts(verdict, &addresses),
            addresses,
            flaps: planned.map_or(0, |planned| planned.flaps),
            load_rps: input.and_then(|input| input.load_rps),
            capacity_rps: input.map_or(region.capacity_rps, |input| input.capacity_rps),
            measured_capacity_rps: input.and_then(|input| input.measured_capacity_rps),
        }
    };

    config.regions.iter().map(region).collect()
}
