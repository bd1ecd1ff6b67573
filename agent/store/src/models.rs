//! Models in a region's store.
//!
//! ```text
//! models/<model>/<version>/<file>      plain files, as model servers read them (Triton, KServe)
//! manifests/<model>/<version>          written last, with put-if-absent: the commit point
//! claims/<model>/<version>/<number>    who is changing files there now
//! ```
//! Who goes by manifests sees all of a version or nothing. How they come
//! and go is in [`super::commit`]; aliases and deletions are in [`super::metadata`].

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
use regionmesh_protocol::{
    codec,
    models::{
        digest::Digest,
        manifest::{Manifest, ManifestFile, ModelName, VersionName, VersionSummary},
    },
};
use regionmesh_runtime::models::ModelError;
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

/// Manifests read at once when the catalogue is made.
const READS_AT_ONCE: usize = 16;
/// Bytes read at a time when a version is verified.
const VERIFY_BLOCK: u64 = 8 << 20;

/// How long a store may take to show that it is there, when somebody begins to publish.
/// Pause before a store that refused is asked again.
const ASK_AGAIN: Duration = Duration::from_millis(250);
const AVAILABLE_WITHIN: Duration = Duration::from_secs(5);

/// How the store named a manifest when it was read: unchanged, it need not be read again.
type Tag = (Option<String>, i64, u64);

/// The models of a region.
#[derive(Debug, Clone)]
pub struct ModelStore {
    pub(crate) store: OpenStore,
    /// When the store's clock was asked, and what it said, Unix milliseconds.
    pub(crate) clock: Arc<Mutex<Option<(Instant, i64)>>>,
    pub(crate) active: ActiveClaims,
    /// Whether a write failed, and may have left something, since the last clean-up.
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
    let folder = [("models"), model.as_str(), version.as_str()];
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

    /// A write failed, so that something may have to be cleaned up.
    pub(crate) fn note_leftovers(&self) {
        self.leftovers.store(true, Ordering::Relaxed);
    }

    /// A clean-up begins.
    pub(crate) fn forget_leftovers(&self) {
        self.leftovers.store(false, Ordering::Relaxed);
    }

    /// Whether a write of this process failed since the last clean-up, and the store is available
    /// for another.
    pub fn needs_cleaning(&self) -> bool {
        self.leftovers.load(Ordering::Relaxed) && self.store.health.outage().is_none()
    }

    /// Fails at once where the store is known to be unavailable, and soon where it can't be
    /// reached: before a publisher sends all its bytes.
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

        // Stores that are busy refuse some requests and take others.
        let asked = async {
            while let Some(Err(error)) = self.store.prober.list(Some(&folder)).next().await {
                failure = Some(words(&error));
                tokio::time::sleep(ASK_AGAIN).await;
            }
        };

        if tokio::time::timeout(AVAILABLE_WITHIN, asked).await.is_ok() {
            return Ok(());
        }

        let silent = || {
            health
                .fault(Cause::Silent(AVAILABLE_WITHIN.as_millis() as u64))
                .to_string()
        };

