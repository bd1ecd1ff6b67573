//! The routes below `/v1/failover`.

use super::{
    plan::{PlanDetail, PlannedRegion, ShortfallStatus},
    region::RegionStatus,
    rules::assumed,
    status::LeaderStatus,
    traffic::{FrozenStatus, VerdictStatus},
};
use regionmesh_protocol::{
    identity::RegionName,
    plan::{BY_MAX, FOR_MAX_MS, FOR_MIN_MS, WHY_MAX},
    schema::printable,
    status::condition::Condition,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, net::IpAddr};

/// An operator's order for a region or the whole mesh.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("required" = ["by"]))]
#[serde(deny_unknown_fields)]
pub struct OrderBody {
    /// The region; null: the whole mesh.
    #[schemars(with = "Option<RegionName>")]
    #[serde(default)]
    pub region: Option<String>,
    /// The author of the order; optional if the token has a name, which takes precedence.
    #[schemars(length(min = 1, max = BY_MAX), pattern(printable("+")))]
    #[serde(default)]
    pub by: String,
    /// The operator's reason.
    #[schemars(length(max = WHY_MAX), pattern(printable("*")))]
    #[serde(default)]
    pub why: String,
    /// For how long, milliseconds: at most 30 days; by default an hour.
    #[schemars(range(min = FOR_MIN_MS, max = FOR_MAX_MS))]
    #[serde(default)]
    pub for_ms: Option<u64>,
    /// Replace another operator's order, or drain the last region that can serve.
    #[serde(default)]
    pub force: bool,
    /// Let a promoted region that is out skip cool-down and ramp.
    #[serde(default)]
    pub immediate: bool,
}

/// An order that is part of the committed plan.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct OrderDone {
    /// What was done, and its effects.
    pub done: String,
    pub plan: PlanDetail,
}

/// The plan, its overrides and its guards.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct FailoverStatus {
    /// The agent that answers: `region/name`.
    pub answered_by: String,
    /// When it answered, by its clock, Unix milliseconds.
    pub answered_ms: u64,
    /// The leader; null while an election is due.
    pub leader: Option<LeaderStatus>,
    /// How many regions automation may take out at the same time.
    pub max_out: u16,
    /// The regions that it has taken out.
    pub taken_out: Vec<RegionName>,
    /// Why automatic failover is refused; null if it is not.
    #[serde(default)]
    pub automatic_refused: Option<String>,
    /// The committed plan; null before the first.
    pub plan: Option<PlanDetail>,
    /// The verdict on every region, whether or not the plan follows it.
    #[serde(default)]
    pub verdicts: Vec<VerdictStatus>,
    /// Why the plan can't change; null if it can.
    #[serde(default)]
    pub frozen: Option<FrozenStatus>,
}

/// The committed plans that the answering agent saw.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct FailoverHistory {
    /// The agent that answers: `region/name`.
    pub answered_by: String,
    /// Oldest first; at most 1,000.
    pub plans: Vec<PastPlanStatus>,
}

/// A committed plan, and when it was seen.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct PastPlanStatus {
    /// When the agent learned of the plan, Unix milliseconds.
    pub seen_ms: u64,
    pub plan: PlanDetail,
}

/// What each observer saw of a region, and why it has its traffic state.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct RegionExplanation {
    /// The agent that answers: `region/name`.
    pub answered_by: String,
    /// When it answered, by its clock, Unix milliseconds.
    pub answered_ms: u64,
    /// Its verdict, votes, observations and part of the plan.
    pub region: RegionStatus,
    /// What its own agents report about it.
    pub own_reports: Vec<OwnReport>,
    /// The configured thresholds of observers, in words.
    #[serde(default)]
    pub thresholds: Vec<String>,
    /// Its traffic state, in words.
    pub traffic_state: String,
    /// The operators' orders that affect it.
    pub overrides: Vec<String>,
    /// What the guards did or would do about it.
    pub guards: Vec<String>,
    /// Each condition of its cool-down; empty unless it is cooling down.
    pub cool_down: Vec<String>,
    /// Each condition of its ramp step; empty unless it is ramping.
    pub ramp: Vec<String>,
    /// The last plans that mention it, oldest first.
    pub reasons: Vec<PastReason>,
}

/// What an agent reports about its own region.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct OwnReport {
    /// The agent: `region/name`.
    pub agent: String,
    /// What it reports; null if it has not reported yet.
    pub condition: Option<Condition>,
    /// The address that the report is about; null: the region as a whole.
    #[serde(default)]
    pub address: Option<IpAddr>,
    /// How long ago the answering agent heard it, milliseconds.
    pub age_ms: u64,
}

/// Why a plan was made.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct PastReason {
    /// When the answering agent learned of the plan, Unix milliseconds.
    pub seen_ms: u64,
    /// The plan's number.
    pub seq: u64,
    /// Why it differed from the previous one.
    pub reason: String,
}

/// Verdicts to assume in a what-if.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Assumptions {
    /// The verdict to assume, by region.
    #[schemars(schema_with = "assumed")]
    #[serde(default)]
    pub assume: BTreeMap<RegionName, Condition>,
}

/// The plan that would be made. Nothing was changed.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct WhatIf {
    /// Whether another plan would be made at all.
    pub would_change: bool,
    /// Why it would differ.
    pub reason: String,
    /// Regions that would keep a part of their share although their verdict is failed.
    pub limited: Vec<RegionName>,
    /// Load that could not be moved because capacity is missing; null if all could.
    pub shortfall: Option<ShortfallStatus>,
    /// Every region's part of that plan.
    pub regions: Vec<PlannedRegion>,
    /// Every region's part of the current plan.
    pub before: Vec<PlannedRegion>,
}
