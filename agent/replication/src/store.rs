//! The store that replication reads from and writes to.

use async_trait::async_trait;
use bytes::Bytes;
use regionmesh_protocol::models::{
    catalogue::Tombstone,
    manifest::{Manifest, ModelName, VersionName, VersionSummary},
};
use regionmesh_runtime::models::ModelError;
use std::{ops::Range, path::PathBuf};

/// What replication needs of the region's store.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Fails soon where the store can't be reached: before a publisher sends all its bytes.
    async fn check_available(&self) -> Result<(), ModelError>;

    /// Ends once a store is known to be unavailable whose file system has no timeouts; never for
    /// another one. Files are staged on that file system.
    async fn outage(&self) -> ModelError;

    /// Every version that is committed here.
    async fn versions(&self) -> Result<Vec<VersionSummary>, ModelError>;

    /// The manifest of a version.
    async fn manifest(
        &self,
        model: &ModelName,
        version: &VersionName,
    ) -> Result<Manifest, ModelError>;

    /// The manifest of a version as it is stored.
    async fn manifest_bytes(
        &self,
        model: &ModelName,
        version: &VersionName,
    ) -> Result<Bytes, ModelError>;

    /// The newest deletion of a version, if it ever was deleted.
    async fn deletion_of(
        &self,
        model: &ModelName,
        version: &VersionName,
    ) -> Result<Option<Tombstone>, ModelError>;

    /// Part of a file of a version; `range` in bytes.
    async fn read_range(
        &self,
        model: &ModelName,
        version: &VersionName,
        path: &str,
        range: Range<u64>,
    ) -> Result<Bytes, ModelError>;

    /// Makes a version visible whose files, verified, lie in `staged` (one path per file of the
    /// manifest, in order). The same content twice is no error.
    async fn commit(
        &self,
        manifest: &Manifest,
        staged: &[PathBuf],
    ) -> Result<VersionSummary, ModelError>;
}
