//! Equal content that was published in several regions. Each of them has a manifest of its own,
//! with its own time and origin, and a fetch must name the one that its sources have.

use regionmesh_protocol::{identity::RegionName, models::manifest::VersionSummary};
use std::collections::BTreeMap;

/// A version to fetch, and the regions that have this manifest of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Offer {
    pub(super) version: VersionSummary,
    pub(super) regions: Vec<RegionName>,
}

/// What regions hold of one content, the manifest that keeps the name first.
pub(super) fn offers<'a>(
    held: impl Iterator<Item = (&'a RegionName, &'a VersionSummary)>,
) -> Vec<Offer> {
    let mut offers: BTreeMap<_, Offer> = BTreeMap::new();
    for (region, version) in held {
        let offer = offers
            .entry((version.published, &version.origin))
            .or_insert_with(|| Offer {
                version: version.clone(),
                regions: Vec::new(),
            });
        offer.regions.push(region.clone());
    }

    offers.into_values().collect()
}
