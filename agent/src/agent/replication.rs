//! Replication of models, and the documents about cost that are stored as models.

use super::{base::Base, network::Network};
use crate::{
    cost::archive::Archive,
    replication_adapters::{MeshTransport, fetcher, publisher},
};
use anyhow::Result;
use regionmesh_replication::{Fetcher, Publisher};
use regionmesh_store::ModelStore;
use std::sync::Arc;

/// Replication of models.
pub(super) struct Replication {
    /// The region's models.
    pub(super) models: Arc<ModelStore>,
    pub(super) fetcher: Fetcher,
    pub(super) publisher: Publisher,
}

impl Replication {
    pub(super) fn new(base: &Base, network: &Network, models: Arc<ModelStore>) -> Result<Self> {
        let config = &base.config;
        let metrics = base.metrics.replication.clone();
        let transport = Arc::new(MeshTransport {
            mesh: network.mesh.clone(),
            peers: network.proven.clone(),
            links: base.snapshots.links.subscribe(),
        });
        let fetcher = fetcher(config, &models, transport.clone(), metrics);
        let publisher = publisher(
            config,
            &models,
            &base.clock,
            &base.snapshots,
            Some(transport),
        )?;

        Ok(Self {
            models,
            fetcher,
            publisher,
        })
    }

    /// The region's documents about cost.
    pub(super) fn archive(&self, base: &Base) -> Archive {
        Archive {
            store: self.models.clone(),
            publisher: self.publisher.clone(),
            clock: base.clock.clone(),
            region: base.config.region.clone(),
            staging: self
                .models
                .staging_folder(&base.config.data_dir)
                .join("cost")
                .join(base.id.agent.as_str()),
        }
    }
}
