//! Restricts a plan to what this agent's own configuration allows.
//!
//! Regardless of the plan, users are only sent to addresses that this agent's configuration has for
//! the region. A plan distributes traffic among regions and leaves out addresses that are down; the
//! addresses of a region come from the operator. So neither a forged plan nor a poisoned file or
//! register can send users elsewhere.
//!
//! Configurations differ while a change of addresses is rolled out. Then an agent answers the
//! addresses of a region that are in both or, if there are none, all from its own configuration. A
//! region missing from its configuration is left out, and the others share its traffic.

use crate::config::Region;
use regionmesh_core::planning::is_among;
use regionmesh_protocol::{identity::RegionName, plan::CommittedPlan};
use std::net::IpAddr;

/// The part of a plan that may be answered.
pub fn restrict_plan(known: &[Region], committed: &CommittedPlan) -> CommittedPlan {
    let mut committed = committed.clone();
    committed.plan.regions.retain(|region, planned| {
        let Some(known) = addresses(known, region) else {
            return false;
        };
        planned
            .addresses
            .retain(|address| is_among(known, *address));
        if planned.addresses.is_empty() {
            planned.addresses = known.to_vec();
        }

        true
    });

    committed
}

/// The configured addresses of a region; none if the configuration does not have it.
fn addresses<'a>(known: &'a [Region], name: &RegionName) -> Option<&'a [IpAddr]> {
    known
        .iter()
        .find(|region| region.name == *name)
        .map(|region| &region.addresses[..])
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::config::fixture;
    use proptest::{collection::vec, prelude::*};
    use regionmesh_core::planning::unknown_addresses;
    use regionmesh_protocol::{
        plan::{Plan, RegionPlan},
        register::ballot::{Ballot, Stamp},
    };

    fn committed(regions: &[(String, Vec<IpAddr>)]) -> CommittedPlan {
        let part = |addresses: &Vec<IpAddr>| RegionPlan {
            addresses: addresses.clone(),
            weight_bp: 7,
            ..RegionPlan::default()
        };
        let regions = regions
            .iter()
            .map(|(name, addresses)| (name.parse().unwrap(), part(addresses)))
            .collect();

        let stamp = Stamp {
            ballot: Ballot {
                number: 1,
                agent: "a/x".parse().unwrap(),
                boot: 1,
            },
            seq: 1,
        };

        CommittedPlan {
            stamp,
            plan: Plan {
                regions,
                ..Plan::default()
            },
        }
    }

    proptest! {
        #[test]
        fn no_plan_can_add_an_address_that_is_not_configured_for_the_region(
            regions in vec(("[a-d]", vec((0..4u8, any::<bool>()), 0..4)), 0..4),
        ) {
            let config = fixture::config(
                "regionmesh.test",
                &[("a", "10.0.0.1"), ("b", "10.0.0.2"), ("c", "10.0.0.3")],
            );
            let address = |(last, is_known): (u8, bool)| {
                IpAddr::from([if is_known { 10 } else { 127 }, 0, 0, last])
            };
            let regions: Vec<_> = regions
                .into_iter()
                .map(|(name, all)| (name, all.into_iter().map(address).collect()))
                .collect();
            let committed = committed(&regions);
            let answered = restrict_plan(&config.regions, &committed);

            for (region, planned) in &answered.plan.regions {
                let known = &config.region(region).unwrap().addresses;
                prop_assert!(
                    !planned.addresses.is_empty()
                        && planned
                            .addresses
                            .iter()
                            .all(|address| known.contains(address))
                );

                prop_assert_eq!(planned.weight_bp, 7);
            }

            let strange = unknown_addresses(
                |region| addresses(&config.regions, region),
                &committed.plan,
            );
            let is_complete = |region: &RegionName| {
                strange.contains_key(region) || {
                    let planned = &committed.plan.regions[region].addresses;
                    let answered = &answered.plan.regions[region].addresses;
                    planned == answered || planned.is_empty()
                }
            };

            prop_assert!(
                committed.plan.regions.keys().all(is_complete),
                "what is left out is reported"
            );
        }
    }
}
