//! The mesh as a whole, and its agents.

use super::{
    models::ModelStatus,
    plan::{OverrideStatus, PlanStatus},
    region::RegionStatus,
    traffic::FrozenStatus,
};
use regionmesh_protocol::{event::Severity, identity::RegionName, status::problem::ProblemKind};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// `GET /v1/status`: the whole mesh, as the answering agent knows it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Status {
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

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LeaderStatus {
    /// The leading agent.
    pub agent: String,
    /// Its ballot's number.
    pub ballot: u64,
}

/// One agent.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AgentStatus {
    /// The agent, as `region/name`.
    pub agent: String,
    /// Whether SWIM holds it for alive.
    pub alive: bool,
    /// Version of its binary.
    pub version: String,
    /// How long it runs.
    pub uptime_ms: u64,
    /// Where its API answers.
    pub api_url: String,
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
    pub status_ages_ms: BTreeMap<String, u64>,
    /// Whom it is connected to, as it says.
    #[serde(default)]
    pub links: Vec<LinkStatus>,
    /// Regions that it has no connection to, as it says.
    #[serde(default)]
    pub unreachable: Vec<RegionName>,
}

/// One connection, as the agent at its end tells.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LinkStatus {
    /// The agent at the other end.
    pub agent: String,
    /// Smoothed round-trip time, microseconds.
    pub round_trip_us: u64,
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
