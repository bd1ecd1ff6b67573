//! The record sets for a committed plan. Pure.
//!
//! `serving.<zone>` gets one set per region and address family; `<region>.serving.<zone>` always
//! answers that region.

use super::{
    records::{RecordSet, Routing},
    settings::{Settings, set_identifier},
    weights::weights,
};
use crate::config::RecordKind;
use regionmesh_protocol::{
    identity::RegionName,
    plan::{CommittedPlan, RegionPlan, TrafficState},
};
use std::{collections::BTreeMap, net::IpAddr};

/// No region of the plan can serve.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "no region with an address has a share of the traffic in the plan; the zone is left unchanged"
)]
pub(crate) struct NothingServes;

/// One region's part in the record sets of one address family.
struct Member<'a> {
    name: &'a RegionName,
    plan: &'a RegionPlan,
    values: Vec<String>,
}

/// Every record set that should exist, except the fence. `checks` are the health checks of the
/// regions.
///
/// An address family without a serving region gets no sets: they would send users to regions
/// without a share.
pub(crate) fn wanted(
    settings: &Settings,
    committed: &CommittedPlan,
    checks: &BTreeMap<RegionName, String>,
) -> Result<Vec<RecordSet>, NothingServes> {
    let mut sets = Vec::new();
    let mut is_served = false;
    for (record_type, is_v4) in [("A", true), ("AAAA", false)] {
        let members: Vec<_> = committed
            .plan
            .regions
            .iter()
            .filter_map(|(name, plan)| member(name, plan, is_v4))
            .collect();

        let set = |name, routing, values: &[String], health_check| RecordSet {
            name,
            record_type: record_type.into(),
            routing,
            ttl_s: Some(settings.ttl_s),
            values: values.to_vec(),
            health_check,
            has_other_parts: false,
        };

        if members.iter().any(|member| member.plan.weight_bp > 0) {
            is_served = true;
            for (member, routing) in routed(settings, &members) {
                let check = checks.get(member.name).cloned();
                sets.push(set(settings.service_name(), routing, &member.values, check));
            }
        }

        for member in &members {
            let name = settings.region_name(member.name.as_str());
            sets.push(set(name, Routing::Simple, &member.values, None));
        }
    }

    if is_served {
        Ok(sets)
    } else {
        Err(NothingServes)
    }
}

fn member<'a>(name: &'a RegionName, plan: &'a RegionPlan, is_v4: bool) -> Option<Member<'a>> {
    let mut addresses: Vec<IpAddr> = plan.addresses.iter().map(IpAddr::to_canonical).collect();
    addresses.retain(|address| address.is_ipv4() == is_v4);
    addresses.sort_unstable();
    addresses.dedup();

    let values: Vec<_> = addresses.iter().map(IpAddr::to_string).collect();
    (!values.is_empty()).then_some(Member { name, plan, values })
}

fn routed<'a, 'b>(
    settings: &Settings,
    members: &'b [Member<'a>],
) -> Vec<(&'b Member<'a>, Routing)> {
    match settings.records {
        RecordKind::Weighted => {
            let shares: Vec<_> = members.iter().map(|member| member.plan.weight_bp).collect();
            let weighted = |(member, weight): (&'b Member<'a>, u8)| {
                (
                    member,
                    Routing::Weighted {
                        id: set_identifier(member.name),
                        weight,
                    },
                )
            };

            // Weight 0 stays: Route 53 falls back to such sets when all others are unhealthy.
            members.iter().zip(weights(&shares)).map(weighted).collect()
        }
        RecordKind::Failover => {
            let mut order: Vec<_> = members.iter().collect();
            order.sort_by_key(|member| preference(settings, member));

            let role = |(place, member): (usize, &'b Member<'a>)| {
                (
                    member,
                    Routing::Failover {
                        id: set_identifier(member.name),
                        is_primary: place == 0,
                    },
                )
            };

            order.into_iter().take(2).enumerate().map(role).collect()
        }
        RecordKind::Latency => {
            let sharing = members.iter().filter(|member| member.plan.weight_bp > 0);
            let near = |member: &'b Member<'a>| {
                let region = settings
                    .region(member.name)
                    .map(|region| region.latency_region.clone());
                let region = region.unwrap_or_else(|| member.name.to_string());

                (
                    member,
                    Routing::Latency {
                        id: set_identifier(member.name),
                        region,
                    },
                )
            };

            // One set for each AWS region: of two regions next to the same one, that with the
            // larger share.
            let mut nearest: BTreeMap<String, (&'b Member<'a>, Routing)> = BTreeMap::new();
            for (member, routing) in sharing.map(near) {
                let Routing::Latency { region, .. } = &routing else {
                    continue;
                };
                let is_better = nearest
                    .get(region)
                    .is_none_or(|(other, _)| other.plan.weight_bp < member.plan.weight_bp);

                if is_better {
                    nearest.insert(region.clone(), (member, routing));
                }
            }

            nearest.into_values().collect()
        }
    }
}

/// Which region comes first: the larger share, then the better traffic state, then the configured
/// order.
fn preference(settings: &Settings, member: &Member<'_>) -> impl Ord + use<> {
    let state_rank = match member.plan.traffic_state {
        TrafficState::Serving => 0,
        TrafficState::Reduced => 1,
        TrafficState::Ramping { .. } => 2,
        TrafficState::CoolingDown { .. } => 3,
        TrafficState::Limited { .. } => 4,
        TrafficState::Out { .. } => 5,
    };
    let priority = settings
        .region(member.name)
        .map_or(u16::MAX, |region| region.priority);

    (
        std::cmp::Reverse(member.plan.weight_bp),
        state_rank,
        priority,
        member.name.clone(),
    )
}
