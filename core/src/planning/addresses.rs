//! Addresses that a plan names and the configuration does not have.

use regionmesh_protocol::{identity::RegionName, plan::Plan};
use std::{collections::BTreeMap, net::IpAddr};

/// What a plan names and the configuration does not have: regions, each with its unknown addresses,
/// or with none if all of the region is unknown. `known`: the configured addresses of a region;
/// none if the configuration does not have it.
pub fn unknown_addresses<'a>(
    known: impl Fn(&RegionName) -> Option<&'a [IpAddr]>,
    plan: &Plan,
) -> BTreeMap<RegionName, Vec<IpAddr>> {
    let unknown = plan.regions.iter().filter_map(|(region, planned)| {
        let Some(known) = known(region) else {
            return Some((region.clone(), Vec::new()));
        };
        let strange = planned
            .addresses
            .iter()
            .filter(|address| !is_among(known, **address));
        let strange: Vec<IpAddr> = strange.copied().collect();

        (!strange.is_empty()).then(|| (region.clone(), strange))
    });

    unknown.collect()
}

/// Whether `known` has this address. An IPv4 address may be written as IPv6 too.
pub fn is_among(known: &[IpAddr], address: IpAddr) -> bool {
    known
        .iter()
        .any(|known| known.to_canonical() == address.to_canonical())
}
