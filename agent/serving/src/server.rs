//! The server, as started by an agent or by `regionmesh serve`.

use crate::{
    admission::Admission,
    listener,
    loader::{Peers, VersionRegistry, VersionRegistryArguments},
    loading::{Loading, LoadingArguments},
    metrics::ServingMetrics,
    outcomes::Outcomes,
    quarantine::Quarantine,
    routes,
    settings::ServingConfig,
    source::ModelSource,
    view::ServingProblem,
};
use regionmesh_protocol::{
    identity::RegionName,
    models::catalogue::Catalogue,
    status::{ServingStatus, servability::Servability},
};
use regionmesh_runtime::{VERSION, meter::Meter};
use std::{path::PathBuf, sync::Arc, time::Duration};
use tokio::{
    net::TcpListener,
    sync::{Semaphore, watch},
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

/// Why the server ended without being stopped.
#[derive(Debug, thiserror::Error)]
pub enum ServingError {
    /// The task that loads models ended; start the server again.
    #[error("the task that loads models ended: {0}")]
    Loader(String),
}

/// What the server is started with. Cheap to clone, so that a supervisor can start it again.
#[derive(Clone)]
pub struct ServingArguments {
    /// Named in every answer.
    pub region: RegionName,
    pub config: ServingConfig,
    /// Reads versions.
    pub source: Arc<dyn ModelSource>,
    /// The catalogue. Subscribe before the sender starts: an initial empty value counts as not read
    /// yet, and the server is not ready until the first update.
    pub catalogue: watch::Receiver<Arc<Catalogue>>,
    /// What the other regions serve; empty without a mesh.
    pub peers: Peers,
    /// Whether versions that are not a default are test-loaded once, so that the mesh knows before
    /// they are promoted.
    pub tests_versions: bool,
    /// Where outcomes are stored; none: in memory only.
    pub state_dir: Option<PathBuf>,
    /// Versions that crashed the process; opened once per process, from the same folder.
    pub quarantine: Arc<Quarantine>,
    /// True while the region drains: not ready, but inference continues.
    pub draining: watch::Receiver<bool>,
    /// The counters; made once per registry, so that a restarted server continues them.
    pub metrics: ServingMetrics,
    /// Measures inferences, for the cost report.
    pub meter: Meter,
}

/// The model server.
pub struct Server {
    arguments: ServingArguments,
    version_registry: Arc<VersionRegistry>,
}

impl Server {
    /// A server without loaded models.
    pub fn new(arguments: ServingArguments) -> Self {
        let ServingArguments {
            config, metrics, ..
        } = &arguments;

        // Outcomes depend on the program's version and on these limits.
        let engine = format!("{} {}", VERSION, config.max_tensor_bytes);
        let outcomes = Outcomes::open(arguments.state_dir.as_deref(), engine);
        let loading = Loading::new(LoadingArguments {
            source: arguments.source.clone(),
            config: config.clone(),
            metrics: metrics.clone(),
            quarantine: arguments.quarantine.clone(),
            outcomes: Arc::new(outcomes),
        });

        // More places than processors add no throughput.
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let version_registry = VersionRegistry::new(VersionRegistryArguments {
            region: arguments.region.clone(),
            loading: Arc::new(loading),
            extra_versions: config.extra_versions,
            places: u32::try_from(config.parallel.min(processors)).unwrap_or(1),
            tests_versions: arguments.tests_versions,
            metrics: metrics.clone(),
        });

        Self {
            arguments,
            version_registry,
        }
    }

    /// Which versions it can serve.
    pub fn servability(&self) -> watch::Receiver<Servability> {
        self.version_registry.servability()
    }

    /// What it can't serve, described for an operator.
    pub fn problems(&self) -> watch::Receiver<Vec<ServingProblem>> {
        self.version_registry.problems()
    }

    /// The published status of the server; changes at most every few seconds unless a model
    /// changes.
    pub fn status(&self) -> watch::Receiver<ServingStatus> {
        self.version_registry.status()
    }

    /// Loads and serves until `stop`; then requests in progress end, for at most 20 s.
    pub async fn run(
        self,
        listener: TcpListener,
        stop: CancellationToken,
    ) -> Result<(), ServingError> {
        let Self {
            arguments,
            version_registry,
        } = self;
        let ServingArguments {
            region,
            config,
            catalogue,
            peers,
            draining,
            metrics,
            quarantine,
            meter,
            ..
        } = arguments;

        let service = routes::Service {
            version_registry: version_registry.clone(),
            admission: Arc::new(Admission::new(&config, metrics.clone())),
            computing: Arc::new(Semaphore::new(routes::computing_max(config.parallel))),
            inference_timeout: Duration::from_millis(config.inference_timeout_ms),
            draining,
            region,
            metrics: metrics.clone(),
            meter,
        };

        let mut loader =
            AbortOnDropHandle::new(tokio::spawn(version_registry.run(catalogue, peers)));
        tokio::select! {
            () = listener::serve(listener, routes::router(service), metrics, stop) => {
                // Loads in progress end with the process, which must not look like a crash.
                quarantine.close();
                Ok(())
            }
            ended = &mut loader => {
                let reason = ended
                    .err()
                    .map_or_else(|| "without an error".into(), |error| error.to_string());
                Err(ServingError::Loader(reason))
            }
        }
    }
}
