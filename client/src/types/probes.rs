//! What probes of an agent answer.

use regionmesh_protocol::{identity::RegionName, status::condition::Condition};
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeMap;

/// The health of an agent's actors.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Healthz {
    /// Every actor, by its name.
    pub actors: BTreeMap<String, ActorHealth>,
    /// False if restarting the process would help.
    pub healthy: bool,
}

/// The health of an actor.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ActorHealth {
    /// Why it last ended; empty if it never did.
    pub last_error: String,
    /// How often it was restarted.
    pub restarts: u64,
    /// Whether it runs now.
    pub running: bool,
}

/// Whether an agent can answer for the mesh.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Readyz {
    /// The checks `actors`, `gossip`, `mesh`, `plan`, `store`, `catalogues` and `stopping`: `ok`,
    /// or what is wrong.
    pub checks: BTreeMap<String, String>,
    /// Whether every check passes.
    pub ready: bool,
}

/// The verdict on a region, for health checkers outside the mesh.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct RegionProbe {
    /// Why; empty while nothing is known.
    pub reason: String,
    pub region: RegionName,
    pub verdict: Condition,
}
