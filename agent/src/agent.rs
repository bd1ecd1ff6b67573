//! The agent: what is started, in what order, and how the parts are connected.
//!
//! Everything is assembled here; nothing else creates actors. What others need starts first: the
//! mesh, the actors that do IO, the core actor, and at last the API.

mod actors;
mod base;
mod cost;
mod metrics;
mod network;
mod parts;
mod replication;
mod services;
mod serving;
mod status;
mod stores;

use crate::{
    actors::{events, messages::CoreMessage},
    address::Address,
    config::Config,
    reload::Reloader,
    snapshots::Snapshots,
    supervisor::{Health, Supervisor, SupervisorArguments, SupervisorMessage},
};
use anyhow::{Context, Result};
use base::Base;
use metrics::AgentMetrics;
pub use metrics::descriptions;
use parts::Parts;
use ractor::{Actor, ActorRef};
use regionmesh_core::health::Input;
use regionmesh_mesh::{Identity, Mesh};
use regionmesh_runtime::metrics::Registry;
use std::{path::Path, sync::Arc, time::Duration};
use stores::Stores;
use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Time for services to finish work in progress at the stop; their own limits are shorter.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(25);
/// Time for the actors to stop.
const ACTORS_TIMEOUT: Duration = Duration::from_secs(2);

/// A running agent.
pub struct Agent {
    /// The state that all parts may read.
    pub snapshots: Snapshots,
    /// The state of the actors.
    pub health: Health,
    supervisor: ActorRef<SupervisorMessage>,
    mesh: Mesh,
    drain: watch::Sender<bool>,
    reloader: Reloader,
    /// Whether it has the embedded model server.
    is_serving: bool,
    core: Address<CoreMessage>,
    services: TaskTracker,
    stop: CancellationToken,
}

impl Agent {
    /// Starts an agent. Fails only where waiting would not help: bad certificates, or a store that
    /// can't be opened or used.
    pub async fn start(config: Config) -> Result<Self> {
        let config = Arc::new(config);
        let registry = Registry::new();
        register_process(&registry)?;
        let metrics = AgentMetrics::new(&registry)?;
        let reloader = Reloader::new(config.clone(), metrics.reload.clone());
        let base = Base::new(config, reloader.live(), registry, metrics);
        events::begin(&base.snapshots, base.boot);

        let config = &base.config;
        let identity = Identity::load(config.mesh.clone(), base.id.clone(), config.tls.clone())?;
        std::fs::create_dir_all(&config.data_dir)
            .with_context(|| format!("cannot create data_dir {}", config.data_dir.display()))?;

        let stores = Stores::open(config, base.boot).await?;
        let monitor = stores.monitor(
            config,
            base.snapshots.problems.clone(),
            base.metrics.stores.clone(),
        );
        let (drain, draining) = watch::channel(false);
        let (health_sender, health) = watch::channel(Arc::default());
        let parts = Parts::new(base, identity, &stores, draining.clone())?;

        let mut children = actors::actors(&parts).await?;
        children.extend(services::services(&parts, monitor, draining, health.clone()).await?);
        let arguments = SupervisorArguments {
            children,
            metrics: parts.base.metrics.supervisor.clone(),
            health: health_sender,
        };
        let (supervisor, _) = Actor::spawn(None, Supervisor, arguments).await?;

        let Parts { base, network, .. } = parts;
        Ok(Self {
            snapshots: base.snapshots,
            health,
            supervisor,
            mesh: network.mesh,
            drain,
            reloader,
            is_serving: base.config.serving.embedded,
            core: base.core,
            services: base.services,
            stop: base.stop,
        })
    }

    /// Kills one actor, as a crash would; its supervisor restarts it.
    pub fn kill(&self, actor: &'static str) -> Result<()> {
        Ok(self.supervisor.cast(SupervisorMessage::Kill(actor))?)
    }

    /// Asks for no more traffic: the agent is no longer ready. If it has the embedded model server,
    /// the mesh learns of it too; otherwise the region's endpoint does not depend on this agent.
    pub fn drain(&self) {
        self.drain.send_replace(true);
        if !self.is_serving {
            return;
        }
        let draining = CoreMessage::input(Input::SetDraining(true));
        if let Err(error) = self.core.cast(draining) {
            tracing::warn!(%error, "cannot publish that this agent is draining");
        }
    }

    /// Reloads the configuration: applies what can change while the agent runs, and logs the rest.
    pub async fn reload(&self, path: &Path) {
        self.reloader.reload(path).await;
    }

    /// Stops the agent; requests in progress are answered first.
    pub async fn stop(self) {
        self.stop.cancel();
        self.services.close();

        let _ = tokio::time::timeout(SHUTDOWN_TIMEOUT, self.services.wait()).await;
        self.mesh.close().await;
        self.supervisor.stop(None);

        let _ = self.supervisor.wait(Some(ACTORS_TIMEOUT)).await;
    }
}

/// Registers process metrics (CPU, memory, descriptors); Linux only.
fn register_process(registry: &Registry) -> Result<()> {
    #[cfg(target_os = "linux")]
    registry.register(Box::new(
        prometheus::process_collector::ProcessCollector::for_self(),
    ))?;

    Ok(())
}
