//! Adapters of replication's ports to the region's store and the mesh, and its parts as configured.

mod bulk;
mod store;
mod transport;

use crate::{config::Config, snapshots::Snapshots};
pub(crate) use bulk::BulkAdapter;
use regionmesh_replication::{
    Fetcher, HybridClock, PublishError, Publisher, PublisherSetup, ReplicationMetrics, Transport,
};
use regionmesh_store::ModelStore;
use std::{sync::Arc, time::Duration};
pub(crate) use store::StoreAdapter;
pub(crate) use transport::MeshTransport;

/// The publisher of versions. Without a transport it does not ask other regions for versions of the
/// same name.
pub(crate) fn publisher(
    config: &Config,
    models: &Arc<ModelStore>,
    clock: &HybridClock,
    snapshots: &Snapshots,
    transport: Option<Arc<dyn Transport>>,
) -> Result<Publisher, PublishError> {
    Publisher::new(PublisherSetup {
        store: Arc::new(StoreAdapter(models.clone())),
        transport,
        region: config.region.clone(),
        clock: clock.clone(),
        board: snapshots.board.subscribe(),
        // The region's agents may share a file system.
        staging: models
            .staging_folder(&config.data_dir)
            .join("uploads")
            .join(config.agent.as_str()),
        upload_idle_max: Duration::from_millis(config.replication.upload_idle_ms),
    })
}

/// The fetcher of versions.
pub(crate) fn fetcher(
    config: &Config,
    models: &Arc<ModelStore>,
    transport: Arc<dyn Transport>,
    metrics: ReplicationMetrics,
) -> Fetcher {
    Fetcher {
        store: Arc::new(StoreAdapter(models.clone())),
        transport,
        metrics,
        staging: models
            .staging_folder(&config.data_dir)
            .join("fetch")
            .join(config.agent.as_str()),
        streams: config.replication.parallel_streams,
    }
}
