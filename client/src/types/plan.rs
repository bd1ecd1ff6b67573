//! The committed plan.

use super::traffic::YieldedStatus;
use regionmesh_protocol::{
    identity::RegionName,
    plan::{Override, OverrideKind, Shortfall},
    text::escape,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// The committed plan in brief.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct PlanStatus {
    /// The plan's number, counted over all leaders.
    pub seq: u64,
    /// The ballot under which it was committed.
    pub ballot: BallotStatus,
    /// Why it differs from the previous plan.
    pub reason: String,
    /// When it was made, by the answering agent's clock, Unix milliseconds.
    pub made_ms: u64,
    /// How long ago that is, milliseconds.
    pub age_ms: u64,
    /// Since when every region has been failed, by its leader's clock, Unix milliseconds; null
    /// while one serves.
    #[serde(default)]
    pub all_failed_ms: Option<u64>,
    /// Orders without effect: obeying them would leave users on a region that can't serve.
    #[serde(default)]
    pub yielded: Vec<YieldedStatus>,
}

/// The committed plan.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct PlanDetail {
    /// The plan in brief.
    #[serde(flatten)]
    pub brief: PlanStatus,
    /// Every region's part.
    pub regions: Vec<PlannedRegion>,
    /// The operators' orders in force.
    #[serde(default)]
    pub overrides: Vec<OverrideStatus>,
    /// Load that could not be moved because capacity is missing; null if all could.
    #[serde(default)]
    pub shortfall: Option<ShortfallStatus>,
    /// The agents that signed for their regions' acceptors that it was accepted. Too few without
    /// the witness's vote, or none: the answering agent asked the acceptors itself.
    #[serde(default)]
    pub signed_by: Vec<String>,
}

/// An order in force.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct OverrideStatus {
    /// The region; null: the whole mesh.
    pub region: Option<RegionName>,
    /// What it does.
    pub kind: OverrideKind,
    /// Who ordered it, as given.
    pub by: String,
    /// Why, as given.
    pub why: String,
    /// Whether a promoted region skips cool-down and ramp.
    #[serde(default)]
    pub immediate: bool,
    /// When it was given, by the answering agent's clock, Unix milliseconds.
    pub set_ms: u64,
    /// When it expires, by the answering agent's clock, Unix milliseconds.
    pub expires_ms: u64,
    /// Time left, milliseconds.
    #[serde(default)]
    pub left_ms: u64,
}

impl OverrideStatus {
    /// An order in force, as it is at `now_ms`.
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

/// Load that the capacity guard kept from moving.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
pub struct ShortfallStatus {
    /// Load of the whole mesh that the plan assumes, requests per second.
    pub load_rps: u32,
    /// How much of it can't be moved to where it should be, requests per second.
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

/// A region's part of the plan.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct PlannedRegion {
    pub region: RegionName,
    /// Its weight, basis points of a full share.
    pub weight_bp: u16,
    /// Its share of the traffic, 0 to 1.
    pub share: f64,
    /// `serving`, `reduced`, `limited`, `out`, `cooling-down` or `ramping`.
    pub traffic_state: String,
    /// Since when, Unix milliseconds; null while it serves or is reduced.
    pub since_ms: Option<u64>,
    /// The step's percentage; null unless it is ramping.
    pub ramp_percent: Option<u8>,
    /// The addresses that DNS answers for it.
    pub addresses: Vec<IpAddr>,
    /// How often it failed recently.
    pub flaps: u32,
    /// When it last failed, Unix milliseconds; null if it never did.
    pub failed_ms: Option<u64>,
}

/// A ballot: the right to propose plans.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct BallotStatus {
    pub number: u64,
    /// The agent whose ballot it is.
    pub agent: String,
}
