//! What all parts of an agent share.

use super::metrics::AgentMetrics;
use crate::{
    actors::messages::{CoreMessage, LeaderMessage},
    address::Address,
    catalogue_pages::CataloguePages,
    config::Config,
    service::{Service, ServiceArguments},
    snapshots::Snapshots,
    supervisor::Child,
};
use futures::FutureExt;
use regionmesh_protocol::identity::AgentId;
use regionmesh_replication::HybridClock;
use regionmesh_runtime::{meter::Meter, metrics::Registry, time::unix_ms};
use std::sync::Arc;
use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// What all parts of an agent share.
pub(super) struct Base {
    /// The configuration as of the start.
    pub(super) config: Arc<Config>,
    /// The configuration in force, with what was reloaded since.
    pub(super) live: watch::Receiver<Arc<Config>>,
    pub(super) id: AgentId,
    /// Drawn at random for each process.
    pub(super) boot: u64,
    /// Unix milliseconds.
    pub(super) started_ms: u64,
    pub(super) registry: Registry,
    pub(super) metrics: AgentMetrics,
    pub(super) snapshots: Snapshots,
    pub(super) clock: HybridClock,
    pub(super) meter: Meter,
    pub(super) core: Address<CoreMessage>,
    pub(super) leader: Address<LeaderMessage>,
    /// The region's catalogue, for peers.
    pub(super) pages: CataloguePages,
    /// Cancelled when the agent stops.
    pub(super) stop: CancellationToken,
    /// The tasks of all services.
    pub(super) services: TaskTracker,
}

impl Base {
    pub(super) fn new(
        config: Arc<Config>,
        live: watch::Receiver<Arc<Config>>,
        registry: Registry,
        metrics: AgentMetrics,
    ) -> Self {
        Self {
            id: config.id(),
            config,
            live,
            boot: rand::random::<u64>(),
            started_ms: unix_ms(),
            registry,
            metrics,
            snapshots: Snapshots::default(),
            clock: HybridClock::default(),
            meter: Meter::default(),
            core: Address::vacant("core"),
            leader: Address::vacant("dns-leader"),
            pages: CataloguePages::default(),
            stop: CancellationToken::new(),
            services: TaskTracker::new(),
        }
    }

    /// A supervised task: `run` starts it, given the token that stops it.
    pub(super) fn service<Task>(
        &self,
        name: &'static str,
        run: impl Fn(CancellationToken) -> Task + Send + Sync + 'static,
    ) -> Child
    where
        Task: Future<Output = Result<(), String>> + Send + 'static,
    {
        let arguments = ServiceArguments {
            make: Arc::new(move |stop| run(stop).boxed()),
            stop: self.stop.clone(),
            running: self.services.clone(),
        };

        Child::new(name, || Service, arguments, Address::vacant(name))
    }
}
