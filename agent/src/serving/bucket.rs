//! Models from the region's bucket.

use super::source::{CatalogueSource, ModelSource};
use async_trait::async_trait;
use bytes::Bytes;
use regionmesh_protocol::models::{
    catalogue::Catalogue,
    manifest::{ModelName, VersionName},
};
use regionmesh_store::ModelStore;

#[async_trait]
impl ModelSource for ModelStore {
    async fn files(
        &self,
        model: &ModelName,
        version: &VersionName,
    ) -> Result<Vec<(String, u64)>, String> {
        let manifest = self
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
        ModelStore::read(self, model, version, path)
            .await
            .map_err(|error| error.to_string())
    }
}

#[async_trait]
impl CatalogueSource for ModelStore {
    async fn catalogue(&self) -> Result<Catalogue, String> {
        ModelStore::catalogue(self)
            .await
            .map_err(|error| error.to_string())
    }
}