        Err(ModelError::Unavailable(failure.unwrap_or_else(silent)))
    }

    /// A folder for files on their way into the store: on its own file system where it is local,
    /// else below `fallback`.
    pub fn staging_folder(&self, fallback: &Path) -> PathBuf {
        self.store
            .root
            .as_deref()
            .unwrap_or(fallback)
            .join(".staging")
    }

    /// Ends once a local store is known to be unavailable: its file system has no timeouts, so that
    /// who works on it waits for either. Never ends for another store.
    pub async fn outage(&self) -> ModelError {
        self.store.outage().await
    }

    /// Every version that is committed here.
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
            .buffer_unordered(READS_AT_ONCE);
        let read: Vec<Option<(ObjectPath, Tag, VersionSummary)>> = read.try_collect().await?;

        let now: HashMap<_, _> = read
            .into_iter()
            .flatten()
            .map(|(path, tag, summary)| (path, (tag, summary)))
            .collect();
        let mut versions: Vec<_> = now.values().map(|(_, summary)| summary.clone()).collect();

        versions.sort();
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = now;
        Ok(versions)
    }

    async fn summary(
        &self,
        meta: ObjectMeta,
    ) -> Result<Option<(ObjectPath, Tag, VersionSummary)>, ModelError> {
        let tag = (meta.e_tag, meta.last_modified.timestamp_micros(), meta.size);
        let known = self
            .seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&meta.location)
            .cloned();

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
                tracing::error!(path = %meta.location, "a manifest stands under another version's \
                    name; it is not used");
                Ok(None)
            }
            Err(why) => {
                // One bad object must not hide all others.
                tracing::error!(path = %meta.location, why, "a manifest can't be read; it is not \
                    used");
                Ok(None)
            }
        }
    }

    async fn get(&self, path: &ObjectPath) -> Result<Bytes, ObjectError> {
        self.store.objects.get(path).await?.bytes().await
    }

    /// Creates an object, unless it exists, and reads it back, whatever was answered: a reply may
    /// be lost, and a store may acknowledge what it does not keep.
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
            // Reading would fail as late.
            Err(error) if self.store.health.outage().is_some() => {
                return Err(model_error("write", path, &error));
            }
            put => put,
        };

        match (self.get(path).await, put) {
            (Ok(kept), _) => Ok(kept),
            (Err(_), Err(error)) => Err(model_error("write", path, &error)),
            (Err(ObjectError::NotFound { .. }), Ok(_)) => Err(ModelError::NotKept {
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

    /// Reads every byte of a version again and compares it with the manifest.
    pub async fn verify(
        &self,
        model: &ModelName,
        version: &VersionName,
    ) -> Result<VersionSummary, ModelError> {
        let manifest = self.manifest(model, version).await?;
        for file in &manifest.files {
            self.verify_file(&manifest, file).await?;
        }
        Ok(manifest.summary())
    }

    async fn verify_file(
        &self,
        manifest: &Manifest,
        file: &ManifestFile,
    ) -> Result<(), ModelError> {
        let damaged = |what: String| ModelError::Damaged {
            model: manifest.model.clone(),
            version: manifest.version.clone(),
            what,
        };
        let path = file_path(&manifest.model, &manifest.version, &file.path);
        let meta = match self.store.objects.head(&path).await {
            Ok(meta) => meta,
            Err(ObjectError::NotFound { .. }) => {
                return Err(damaged(format!("file {} is missing", file.path)));
            }
            Err(error) => return Err(model_error("read", &path, &error)),
        };

        if meta.size != file.size {
            return Err(damaged(format!(
                "file {} has {} bytes, the manifest says {}",
                file.path, meta.size, file.size
            )));
        }

        let mut whole = blake3::Hasher::new();
        let mut offset = 0u64;
        let mut index = 0;

        while index < file.chunks.len() {
            // Whole chunks, about a block of them at a time.
            let start = index;
            let mut length = 0;
            while index < file.chunks.len()
                && (length == 0 || length + u64::from(file.chunks[index].length) <= VERIFY_BLOCK)
            {
                length += u64::from(file.chunks[index].length);
                index += 1;
            }

            let bytes = self
                .read_range(
                    &manifest.model,
                    &manifest.version,
                    &file.path,
                    offset..offset + length,
                )
                .await?;
            let chunks = file.chunks[start..index].to_vec();

            let (checked, hasher) = tokio::task::spawn_blocking(move || {
                let mut rest = &bytes[..];
                let bad = chunks.iter().position(|chunk| {
                    let (chunk_bytes, after) = rest.split_at(rest.len().min(chunk.length as usize));
                    rest = after;
                    Digest::of(chunk_bytes) != chunk.digest
                });

                whole.update(&bytes);
                (bad, whole)
            })
            .await
            .map_err(|error| damaged(format!("verification failed: {error}")))?;

            whole = hasher;
            if let Some(bad) = checked {
                return Err(damaged(format!(
                    "chunk {} of file {} has other bytes",
                    start + bad,
                    file.path
                )));
            }

            offset += length;
        }

        if *whole.finalize().as_bytes() != file.digest.0 {
            return Err(damaged(format!(
                "file {} as a whole has another digest",
                file.path
            )));
        }

        Ok(())
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
