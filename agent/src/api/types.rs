//! The JSON of the API, for the server and the command line alike. Ages and durations in
//! milliseconds, points in time as Unix milliseconds.

mod cost;
mod members;
mod models;
mod traffic;
mod uploads;

pub use cost::{PricesBody, PricesDone};
pub use members::{MemberBody, MemberStatus, MembersStatus, NewNameBody};
pub use models::{
    AliasStatus, BeginUpload, FileStatus, ModelStatus, Models, Promote, Promoted, UnservableStatus,
    UploadBegun, VersionBrief, VersionDetail, VersionStatus,
};
use regionmesh_protocol::{
    event::Severity,
    identity::RegionName,
    plan::{Override, OverrideKind, Shortfall},
    status::{condition::Condition, problem::ProblemKind},
    text::escape,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, net::IpAddr};
pub use traffic::{FrozenStatus, VerdictStatus, YieldedStatus};
pub use uploads::{UploadStatus, Uploads};

/// `GET /v1/status`: the whole mesh, as the answering agent knows it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Status {
    /// The mesh.
    pub mesh: String,
    /// The agent that answers.
    pub answered_by: String,
    /// When, its clock: ages and points in time of this answer are told by it.
    #[serde(default)]
    pub answered_ms: u64,
    /// The committed plan in brief; none before the first.
    pub plan: Option<PlanStatus>,
    /// The leader; none while an election is due.
    pub leader: Option<LeaderStatus>,
    /// Every region.
    pub regions: Vec<RegionStatus>,
    /// Every agent ever heard of and not yet forgotten.
    pub agents: Vec<AgentStatus>,
    /// Every model.
    pub models: Vec<ModelStatus>,
    /// Problems that agents report of themselves, the most urgent first.
    #[serde(default)]
    pub problems: Vec<ProblemStatus>,
    /// What operators ordered and stands.
    #[serde(default)]
    pub orders: Vec<OverrideStatus>,
    /// Why the plan can't change; none if it can.
    #[serde(default)]
    pub frozen: Option<FrozenStatus>,
}

/// A problem that one agent reports.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ProblemStatus {
    /// The agent's region.
    pub region: RegionName,
    /// The agent, region/name.
    pub agent: String,
    /// What kind of problem.
    pub kind: ProblemKind,
    /// How urgent it is.
    pub severity: Severity,
    /// What it is about.
    pub subject: String,
    /// What was seen, and what to do.
    pub detail: String,
    /// Since when, the agent's clock.
    pub since_ms: u64,
}

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
    /// Why.
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
    pub fn of(standing: &Override, now_ms: u64) -> Self {
        let Override {
            region,
            kind,
            mut by,
            mut why,
            is_immediate,
            set_ms,
            expires_ms,
        } = standing.clone();

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
    /// Why.
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
    /// The plan.
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
    /// The plan.
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
    pub standing: String,
    /// What operators ordered that matters for it.
    pub overrides: Vec<String>,
    /// What the guards did or would do about it.
    pub guards: Vec<String>,
    /// Each condition of its gate; empty unless it is in it.
    pub gate: Vec<String>,
    /// Each condition of its ramp step; empty unless it is on the ramp.
    pub ramp: Vec<String>,
    /// The last plans that say something of it, oldest first.
    pub reasons: Vec<PastReason>,
}

/// What an agent reports of its own region.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct OwnReport {
    /// The agent.
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
    /// Its number.
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

/// One region's part of the plan.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PlannedRegion {
    /// The region.
    pub region: RegionName,
    /// Its weight, basis points.
    pub weight_bp: u16,
    /// Its share of the traffic, 0 to 1.
    pub share: f64,
    /// Where it stands: serving, reduced, out, gated, ramping.
    pub standing: String,
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

/// A ballot.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BallotStatus {
    /// Its number.
    pub number: u64,
    /// Whose it is.
    pub agent: String,
}

/// The leader.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LeaderStatus {
    /// The leading agent.
    pub agent: String,
    /// Its ballot's number.
    pub ballot: u64,
}

/// One region.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RegionStatus {
    /// The region.
    pub region: RegionName,
    /// Its cloud.
    pub cloud: String,
    /// Where its agents are reached.
    pub endpoint: String,
    /// Where its models are served.
    pub serving_url: String,
    /// The verdict on it.
    pub verdict: Condition,
    /// Since when.
    pub verdict_since_ms: u64,
    /// Why.
    pub verdict_reason: String,
    /// What each observing region says.
    pub votes: Vec<VoteStatus>,
    /// What each observing agent saw last.
    #[serde(default)]
    pub observations: Vec<ObservationStatus>,
    /// Its weight in the plan, basis points.
    pub weight_bp: u16,
    /// Its share of the traffic, 0 to 1.
    pub share: f64,
    /// Where it stands in the plan: serving, reduced, out, gated, ramping; unplanned before the
    /// first plan.
    pub standing: String,
    /// While ramping: the step's percentage.
    pub ramp_percent: Option<u8>,
    /// While it cools down: when its ramp begins at the earliest, Unix milliseconds.
    #[serde(default)]
    pub ramp_starts_ms: Option<u64>,
    /// On its way back: when it has its full share at the earliest, Unix milliseconds.
    #[serde(default)]
    pub full_share_ms: Option<u64>,
    /// What DNS answers for it.
    pub addresses: Vec<IpAddr>,
    /// The verdict on each of its addresses; empty where its endpoint is probed as a whole.
    #[serde(default)]
    pub address_verdicts: Vec<AddressStatus>,
    /// How often it failed lately.
    pub flaps: u32,
    /// What it serves, requests per second; none where nobody measures.
    #[serde(default)]
    pub load_rps: Option<u32>,
    /// What it can serve at most, requests per second, as the capacity guard reckons: declared, or
    /// measured where `traffic.measured_capacity` is on; none: nothing known.
    #[serde(default)]
    pub capacity_rps: Option<u32>,
    /// What it can serve at most by measurement, requests per second.
    #[serde(default)]
    pub measured_capacity_rps: Option<u32>,
}

