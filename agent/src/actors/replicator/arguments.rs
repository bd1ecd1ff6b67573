//! What the replicator is started with.

use crate::{actors::messages::CoreMessage, address::Address};
use regionmesh_mesh::Peers;
use regionmesh_replication::{Fetcher, HybridClock};
use regionmesh_store::ModelStore;
use std::sync::Arc;

/// What the actor is started with, on each start.
#[derive(Clone)]
pub struct ReplicatorArguments {
    pub core: Address<CoreMessage>,
    /// The region's models.
    pub store: Arc<ModelStore>,
    /// Reads the catalogues of peers.
    pub peers: Arc<dyn Peers>,
    /// Fetches versions.
    pub fetcher: Fetcher,
    /// The agent's clock.
    pub clock: HybridClock,
}
