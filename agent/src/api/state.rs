//! What every handler of the API has at hand.

use super::{events::Streams, metrics::ApiMetrics};
use crate::{
    config::Config, cost::handler::CostHandler, failover::OrderHandler, snapshots::Snapshots,
    supervisor::Health,
};
use regionmesh_replication::{HybridClock, Publisher};
use regionmesh_runtime::metrics::Registry;
use regionmesh_serving::Quarantine;
use regionmesh_store::ModelStore;
use std::sync::Arc;
use tokio::sync::watch;

/// State of the API. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Api {
    /// The configuration that the agent started with.
    pub(crate) config: Arc<Config>,
    /// The configuration with what was reloaded since the start.
    pub(crate) live: watch::Receiver<Arc<Config>>,
    pub(crate) snapshots: Snapshots,
    /// Every metric of the process, not only the API's.
    pub(crate) registry: Registry,
    pub(crate) metrics: ApiMetrics,
    /// Health of the actors.
    pub(crate) health: Health,
    pub(crate) store: Arc<ModelStore>,
    pub(crate) publisher: Publisher,
    pub(crate) clock: HybridClock,
    /// Takes operators' orders to the leader.
    pub(crate) orders: OrderHandler,
    /// Bills, prices and the live plane.
    pub(crate) cost: CostHandler,
    /// Versions that crashed the process; none where no embedded model server runs.
    pub(crate) quarantine: Option<Arc<Quarantine>>,
    /// Slots for event streams.
    pub(crate) streams: Streams,
    /// True once the agent is shutting down: it is no longer ready.
    pub(crate) draining: watch::Receiver<bool>,
}
