//! The mesh as a whole, and its agents.

use super::{
    models::ModelStatus,
    plan::{OverrideStatus, PlanStatus},
    region::RegionStatus,
    traffic::FrozenStatus,
};
use regionmesh_protocol::{event::Severity, identity::RegionName, status::problem::ProblemKind};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The whole mesh, as the answering agent knows it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Status {
    pub mesh: String,
    /// The agent that answers: `region/name`.
    pub answered_by: String,
    /// When it answered, Unix milliseconds: ages and points in time of this answer are by its
    /// clock.
    #[serde(default)]
    pub answered_ms: u64,
    /// The committed plan in brief; null before the first.
    pub plan: Option<PlanStatus>,
    /// The leader; null while an election is due.
    pub leader: Option<LeaderStatus>,
    /// Every region of the configuration.
    pub regions: Vec<RegionStatus>,
    /// Every agent that was heard of and is not yet forgotten.
    pub agents: Vec<AgentStatus>,
    /// Every model that a region is known to hold.
    pub models: Vec<ModelStatus>,
    /// Problems that agents report about themselves, the most urgent first.
    #[serde(default)]
    pub problems: Vec<ProblemStatus>,
    /// The operators' orders in force.
    #[serde(default)]
    pub orders: Vec<OverrideStatus>,
    /// Why the plan can't change; null if it can.
    #[serde(default)]
    pub frozen: Option<FrozenStatus>,
}

/// A problem that an agent reports.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ProblemStatus {
    /// The agent's region.
    pub region: RegionName,
    /// The agent: `region/name`.
    pub agent: String,
    pub kind: ProblemKind,
    pub severity: Severity,
    /// What it is about.
    pub subject: String,
    /// What was seen, and what to do.
    pub detail: String,
    /// Since when, by the agent's clock, Unix milliseconds.
    pub since_ms: u64,
}

/// The agent that leads.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct LeaderStatus {
    /// The agent: `region/name`.
    pub agent: String,
    /// The number of its ballot.
    pub ballot: u64,
}

/// An agent.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct AgentStatus {
    /// The agent: `region/name`.
    pub agent: String,
    /// Whether the other agents consider it alive.
    pub alive: bool,
    /// The version of its binary.
    pub version: String,
    /// How long it has been running, milliseconds; 0 once it is dead.
    pub uptime_ms: u64,
    /// The URL of its API.
    pub api_url: String,
    pub cloud: String,
    /// Round-trip time from the answering agent, microseconds; null without a direct connection.
    pub round_trip_us: Option<u64>,
    /// How long ago the answering agent last heard of it, milliseconds.
    pub age_ms: u64,
    /// Whether it serves every model that it should.
    pub serving_ready: bool,
    /// How many inferences it answered since it started.
    pub requests_total: u64,
    /// What its region holds, as it reports.
    pub holdings: HoldingsStatus,
    /// How long ago the answering agent heard each of its status entries, by kind, milliseconds.
    #[serde(default)]
    pub status_ages_ms: BTreeMap<String, u64>,
    /// The agents that it is connected to, as it reports.
    #[serde(default)]
    pub links: Vec<LinkStatus>,
    /// Regions that it has no connection to, as it reports.
    #[serde(default)]
    pub unreachable: Vec<RegionName>,
}

/// A connection to another agent.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct LinkStatus {
    /// The agent at the other end.
    pub agent: String,
    /// Smoothed round-trip time, microseconds.
    pub round_trip_us: u64,
}

/// What a region holds, in numbers.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct HoldingsStatus {
    /// How many versions it holds.
    pub versions: u64,
    /// How many versions it lacks that other regions hold.
    pub missing: u64,
    /// How long the oldest of them, or an unknown catalogue, has been missing, milliseconds.
    pub lag_ms: u64,
    /// Live regions whose holdings are not known; `missing` does not count theirs.
    #[serde(default)]
    pub unknown: Vec<RegionName>,
}
