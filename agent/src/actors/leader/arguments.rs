//! What the dns-leader actor is started with.

use super::{metrics::LeaderMetrics, signing::Signing};
use crate::{
    actors::messages::CoreMessage, address::Address, config::Config, refusals::Refusals,
    snapshots::Snapshots,
};
use regionmesh_mesh::Peers;
use regionmesh_protocol::identity::AgentId;
use regionmesh_store::SlotStore;
use std::sync::Arc;

/// What the actor is started with; cloned by the supervisor for each start.
#[derive(Clone)]
pub struct LeaderArguments {
    /// The agent's configuration.
    pub config: Arc<Config>,
    /// This agent.
    pub id: AgentId,
    /// The plan in them is saved.
    pub snapshots: Snapshots,
    pub core: Address<CoreMessage>,
    /// Calls to other regions.
    pub peers: Arc<dyn Peers>,
    /// Our region's acceptor.
    pub store: Arc<SlotStore>,
    /// The witness, if one is configured.
    pub witness: Option<Arc<SlotStore>>,
    /// Signs and checks plans.
    pub signing: Signing,
    /// What it counts.
    pub metrics: LeaderMetrics,
    /// Where refused claims of other agents are counted.
    pub refusals: Refusals,
}
