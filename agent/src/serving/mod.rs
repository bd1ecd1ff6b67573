//! The embedded model server: ONNX models over the Open Inference Protocol V2, by tract.
//!
//! It serves what the catalogue says and the [`ModelSource`] holds; it never writes to either, and knows nothing of
//! the mesh. [`loader`] keeps each model's default version loaded, [`routes`] answers, [`admission`] bounds what is in
//! progress, [`engine`] computes. Not meant for large or accelerated models: a region may run Triton or KServe on the
//! same files instead, and turn this off.

pub mod admission;
pub mod bucket;
pub mod budget;
pub mod choose;
pub mod datatype;
pub mod engine;
pub mod extras;
pub mod listener;
pub mod loader;
pub mod loading;
pub mod metrics;
pub mod refusal;
pub mod request;
pub mod routes;
pub mod sample;
pub mod source;
pub mod tensors;

#[cfg(test)]
mod tests;

pub use metrics::ServingMetrics;
pub use source::{CatalogueSource, Directory, ModelSource, poll_catalogue};

use crate::config::ServingConfig;
use regionmesh_protocol::{conflict::Catalogue, facts::ServingFacts, identity::RegionName};
use std::sync::Arc;
use tokio::{net::TcpListener, sync::watch};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

/// Why the server ended by itself.
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
    /// Limits.
    pub config: ServingConfig,
    /// Reads versions.
    pub source: Arc<dyn ModelSource>,
    /// What there is. Subscribe before the writer starts: an empty first value that was never announced counts as not
    /// read yet, and the server is not ready until then.
    pub catalogue: watch::Receiver<Arc<Catalogue>>,
    /// True: not ready any more, while inference goes on.
    pub draining: watch::Receiver<bool>,
    /// The counters; made once, since a registry takes each name once and a restarted server goes on counting.
    pub metrics: ServingMetrics,
}

/// The server.
pub struct Server {
    arguments: ServingArguments,
    shelf: Arc<loader::Shelf>,
}

impl Server {
    /// A server that has nothing loaded yet.
    pub fn new(arguments: ServingArguments) -> Self {
        let budget = budget::Budget::new(arguments.config.memory_limit);
        let loading = loading::Loading::new(arguments.source.clone(), budget, arguments.metrics.clone());
        // More places than processors serve no more.
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let places = u32::try_from(arguments.config.parallel.min(processors)).unwrap_or(1);
        let extra_versions = arguments.config.extra_versions;
        let shelf = loader::Shelf::new(Arc::new(loading), extra_versions, places, arguments.metrics.clone());
        Self { arguments, shelf }
    }

    /// What the mesh is told of the server; changes at most every few seconds unless a model changes.
    pub fn facts(&self) -> watch::Receiver<ServingFacts> {
        self.shelf.facts()
    }

    /// Loads and serves until `stop`; then requests in progress end, for at most 20 s.
    pub async fn run(self, listener: TcpListener, stop: CancellationToken) -> Result<(), ServingError> {
        let Self { arguments, shelf } = self;
        let ServingArguments { region, config, catalogue, draining, metrics, .. } = arguments;
        let admission = admission::Admission::new(&config, metrics.clone());
        let admission = Arc::new(admission);
        let service = routes::Service { shelf: shelf.clone(), admission, draining, region, metrics: metrics.clone() };
        let mut follow = AbortOnDropHandle::new(tokio::spawn(shelf.follow(catalogue)));
        tokio::select! {
            () = listener::serve(listener, routes::router(service), metrics, stop) => Ok(()),
            ended = &mut follow => {
                let reason = ended.err().map_or_else(|| "without an error".into(), |error| error.to_string());
                Err(ServingError::Loader(reason))
            }
        }
    }
}
