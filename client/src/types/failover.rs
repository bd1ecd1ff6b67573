//! The routes below `/v1/failover`.

use super::{
    plan::{PlanDetail, PlannedRegion, ShortfallStatus},
    region::RegionStatus,
    status::LeaderStatus,
    traffic::{FrozenStatus, VerdictStatus},
};
use regionmesh_protocol::{identity::RegionName, status::condition::Condition};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, net::IpAddr};

/// Body of `POST /v1/failover/{drain,hold,promote,restore}`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrderBody {
    /// The region; none: the whole mesh, for a hold and its restoration.
    #[serde(default)]
    pub region: Option<String>,
    /// Who orders.
    #[serde(default)]
    pub by: String,
    /// The operator's reason.
    #[serde(default)]
    pub why: String,
    /// For how long.
    #[serde(default)]
    pub for_ms: Option<u64>,
    /// Whether it may replace another operator's order and drain the last region that can serve.
    #[serde(default)]
    pub force: bool,
    /// Whether a promoted region skips cool-down and ramp.
    #[serde(default)]
    pub immediate: bool,
}

/// Its answer: the plan that the order became part of, committed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct OrderDone {
    /// What was done, and what followed from it.
    pub done: String,
    pub plan: PlanDetail,
}

/// `GET /v1/failover/status`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FailoverStatus {
    /// The agent that answers.
    pub answered_by: String,
    /// When, its clock.
    pub answered_ms: u64,
    /// The leader; none while an election is due.
    pub leader: Option<LeaderStatus>,
    /// Regions that automation may have out at once.
    pub max_out: u16,
    /// Those that it has out.
    pub taken_out: Vec<RegionName>,
    /// Why automatic failover is refused; none if it is not.
    #[serde(default)]
    pub automatic_refused: Option<String>,
    /// The committed plan; none before the first.
    pub plan: Option<PlanDetail>,
    /// The verdict on every region, whatever the plan made of it.
    #[serde(default)]
    pub verdicts: Vec<VerdictStatus>,
    /// Why the plan can't change; none if it can.
    #[serde(default)]
    pub frozen: Option<FrozenStatus>,
}

/// `GET /v1/failover/history`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FailoverHistory {
    /// The agent whose memory this is.
    pub answered_by: String,
    /// The plans that it saw committed, oldest first; at most 1,000.
    pub plans: Vec<PastPlanStatus>,
}

/// A plan that was.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PastPlanStatus {
    /// When the agent learned of it.
    pub seen_ms: u64,
    pub plan: PlanDetail,
}

/// `GET /v1/failover/explain/{region}`: who saw what when, and why the plan is as it is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RegionExplanation {
    /// The agent that answers.
    pub answered_by: String,
    /// When, its clock.
    pub answered_ms: u64,
    /// The region: verdict, votes, observations, its part of the plan.
    pub region: RegionStatus,
    /// What its own agents report of it.
    pub own_reports: Vec<OwnReport>,
    /// What observers judge it by, as configured, in words.
    #[serde(default)]
    pub thresholds: Vec<String>,
    /// Where it stands, in words.
    pub traffic_state: String,
    /// What operators ordered that matters for it.
    pub overrides: Vec<String>,
    /// What the guards did or would do about it.
    pub guards: Vec<String>,
    /// Each condition of its cool-down; empty otherwise.
    pub cool_down: Vec<String>,
    /// Each condition of its ramp step; empty unless it is on the ramp.
    pub ramp: Vec<String>,
    /// The last plans that say something of it, oldest first.
    pub reasons: Vec<PastReason>,
}

/// What an agent reports of its own region.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct OwnReport {
    pub agent: String,
    /// What it reports; none: it says nothing yet.
    pub condition: Option<Condition>,
    /// The one address that it speaks for; none: for the region as a whole.
    #[serde(default)]
    pub address: Option<IpAddr>,
    /// How long ago the answering agent heard it.
    pub age_ms: u64,
}

/// Why a plan was made.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PastReason {
    /// When the answering agent learned of the plan.
    pub seen_ms: u64,
    /// The plan's sequence number.
    pub seq: u64,
    /// Why it differed from the one before.
    pub reason: String,
}

/// Body of `POST /v1/failover/what-if`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Assumptions {
    /// Regions, and the verdicts on them that are to be assumed.
    #[serde(default)]
    pub assume: BTreeMap<RegionName, Condition>,
}

/// Its answer: the plan that would be made. Nothing was changed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct WhatIf {
    /// Whether another plan would be made at all.
    pub would_change: bool,
    /// Why it would differ.
    pub reason: String,
    /// Regions that would keep a part of their share although they look failed.
    pub limited: Vec<RegionName>,
    /// What could not be moved for want of capacity.
    pub shortfall: Option<ShortfallStatus>,
    /// Every region's part of it.
    pub regions: Vec<PlannedRegion>,
    /// Every region's part of the plan that stands.
    pub before: Vec<PlannedRegion>,
}
