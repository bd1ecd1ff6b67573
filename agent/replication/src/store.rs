//! The store that replication reads from and writes to.

use async_trait::async_trait;
use bytes::Bytes;
use regionmesh_protocol::models::{
    catalogue::Tombstone,
    manifest::{Manifest, ModelName, VersionName, VersionSummary},
};
use regionmesh_runtime::models::ModelError;
use std::{ops::Range, path::PathBuf};

/// What replication needs from the region's store.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Fails quickly if the store can't be reached, before a publisher sends all its bytes.
    async fn check_available(&self) -> Result<(), ModelError>;

    /// Completes once a local store is known to be unavailable, since its file system has no
    /// timeouts. Never completes for a remote store. Files are staged on that file system.
    async fn outage(&self) -> ModelError;

    /// Every committed version.
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

    /// The newest deletion of a version, if any.
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

    /// Makes a version visible. Its verified files are in `staged`, one path per file of the
    /// manifest, in order. Idempotent for the same content.
    async fn commit(
        &self,
        manifest: &Manifest,
        staged: &[PathBuf],
    ) -> Result<VersionSummary, ModelError>;
}
