//! Factors on the weights of regions that move traffic to cheaper ones.

use super::FULL_WEIGHT_BP;
use crate::identity::RegionName;

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The smallest factor, basis points.
pub const COST_FACTOR_MIN_BP: u16 = 5_000;

/// The factors that apply.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CostShift {
    /// By region, basis points of its weight; regions without a factor have all of theirs.
    pub factors_bp: BTreeMap<RegionName, u16>,
    /// When they last changed, leader's clock, Unix milliseconds; 0 if never.
    pub changed_ms: u64,
}

impl CostShift {
    /// The factor on a region's weight, basis points.
    pub fn factor_bp(&self, region: &RegionName) -> u16 {
        self.factors_bp
            .get(region)
            .copied()
            .unwrap_or(FULL_WEIGHT_BP)
    }

    /// The shift with other factors; none if they are equal.
    pub fn changed(&self, factors_bp: BTreeMap<RegionName, u16>, now_ms: u64) -> Option<Self> {
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

/// A weight with its factor, rounded up so that a small weight does not become 0.
pub fn weighted_bp(weight_bp: u16, factor_bp: u16) -> u16 {
    let weight = (u32::from(weight_bp) * u32::from(factor_bp)).div_ceil(u32::from(FULL_WEIGHT_BP));
    u16::try_from(weight).unwrap_or(weight_bp).min(weight_bp)
}
