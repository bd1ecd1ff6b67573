//! What the replicator is started with.

use crate::{
    actors::messages::GossipMessage, address::Address, config::Config, cost::books::Books,
    snapshots::Snapshots,
};
use regionmesh_mesh::PeerLink;
use regionmesh_protocol::identity::AgentId;
use regionmesh_replication::{Fetcher, HybridClock};
use regionmesh_serving::Quarantine;
use regionmesh_store::ModelStore;
use std::sync::Arc;
use tokio::sync::watch;

/// What the actor is started with, on each start.
#[derive(Clone)]
pub struct ReplicatorArguments {
    /// The agent's configuration.
    pub config: Arc<Config>,
    /// This agent.
    pub id: AgentId,
    /// The region's models.
    pub store: Arc<ModelStore>,
    /// Where the catalogue is published.
    pub snapshots: Snapshots,
    /// Where the holdings are published.
    pub gossip: Address<GossipMessage>,
    /// Reads the catalogues of peers.
    pub peers: Arc<dyn PeerLink>,
    /// Fetches versions.
    pub fetcher: Fetcher,
    /// The agent's clock.
    pub clock: HybridClock,
    /// What bytes cost between regions.
    pub books: watch::Receiver<Arc<Books>>,
    /// Releases versions of the embedded model server whose files were replaced; none without one.
    pub quarantine: Option<Arc<Quarantine>>,
}
