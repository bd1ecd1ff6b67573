//! Models in a region's store.
//!
//! ```text
//! models/<model>/<version>/<file>      plain files, as model servers read them (Triton, KServe)
//! manifests/<model>/<version>          written last, with put-if-absent: the commit point
//! claims/<model>/<version>/<number>    which agent is changing files there now
//! ```
//! A reader that starts from manifests sees all of a version or nothing. [`super::commit`] writes
//! and removes versions; aliases and deletions are in [`super::metadata`].

use crate::{
    OpenStore,
    changes::Changes,
    claims::ActiveClaims,
    fault::{Cause, model_error, words},
};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use object_store::{
    Error as ObjectError, ObjectMeta, ObjectStoreExt, PutMode, PutPayload, path::Path as ObjectPath,
};
use parking_lot::Mutex;
use regionmesh_protocol::{
    codec,
    models::manifest::{Manifest, ModelName, VersionName, VersionSummary},
};
use regionmesh_runtime::models::ModelError;
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::watch;

/// Manifests read in parallel when the catalogue is built.
const PARALLEL_READS: usize = 16;

/// Pause before a store that refused is asked again.
const RETRY_INTERVAL: Duration = Duration::from_millis(250);
/// How long the availability check waits for the store.
const AVAILABILITY_TIMEOUT: Duration = Duration::from_secs(5);

/// ETag, modification time and size of a manifest when it was read. While they are unchanged, it
/// need not be read again.
type Tag = (Option<String>, i64, u64);

/// The models of a region.
#[derive(Debug, Clone)]
pub struct ModelStore {
    pub(crate) store: OpenStore,
    /// When the store's clock was read, and its time, Unix milliseconds.
    pub(crate) clock: Arc<Mutex<Option<(Instant, i64)>>>,
    pub(crate) active: ActiveClaims,
    /// Whether a write failed since the last clean-up and may have left objects.
    leftovers: Arc<AtomicBool>,
    pub(crate) changes: Changes,
    seen: Arc<Mutex<HashMap<ObjectPath, (Tag, VersionSummary)>>>,
}

pub(crate) fn object(parts: &[&str]) -> ObjectPath {
    ObjectPath::from_iter(parts.iter().copied())
}

pub(crate) fn manifest_path(model: &ModelName, version: &VersionName) -> ObjectPath {
    object(&["manifests", model.as_str(), version.as_str()])
}

pub(crate) fn folder(model: &ModelName, version: &VersionName) -> ObjectPath {
    object(&["models", model.as_str(), version.as_str()])
}

pub(crate) fn file_path(model: &ModelName, version: &VersionName, path: &str) -> ObjectPath {
    let folder = ["models", model.as_str(), version.as_str()];
    object(
        &folder
            .into_iter()
            .chain(path.split('/'))
            .collect::<Vec<_>>(),
    )
}

impl ModelStore {
    /// The models in `store`.
    pub fn new(store: OpenStore) -> Self {
        Self {
            store,
            clock: Arc::default(),
            active: ActiveClaims::default(),
            leftovers: Arc::default(),
            changes: Changes::default(),
            seen: Arc::default(),
        }
    }

    /// Changes after each write of a version, an alias or a deletion by this process, so that
    /// earlier reads are outdated. Writes of other agents are only found by the next scan.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Records a failed write, which may have left objects.
    pub(crate) fn note_leftovers(&self) {
        self.leftovers.store(true, Ordering::Relaxed);
    }

    /// Records that a clean-up begins.
    pub(crate) fn forget_leftovers(&self) {
        self.leftovers.store(false, Ordering::Relaxed);
    }

    /// Whether a write of this process failed since the last clean-up, and the store is available
    /// for another.
    pub fn needs_cleaning(&self) -> bool {
        self.leftovers.load(Ordering::Relaxed) && self.store.health.outage().is_none()
    }

    /// Fails immediately if the store is known to be unavailable, and within seconds if it can't be
    /// reached, so that a publisher does not send its bytes in vain.
    pub async fn check_available(&self) -> Result<(), ModelError> {
        let health = &self.store.health;
        if let Some(why) = health
            .outage()
            .map(|outage| outage.why)
            .or_else(|| health.obstacle().map(|fault| fault.to_string()))
        {
            return Err(ModelError::Unavailable(why));
        }

        let folder = object(&["probe"]);
        let mut failure = None;

        // A busy store refuses only some requests.
        let asked = async {
            while let Some(Err(error)) = self.store.prober.list(Some(&folder)).next().await {
                failure = Some(words(&error));
                tokio::time::sleep(RETRY_INTERVAL).await;
            }
        };

        if tokio::time::timeout(AVAILABILITY_TIMEOUT, asked)
            .await
            .is_ok()
        {
            return Ok(());
        }

        let silent = || {
            health
                .fault(Cause::Silent(AVAILABILITY_TIMEOUT.as_millis() as u64))
                .to_string()
        };

        Err(ModelError::Unavailable(failure.unwrap_or_else(silent)))
    }

    /// The staging folder: on the store's file system if the store is local, else below `fallback`.
    pub fn staging_folder(&self, fallback: &Path) -> PathBuf {
        self.store
            .root
            .as_deref()
            .unwrap_or(fallback)
            .join(".staging")
    }

    /// Completes once a local store is known to be unavailable, since its file system has no
    /// timeouts. Never completes for a remote store.
    pub async fn outage(&self) -> ModelError {
        self.store.outage().await
    }

