//! Chooses the region for a client. Pure: the random number is passed in.

use super::{
    Zone,
    region::{Family, ZoneRegion},
};
use crate::nearness::{Client, Networks};

impl Zone {
    /// The table that `serving` answers depend on, if they depend on the client.
    pub(crate) fn tailoring(&self) -> Option<&Networks> {
        Some(&self.networks).filter(|networks| !networks.is_empty())
    }

    /// The region to answer `client` with, and its index; none if no region has a share or an
    /// address of the family.
    pub(crate) fn choose(
        &self,
        client: &Client,
        family: Family,
        random: u32,
    ) -> Option<(usize, &ZoneRegion)> {
        let region = self
            .is_weighted()
            .then(|| self.nearest(client, family, random))??;
        Some((self.place(region)?, region))
    }

    /// The place of one of the zone's own regions.
    pub(crate) fn place(&self, region: &ZoneRegion) -> Option<usize> {
        self.regions
            .iter()
            .position(|known| std::ptr::eq(known, region))
    }

    /// The region to answer `client` with: the nearest that has a share, for the part of its share
    /// that it has; else one drawn by weight.
    pub(crate) fn nearest(
        &self,
        client: &Client,
        family: Family,
        random: u32,
    ) -> Option<&ZoneRegion> {
        let mut state = u64::from(random);
        for index in self.networks.near(&client.network) {
            let Some(region) = self.regions.get(*index) else {
                continue;
            };
            if region.addresses(family).is_empty() {
                continue;
            }

            // No point is below a share of 0: a region without a share is skipped for all.
            let point = mix(&mut state) % u64::from(region.normal_bp.max(1));
            if point < u64::from(region.weight_bp) {
                return Some(region);
            }
        }

        self.draw(family, random)
    }
}

/// Further random numbers from one (SplitMix64, Steele et al. 2014), for draws that must not depend
/// on each other.
fn mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
