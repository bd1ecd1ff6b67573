//! The model server's access to the region's bucket.

use async_trait::async_trait;
use bytes::Bytes;
use regionmesh_protocol::models::{
    catalogue::Catalogue,
    manifest::{ModelName, VersionName},
};
use regionmesh_serving::{CatalogueSource, ModelSource};
use regionmesh_store::ModelStore;
use std::sync::Arc;

/// The models in the region's bucket.
pub struct BucketModels(pub Arc<ModelStore>);

#[async_trait]
impl ModelSource for BucketModels {
    async fn files(
        &self,
        model: &ModelName,
        version: &VersionName,
    ) -> Result<Vec<(String, u64)>, String> {
        let manifest = self
            .0
            .manifest(model, version)
            .await
            .map_err(|error| error.to_string())?;

        Ok(manifest
            .files
            .into_iter()
            .map(|file| (file.path, file.size))
            .collect())
    }

    async fn read(
        &self,
        model: &ModelName,
        version: &VersionName,
        path: &str,
    ) -> Result<Bytes, String> {
        self.0
            .read(model, version, path)
            .await
            .map_err(|error| error.to_string())
    }
}

#[async_trait]
impl CatalogueSource for BucketModels {
    async fn catalogue(&self) -> Result<Catalogue, String> {
        self.0.catalogue().await.map_err(|error| error.to_string())
    }
}
