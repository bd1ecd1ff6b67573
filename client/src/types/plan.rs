//! The committed plan.

use super::traffic::YieldedStatus;
use regionmesh_protocol::{
    identity::RegionName,
    plan::{Override, OverrideKind, Shortfall},
    text::escape,
};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// The committed plan in brief.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PlanStatus {
    /// Its number, counted over all leaders.
    pub seq: u64,
    /// The ballot that it was committed under.
    pub ballot: BallotStatus,
    /// Why it differs from the one before.
    pub reason: String,
    /// When it was made, the answering agent's clock.
    pub made_ms: u64,
    /// How long ago that is.
    pub age_ms: u64,
    /// Since when the verdict on every region has been failed, its leader's clock; none while one
    /// serves.
    #[serde(default)]
    pub all_failed_ms: Option<u64>,
    /// Orders without effect, since obeying them would leave users on a region that can't serve.
    #[serde(default)]
    pub yielded: Vec<YieldedStatus>,
}

/// `GET /v1/plan`: the committed plan.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PlanDetail {
    /// The plan in brief.
    #[serde(flatten)]
    pub brief: PlanStatus,
    /// Every region's part.
    pub regions: Vec<PlannedRegion>,
    /// What operators ordered and stands.
    #[serde(default)]
    pub overrides: Vec<OverrideStatus>,
    /// What could not be moved for want of capacity.
    #[serde(default)]
    pub shortfall: Option<ShortfallStatus>,
}

/// A standing order.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct OverrideStatus {
    /// The region; none: the whole mesh.
    pub region: Option<RegionName>,
    /// `drain`, `hold` or `promote`.
    pub kind: OverrideKind,
    /// Who ordered it.
    pub by: String,
    /// The operator's reason.
    pub why: String,
    /// Whether a promoted region skips cool-down and ramp.
    #[serde(default)]
    pub immediate: bool,
    /// When, the answering agent's clock.
    pub set_ms: u64,
    /// From when it does not count any more, the answering agent's clock.
    pub expires_ms: u64,
    /// Time left.
    #[serde(default)]
    pub left_ms: u64,
}

impl OverrideStatus {
    /// A standing order as it is at `now_ms`.
    pub fn of(existing: &Override, now_ms: u64) -> Self {
        let Override {
            region,
            kind,
            mut by,
            mut why,
            is_immediate,
            set_ms,
            expires_ms,
        } = existing.clone();

        escape(&mut by);
        escape(&mut why);

        let left_ms = expires_ms.saturating_sub(now_ms);
        Self {
            region,
            kind,
            by,
            why,
            immediate: is_immediate,
            set_ms,
            expires_ms,
            left_ms,
        }
    }
}

/// What the capacity guard kept from moving.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct ShortfallStatus {
    /// Load of the whole mesh that was reckoned with, requests per second.
    pub load_rps: u32,
    /// How much of it stays where it should not, requests per second.
    pub unmoved_rps: u32,
}

impl From<Shortfall> for ShortfallStatus {
    fn from(
        Shortfall {
            load_rps,
            unmoved_rps,
        }: Shortfall,
    ) -> Self {
        Self {
            load_rps,
            unmoved_rps,
        }
    }
}

/// One region's part of the plan.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PlannedRegion {
    pub region: RegionName,
    /// Its weight, basis points.
    pub weight_bp: u16,
    /// Its share of the traffic, 0 to 1.
    pub share: f64,
    /// Serving, reduced, limited, out, cooling-down or ramping.
    pub traffic_state: String,
    /// Since when; none while it serves or is reduced.
    pub since_ms: Option<u64>,
    /// While ramping: the step's percentage.
    pub ramp_percent: Option<u8>,
    /// What DNS answers for it.
    pub addresses: Vec<IpAddr>,
    /// How often it failed lately.
    pub flaps: u32,
    /// When it last failed; none if it never did.
    pub failed_ms: Option<u64>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BallotStatus {
    pub number: u64,
    /// Whose it is.
    pub agent: String,
}
