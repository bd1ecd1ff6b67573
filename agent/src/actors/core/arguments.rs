//! What the core actor is started with.

use crate::{
    actors::{
        gossip::GossipMetrics,
        health::HealthMetrics,
        leader::{LeaderMetrics, Signing},
        messages::{GossipMessage, HealthMessage, LeaderMessage, ReplicatorMessage},
    },
    address::Address,
    catalogue_pages::CataloguePages,
    clocks::now,
    config::Config,
    cost::books::Books,
    refusals::Refusals,
    snapshots::Snapshots,
};
use parking_lot::Mutex;
use rand::{SeedableRng, rngs::StdRng};
use regionmesh_core::{Core, agent::Settings};
use regionmesh_protocol::status::ServingStatus;
use regionmesh_replication::ReplicationMetrics;
use regionmesh_serving::Quarantine;
use regionmesh_store::{ModelStore, SavedPlan, SlotStore};
use std::sync::Arc;
use tokio::sync::watch;

/// What the actor is started with, on each start.
#[derive(Clone)]
pub(crate) struct CoreArguments {
    pub(crate) config: Arc<Config>,
    /// From [`new_core`].
    pub(crate) core: Arc<Mutex<Core>>,
    pub(crate) actors: IoActors,
    pub(crate) snapshots: Snapshots,
    /// The acceptors whose stores this agent writes: they are bounded.
    pub(crate) slots: Vec<Arc<SlotStore>>,
    /// The region's models: its changes are read.
    pub(crate) store: Arc<ModelStore>,
    /// Where the region's catalogue is published.
    pub(crate) pages: CataloguePages,
    /// What bytes cost between regions.
    pub(crate) books: watch::Receiver<Arc<Books>>,
    /// The embedded model server's status; none where another server serves the models.
    pub(crate) own_serving: Option<watch::Receiver<ServingStatus>>,
    /// Releases versions of the embedded model server whose files were replaced; none without one.
    pub(crate) quarantine: Option<Arc<Quarantine>>,
    /// Where refused claims of other agents are counted.
    pub(crate) refusals: Refusals,
    pub(crate) metrics: CoreMetrics,
}

/// The actors that do the IO.
#[derive(Clone)]
pub(crate) struct IoActors {
    pub(crate) gossip: Address<GossipMessage>,
    pub(crate) health: Address<HealthMessage>,
    pub(crate) leader: Address<LeaderMessage>,
    pub(crate) replicator: Address<ReplicatorMessage>,
}

/// Where what the core reports is counted.
#[derive(Clone)]
pub(crate) struct CoreMetrics {
    pub(crate) gossip: GossipMetrics,
    pub(crate) health: HealthMetrics,
    pub(crate) leader: LeaderMetrics,
    pub(crate) replication: ReplicationMetrics,
}

/// The core of an agent that continues with the plan `saved` on its disk.
pub(crate) fn new_core(
    settings: Settings,
    saved: Option<SavedPlan>,
    signing: &Signing,
) -> Arc<Mutex<Core>> {
    let confirmation = saved.as_ref().and_then(|saved| saved.confirmation.clone());
    let core = Core::new(
        settings,
        saved.map(|saved| saved.committed),
        confirmation,
        signing.keys.clone(),
        now(),
        &mut StdRng::from_rng(&mut rand::rng()),
    );

    Arc::new(Mutex::new(core))
}