    /// Every committed version.
    pub async fn versions(&self) -> Result<Vec<VersionSummary>, ModelError> {
        let prefix = object(&["manifests"]);
        let listed: Vec<ObjectMeta> = self
            .store
            .objects
            .list(Some(&prefix))
            .try_collect()
            .await
            .map_err(|error| model_error("list", &prefix, &error))?;
        let read = futures::stream::iter(listed)
            .map(|meta| self.summary(meta))
            .buffer_unordered(PARALLEL_READS);
        let read: Vec<Option<(ObjectPath, Tag, VersionSummary)>> = read.try_collect().await?;

        let now: HashMap<_, _> = read
            .into_iter()
            .flatten()
            .map(|(path, tag, summary)| (path, (tag, summary)))
            .collect();
        let mut versions: Vec<_> = now.values().map(|(_, summary)| summary.clone()).collect();

        versions.sort();
        *self.seen.lock() = now;
        Ok(versions)
    }

    async fn summary(
        &self,
        meta: ObjectMeta,
    ) -> Result<Option<(ObjectPath, Tag, VersionSummary)>, ModelError> {
        let tag = (meta.e_tag, meta.last_modified.timestamp_micros(), meta.size);
        let known = self.seen.lock().get(&meta.location).cloned();

        if let Some((known_tag, summary)) = known
            && known_tag == tag
        {
            return Ok(Some((meta.location, tag, summary)));
        }

        let bytes = match self.get(&meta.location).await {
            Ok(bytes) => bytes,
            // Deleted between the listing and the reading.
            Err(ObjectError::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(model_error("read", &meta.location, &error)),
        };

        match decode_manifest(&bytes) {
            Ok(manifest) if manifest_path(&manifest.model, &manifest.version) == meta.location => {
                Ok(Some((meta.location, tag, manifest.summary())))
            }
            Ok(_) => {
                tracing::error!(
                    path = %meta.location,
                    "a manifest is stored under another version's name; it is ignored"
                );
                Ok(None)
            }
            Err(why) => {
                // One bad object must not hide the others.
                tracing::error!(
                    path = %meta.location,
                    why,
                    "a manifest can't be read; it is ignored"
                );
                Ok(None)
            }
        }
    }

    async fn get(&self, path: &ObjectPath) -> Result<Bytes, ObjectError> {
        self.store.objects.get(path).await?.bytes().await
    }

    /// Creates an object unless it exists, and always reads it back: replies get lost, and some
    /// stores acknowledge writes that they drop.
    pub(crate) async fn create(
        &self,
        path: &ObjectPath,
        bytes: Vec<u8>,
    ) -> Result<Bytes, ModelError> {
        let put = self
            .store
            .objects
            .put_opts(path, PutPayload::from(bytes), PutMode::Create.into())
            .await;
        let put = match put {
            // Reading would also time out.
            Err(error) if self.store.health.outage().is_some() => {
                return Err(model_error("write", path, &error));
            }
            put => put,
        };

        match (self.get(path).await, put) {
            (Ok(stored), _) => Ok(stored),
            (Err(_), Err(error)) => Err(model_error("write", path, &error)),
            (Err(ObjectError::NotFound { .. }), Ok(_)) => Err(ModelError::NotStored {
                path: path.to_string(),
            }),
            (Err(error), Ok(_)) => Err(model_error("read", path, &error)),
        }
    }

    /// The manifest of a version.
    pub async fn manifest(
        &self,
        model: &ModelName,
        version: &VersionName,
    ) -> Result<Manifest, ModelError> {
        decode_manifest(&self.manifest_bytes(model, version).await?).map_err(|why| {
            ModelError::Manifest {
                model: model.clone(),
                version: version.clone(),
                why,
            }
        })
    }

    /// The manifest of a version as it is stored.
    pub async fn manifest_bytes(
        &self,
        model: &ModelName,
        version: &VersionName,
    ) -> Result<Bytes, ModelError> {
        let path = manifest_path(model, version);
        match self.get(&path).await {
            Ok(bytes) => Ok(bytes),
            Err(ObjectError::NotFound { .. }) => Err(not_found(model, version)),
            Err(error) => Err(model_error("read", &path, &error)),
        }
    }

    /// Part of a file of a version; `range` in bytes.
    pub async fn read_range(
        &self,
        model: &ModelName,
        version: &VersionName,
        path: &str,
        range: std::ops::Range<u64>,
    ) -> Result<Bytes, ModelError> {
        let path = file_path(model, version, path);
        match self.store.objects.get_range(&path, range).await {
            Ok(bytes) => Ok(bytes),
            Err(ObjectError::NotFound { .. }) => Err(not_found(model, version)),
            Err(error) => Err(model_error("read", &path, &error)),
        }
    }

    /// A whole file of a version.
    pub async fn read(
        &self,
        model: &ModelName,
        version: &VersionName,
        path: &str,
    ) -> Result<Bytes, ModelError> {
        let path = file_path(model, version, path);
        match self.get(&path).await {
            Ok(bytes) => Ok(bytes),
            Err(ObjectError::NotFound { .. }) => Err(not_found(model, version)),
            Err(error) => Err(model_error("read", &path, &error)),
        }
    }
}

pub(crate) fn decode_manifest(bytes: &[u8]) -> Result<Manifest, String> {
    let manifest: Manifest = codec::decode_document(bytes).map_err(|error| error.to_string())?;
    manifest.check().map_err(|error| error.to_string())?;
    Ok(manifest)
}

fn not_found(model: &ModelName, version: &VersionName) -> ModelError {
    ModelError::NotFound {
        model: model.clone(),
        version: version.clone(),
    }
}

#[cfg(test)]
mod tests;
