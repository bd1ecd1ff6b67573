//! Traffic that is moved to cheaper regions: factors on the weights, as the leader's rule wants
//! them (`regionmesh-cost`).
//!
//! They count only while nothing else decides: every region serves, no order stands and no region
//! is full. A plan for which that is not so has the weights that it would have without them, at
//! once.

use super::{FULL_WEIGHT_BP, RegionPlan, Standing, Strategy};
use crate::{identity::RegionName, verdict::Condition};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The smallest factor, basis points.
pub const COST_FACTOR_MIN_BP: u16 = 5_000;

/// The factors that apply.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CostShift {
    /// By region, basis points of its weight; regions that are not named have all of theirs.
    pub factors_bp: BTreeMap<RegionName, u16>,
    /// When they last changed, leader's clock, Unix milliseconds; 0 if never.
    pub changed_ms: u64,
}

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

impl CostShift {
    /// The factor on a region's weight, basis points.
    pub fn factor_bp(&self, region: &RegionName) -> u16 {
        self.factors_bp
            .get(region)
            .copied()
            .unwrap_or(FULL_WEIGHT_BP)
    }

    /// The same with other factors, and why they differ; none where they don't.
    pub(super) fn changed(
        &self,
        factors_bp: BTreeMap<RegionName, u16>,
        now_ms: u64,
    ) -> Option<Self> {
        let factors_bp: BTreeMap<RegionName, u16> = factors_bp
            .into_iter()
            .map(|(region, factor_bp)| (region, factor_bp.max(COST_FACTOR_MIN_BP)))
            .filter(|(_, factor_bp)| *factor_bp < FULL_WEIGHT_BP)
            .collect();

        (factors_bp != self.factors_bp).then_some(Self {
            factors_bp,
            changed_ms: now_ms,
        })
    }
}

/// A weight with its factor, rounded up: a small weight does not become none.
pub fn weighted_bp(weight_bp: u16, factor_bp: u16) -> u16 {
    let weight = (u32::from(weight_bp) * u32::from(factor_bp)).div_ceil(u32::from(FULL_WEIGHT_BP));
    u16::try_from(weight).unwrap_or(weight_bp).min(weight_bp)
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
