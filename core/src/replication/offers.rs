//! Equal content that was published in several regions. Each of them has a manifest of its own,
//! with its own time and origin, and a fetch must name the one that its sources have.

use super::replicator::Replication;
use regionmesh_protocol::{
    identity::{AgentId, RegionName},
    models::manifest::VersionSummary,
};
use std::collections::BTreeMap;

/// A version to fetch, and the regions that have this manifest of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Offer {
    pub(super) version: VersionSummary,
    regions: Vec<RegionName>,
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

impl Replication {
    /// Which manifest to fetch, and from whom: none while one is fetched, or while each is
    /// unreachable or has just failed.
    pub(super) fn choose(
        &self,
        offers: &[Offer],
        unix_ms: u64,
    ) -> Option<(VersionSummary, Vec<Vec<AgentId>>)> {
        let mut all = offers.iter();
        if all.any(|offer| self.fetches.is_running(&offer.version)) {
            return None;
        }

        let mut free = offers
            .iter()
            .filter(|offer| self.fetches.may_start(&offer.version));
        free.find_map(|offer| self.reachable(offer, unix_ms))
    }

    /// The offer and its sources, if any is connected.
    pub(super) fn reachable(
        &self,
        offer: &Offer,
        unix_ms: u64,
    ) -> Option<(VersionSummary, Vec<Vec<AgentId>>)> {
        let sources = self.view.sources(&offer.regions, unix_ms);
        (!sources.is_empty()).then(|| (offer.version.clone(), sources))
    }
}
