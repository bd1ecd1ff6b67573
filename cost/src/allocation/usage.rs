//! Costs and usage by day and region.

use crate::money::{Amount, Currency};
use std::collections::BTreeMap;

/// Keyed by day (as text), region and currency.
pub(super) type Costs = BTreeMap<(String, String, Currency), Cost>;

pub(super) type RegionDays = BTreeMap<(String, String), RegionDay>;

/// A region's cost on a day.
#[derive(Default)]
pub(super) struct Cost {
    pub(super) tagged: BTreeMap<String, Amount>,
    /// Serving capacity that models share.
    pub(super) shared: Amount,
    /// Commitments that were not used.
    pub(super) unused: Amount,
    pub(super) other: Amount,
}

/// A region's usage on a day.
#[derive(Default)]
pub(super) struct RegionDay {
    pub(super) models: BTreeMap<String, Usage>,
    pub(super) capacity_ms: Option<u64>,
}

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Usage {
    pub(super) requests: u64,
    pub(super) busy_ms: u64,
}

impl Usage {
    pub(super) fn add(&mut self, other: Self) {
        self.requests = self.requests.saturating_add(other.requests);
        self.busy_ms = self.busy_ms.saturating_add(other.busy_ms);
    }
}

impl RegionDay {
    pub(super) fn busy_ms(&self) -> u64 {
        self.models
            .values()
            .fold(0, |sum: u64, usage| sum.saturating_add(usage.busy_ms))
    }

    pub(super) fn idle_ms(&self) -> u64 {
        self.capacity_ms
            .map_or(0, |capacity| capacity.saturating_sub(self.busy_ms()))
    }
}
