//! What the API says where traffic does not go as planned or ordered.

use regionmesh_protocol::{identity::RegionName, status::condition::Condition};
use serde::{Deserialize, Serialize};

/// An order that yields.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct YieldedStatus {
    /// The order in words: what, who, why.
    pub order: String,
    /// The region that is planned for as if the order did not exist.
    pub region: RegionName,
    /// Since when, its leader's clock.
    pub since_ms: u64,
}

/// Why the plan can't change.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FrozenStatus {
    /// Since when no leader is known, the answering agent's clock.
    pub since_ms: u64,
    /// Regions of the register that can be reached, the agent's own included.
    pub reachable: u64,
    /// All of them.
    pub members: u64,
    /// Regions that the agent's DNS leaves out of its answers meanwhile, as they refuse its own
    /// probes.
    pub left_out: Vec<RegionName>,
    /// What is the matter.
    pub detail: String,
}

/// The verdict on a region.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct VerdictStatus {
    pub region: RegionName,
    pub verdict: Condition,
    /// Since when; 0 while nothing is known.
    pub since_ms: u64,
    pub reason: String,
}
