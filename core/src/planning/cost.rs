//! Traffic that is moved to cheaper regions: factors on the weights, as the leader's rule wants
//! them (`regionmesh-cost`).
//!
//! They count only while nothing else decides: every region serves, no order stands and no region
//! is full. A plan for which that is not so has the weights that it would have without them, at
//! once.

use super::Strategy;
use regionmesh_protocol::{
    identity::RegionName,
    plan::{FULL_WEIGHT_BP, RegionPlan, Standing},
    status::condition::Condition,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The factors that the leader's rule wants.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CostTarget {
    /// By region, basis points of its weight, [`COST_FACTOR_MIN_BP`] to [`FULL_WEIGHT_BP`].
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

/// Why no traffic may be moved for money while regions, with the verdicts on them, stand so; none
/// where it may.
pub(super) fn obstacle<'a>(
    strategy: Strategy,
    mut regions: impl Iterator<Item = (&'a RegionPlan, Condition)>,
    has_orders: bool,
    has_shortfall: bool,
) -> Option<&'static str> {
    let serves = |(region, condition): (&RegionPlan, Condition)| {
        region.standing == Standing::Serving
            && !matches!(condition, Condition::Failed | Condition::Draining)
    };

    if strategy == Strategy::ActivePassive {
        Some("one region serves alone")
    } else if !regions.all(serves) {
        Some("not every region serves")
    } else if has_orders {
        Some("an operator's order stands")
    } else if has_shortfall {
        Some("regions are full")
    } else {
        None
    }
}
