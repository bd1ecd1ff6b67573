//! What a request costs in each region.

use crate::config::Config;
use regionmesh_cost::{Amount, Currency};
use regionmesh_protocol::identity::RegionName;
use std::collections::{BTreeMap, BTreeSet};

/// What a request costs and how long it takes, by region.
#[derive(Debug, Clone, PartialEq)]
pub struct RequestCosts {
    /// When it was computed, Unix milliseconds.
    pub at_ms: u64,
    /// The currency of all amounts.
    pub currency: Currency,
    /// Cost of a million requests if the region served the mesh's mix of models: time on inference
    /// slots, and egress of the answers to users.
    pub per_million: BTreeMap<RegionName, Amount>,
    /// Round trip plus inference, milliseconds, by the region that serves and the region of the
    /// users.
    pub latency_ms: BTreeMap<RegionName, BTreeMap<RegionName, u32>>,
    /// Highest latency that moving traffic may cause, milliseconds.
    pub latency_bound_ms: u32,
    /// Whether a budget whose action is `shift` is used up.
    pub is_budget_used_up: bool,
    /// Regions whose own `shift` budget is used up: they get no additional traffic.
    pub used_up: BTreeSet<RegionName>,
}

impl RequestCosts {
    /// Whether traffic is to be moved at all.
    pub(super) fn is_wanted(&self, config: &Config) -> bool {
        config.traffic.cost || self.is_budget_used_up
    }
}
