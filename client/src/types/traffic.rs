//! What the API says where traffic does not go as planned or ordered.

use regionmesh_protocol::{identity::RegionName, status::condition::Condition};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An order without effect.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct YieldedStatus {
    /// The order in words: what, by whom, and why.
    pub order: String,
    /// The region that is planned as if the order did not exist.
    pub region: RegionName,
    /// Since when, by its leader's clock, Unix milliseconds.
    pub since_ms: u64,
}

/// Why the plan can't change.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct FrozenStatus {
    /// Since when no leader is known, by the answering agent's clock, Unix milliseconds.
    pub since_ms: u64,
    /// How many regions of the register can be reached, the agent's own included.
    pub reachable: u64,
    /// How many regions the register has.
    pub members: u64,
    /// Regions that the agent's DNS leaves out because they fail its own probes.
    pub left_out: Vec<RegionName>,
    /// What is wrong.
    pub detail: String,
}

/// The verdict on a region.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct VerdictStatus {
    pub region: RegionName,
    pub verdict: Condition,
    /// Since when, Unix milliseconds; 0 while nothing is known.
    pub since_ms: u64,
    pub reason: String,
}
