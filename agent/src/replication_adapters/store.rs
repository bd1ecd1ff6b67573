//! The region's models as replication's store.

use async_trait::async_trait;
use bytes::Bytes;
use regionmesh_protocol::models::{
    catalogue::Tombstone,
    manifest::{Manifest, ModelName, VersionName, VersionSummary},
};
use regionmesh_replication::Store;
use regionmesh_runtime::models::ModelError;
use regionmesh_store::ModelStore;
use std::{ops::Range, path::PathBuf, sync::Arc};

/// The region's models.
pub(crate) struct StoreAdapter(pub(crate) Arc<ModelStore>);

#[async_trait]
impl Store for StoreAdapter {
    async fn check_available(&self) -> Result<(), ModelError> {
        self.0.check_available().await
    }

    async fn outage(&self) -> ModelError {
        self.0.outage().await
    }

    async fn versions(&self) -> Result<Vec<VersionSummary>, ModelError> {
        self.0.versions().await
    }

    async fn manifest(
        &self,
        model: &ModelName,
        version: &VersionName,
    ) -> Result<Manifest, ModelError> {
        self.0.manifest(model, version).await
    }

    async fn manifest_bytes(
        &self,
        model: &ModelName,
        version: &VersionName,
    ) -> Result<Bytes, ModelError> {
        self.0.manifest_bytes(model, version).await
    }

    async fn deletion_of(
        &self,
        model: &ModelName,
        version: &VersionName,
    ) -> Result<Option<Tombstone>, ModelError> {
        self.0.deletion_of(model, version).await
    }

    async fn read_range(
        &self,
        model: &ModelName,
        version: &VersionName,
        path: &str,
        range: Range<u64>,
    ) -> Result<Bytes, ModelError> {
        self.0.read_range(model, version, path, range).await
    }

    async fn commit(
        &self,
        manifest: &Manifest,
        staged: &[PathBuf],
    ) -> Result<VersionSummary, ModelError> {
        self.0.commit(manifest, staged).await
    }
}
