//! Traffic that is moved to cheaper regions: factors on the weights, from the leader's rule
//! (`regionmesh-cost`).
//!
//! They count only while nothing else decides: every region serves, no order is in effect and no
//! region is full. Otherwise the plan immediately has the weights that it would have without them.

use super::Strategy;
use regionmesh_protocol::{
    identity::RegionName,
    plan::{FULL_WEIGHT_BP, RegionPlan, TrafficState},
    status::condition::Condition,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The factors from the leader's rule.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CostTarget {
    /// By region, basis points of its weight, [`regionmesh_protocol::plan::COST_FACTOR_MIN_BP`] to
    /// [`FULL_WEIGHT_BP`].
    pub factors_bp: BTreeMap<RegionName, u16>,
    /// Why, and what that saves.
    pub reason: String,
}

impl CostTarget {
    /// Whether every region has all of its weight.
    pub fn is_normal(&self) -> bool {
        self.factors_bp
            .values()
            .all(|factor_bp| *factor_bp >= FULL_WEIGHT_BP)
    }
}

/// Why no traffic may be moved for cost, given the regions and their verdicts; none if it may.
pub(super) fn obstacle<'a>(
    strategy: Strategy,
    mut regions: impl Iterator<Item = (&'a RegionPlan, Condition)>,
    has_orders: bool,
    has_shortfall: bool,
) -> Option<&'static str> {
    let serves = |(region, condition): (&RegionPlan, Condition)| {
        region.traffic_state == TrafficState::Serving
            && !matches!(condition, Condition::Failed | Condition::Draining)
    };

    if strategy == Strategy::ActivePassive {
        Some("one region serves alone")
    } else if !regions.all(serves) {
        Some("not every region serves")
    } else if has_orders {
        Some("an operator's order is in effect")
    } else if has_shortfall {
        Some("regions are full")
    } else {
        None
    }
}