/// One address of a region.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AddressStatus {
    /// The address.
    pub address: IpAddr,
    /// The verdict on it.
    pub verdict: Condition,
    /// Since when.
    pub since_ms: u64,
    /// Why.
    pub reason: String,
    /// Whether DNS answers it.
    pub answered: bool,
}

/// What one observing agent saw of one address.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AddressSeen {
    /// The address; none where the endpoint is probed by its name.
    pub address: Option<IpAddr>,
    /// What the observer concludes.
    pub condition: Condition,
    /// Its last probe in words, and why it is gray if it is.
    pub evidence: String,
    /// Since when it concludes so, its clock.
    pub since_ms: u64,
    /// When it probed last, its clock; 0 if never.
    pub probed_ms: u64,
    /// Time of its last successful probe, microseconds.
    pub round_trip_us: Option<u64>,
    /// The quantile of recent probes that the thresholds speak of, microseconds.
    pub quantile_us: Option<u64>,
    /// Part of recent probes that failed, basis points.
    pub error_bp: Option<u16>,
    /// Whether the last synthetic inference passed; none if there was none.
    pub inference: Option<bool>,
}

/// What one observing region says.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct VoteStatus {
    /// The observing region.
    pub region: RegionName,
    /// What it concludes.
    pub condition: Condition,
}

/// What one observing agent saw of a region's endpoint.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ObservationStatus {
    /// The observer.
    pub observer: String,
    /// What it concludes.
    pub condition: Condition,
    /// Its last probe in words.
    pub evidence: String,
    /// Since when it concludes so, its clock.
    pub since_ms: u64,
    /// Time of its last successful probe, microseconds.
    pub round_trip_us: Option<u64>,
    /// What it saw of each address; empty while it abstains.
    #[serde(default)]
    pub addresses: Vec<AddressSeen>,
    /// How long ago the answering agent heard it.
    pub age_ms: u64,
}

/// One connection, as the agent at its end tells.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LinkStatus {
    /// The agent at the other end.
    pub agent: String,
    /// Smoothed round-trip time, microseconds.
    pub round_trip_us: u64,
}

/// One agent.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AgentStatus {
    /// `region/name`.
    pub agent: String,
    /// Whether SWIM holds it for alive.
    pub alive: bool,
    /// Version of its binary.
    pub version: String,
    /// How long it runs.
    pub uptime_ms: u64,
    /// Where its API answers.
    pub api_url: String,
    /// Its cloud.
    pub cloud: String,
    /// Round trip from the answering agent, microseconds; none where there is no direct connection.
    pub round_trip_us: Option<u64>,
    /// How long ago the answering agent last heard news of it.
    pub age_ms: u64,
    /// Whether it serves every model that it should.
    pub serving_ready: bool,
    /// Inferences that it answered since it started.
    pub requests_total: u64,
    /// What its region holds, as it says.
    pub holdings: HoldingsStatus,
    /// How long ago the answering agent heard each of its facts, by the fact's name.
    #[serde(default)]
    pub fact_ages_ms: BTreeMap<String, u64>,
    /// Whom it is connected to, as it says.
    #[serde(default)]
    pub links: Vec<LinkStatus>,
    /// Regions that it has no connection to, as it says.
    #[serde(default)]
    pub unreachable: Vec<RegionName>,
}

/// What a region holds, in numbers.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct HoldingsStatus {
    /// Versions held.
    pub versions: u64,
    /// Versions known from peers that it lacks.
    pub missing: u64,
    /// How long the oldest of them has been missing, or the oldest unknown catalogue has been
    /// unknown.
    pub lag_ms: u64,
    /// Living regions of which it is not known what they hold: there `missing` counts nothing.
    #[serde(default)]
    pub unknown: Vec<RegionName>,
}

/// `GET /v1/regions`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Regions {
    /// Every region.
    pub regions: Vec<RegionStatus>,
}

/// An answer that only says that it was done.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Done {
    /// What was done.
    pub done: String,
}

/// Every error.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ErrorBody {
    /// What was wrong.
    pub error: String,
    /// What to do.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hint: String,
    /// A word for programs, where errors of one status are to be told apart.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub code: String,
}
