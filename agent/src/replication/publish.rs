//! Taking in a new version: files arrive in any order, are chunked and hashed while they are written to a staging folder,
//! and become visible together at the end, or not at all.

use super::clock::HybridClock;
use crate::{
    snapshots::Snapshots,
    store::{
        models::{ModelError, ModelStore},
        staging::EarlySync,
    },
};
use bytes::Bytes;
use futures::{Stream, StreamExt};
use regionmesh_protocol::{
    chunking::{Chunker, Cut},
    facts::{Fact, FactKind},
    identity::RegionName,
    manifest::{
        FILES_MAX, Manifest, ManifestError, ManifestFile, ModelName, VERSION_SIZE_MAX, VersionName, VersionSummary,
        check_file_path,
    },
};
use std::{
    collections::{BTreeMap, HashMap},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::sync::mpsc;

/// Uploads open at once.
const UPLOADS_MAX: usize = 32;
/// An upload that nothing was added to for this long is dropped.
const ABANDONED_AFTER: Duration = Duration::from_secs(3600);
/// Bytes handed to the hashing thread at once: few hand-overs, and little memory.
const BLOCK: usize = 1 << 20;
/// Blocks on their way to the hashing thread.
const BLOCKS_AHEAD: usize = 8;

/// Why something could not be published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// No such upload: ended, abandoned, or of an agent's earlier life.
    #[error("there is no upload {0}; it was ended or abandoned, begin anew")]
    NoUpload(String),
    /// Too many uploads are open.
    #[error("{UPLOADS_MAX} uploads are open already; finish or abort one, or wait")]
    TooMany,
    /// A path or a count is not acceptable.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The same path was given before.
    #[error("file {0} was added before")]
    Duplicate(String),
    /// Fewer or more bytes came than were declared.
    #[error("file {path}: {found} bytes came, {declared} were declared; send it again")]
    Truncated {
        /// The file.
        path: String,
        /// Bytes that came.
        found: u64,
        /// Bytes that were declared.
        declared: u64,
    },
    /// A commit came while a file was still on its way; without it the version would be half of what was meant.
    #[error("file {0} is not complete; wait for its answer before the commit")]
    Unfinished(String),
    /// The sender's connection broke.
    #[error("file {path}: the sender broke off: {error}")]
    Sender {
        /// The file.
        path: String,
        /// Why.
        error: io::Error,
    },
    /// A file could not be staged; also a full disk.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// Another region holds that version with other content.
    #[error("{model}@{version} exists in {region} with other content; publish it as a new version")]
    ExistsElsewhere {
        /// The model.
        model: ModelName,
        /// The version.
        version: VersionName,
        /// The region.
        region: RegionName,
    },
}

struct Upload {
    model: ModelName,
    version: VersionName,
    publisher: String,
    metadata: Vec<(String, String)>,
    files: BTreeMap<String, (PathBuf, Option<ManifestFile>)>,
    folder: PathBuf,
    touched: Instant,
}

/// Takes in versions. Clones share the open uploads.
#[derive(Clone)]
pub struct Publisher {
    store: Arc<ModelStore>,
    region: RegionName,
    clock: HybridClock,
    snapshots: Snapshots,
    staging: PathBuf,
    uploads: Arc<Mutex<HashMap<String, Upload>>>,
}

impl Publisher {
    /// A publisher into `store`; files are staged below `data_dir` unless the store has a file system of its own.
    /// What an earlier life of the agent left unfinished is removed.
    pub fn new(
        store: Arc<ModelStore>,
        region: RegionName,
        agent: &str,
        clock: HybridClock,
        snapshots: Snapshots,
        data_dir: &Path,
    ) -> Result<Self, PublishError> {
        // The region's agents may share a file system.
        let staging = store.staging_folder(data_dir).join("uploads").join(agent);
        match std::fs::remove_dir_all(&staging) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(ModelError::io("empty", &staging, error).into());
            }
            _ => {}
        }
        Ok(Self { store, region, clock, snapshots, staging, uploads: Arc::default() })
    }

    /// Begins an upload; its id.
    pub async fn begin(
        &self,
        model: ModelName,
        version: VersionName,
        publisher: String,
        metadata: Vec<(String, String)>,
    ) -> Result<String, PublishError> {
        self.drop_abandoned();
        let id = format!("{:016x}", rand::random::<u64>());
        let folder = self.staging.join(&id);
        if self.lock().len() >= UPLOADS_MAX {
            return Err(PublishError::TooMany);
        }
        tokio::fs::create_dir_all(&folder).await.map_err(|error| ModelError::io("create", &folder, error))?;
        let files = BTreeMap::new();
        let upload = Upload { model, version, publisher, metadata, files, folder, touched: Instant::now() };
        self.lock().insert(id.clone(), upload);
        Ok(id)
    }

    /// Adds a file of `declared` bytes.
    pub async fn add_file(
        &self,
        id: &str,
        path: &str,
        declared: u64,
        body: impl Stream<Item = io::Result<Bytes>> + Unpin + Send,
    ) -> Result<ManifestFile, PublishError> {
        check_file_path(path)?;
        if declared > VERSION_SIZE_MAX {
            let (found, limit) = (declared, VERSION_SIZE_MAX);
            return Err(ManifestError::Limit { what: "bytes", found, limit }.into());
        }
        let staged = self.reserve(id, path)?;
        let cut = stage(&staged, path, declared, body).await;
        let mut uploads = self.lock();
        let upload = uploads.get_mut(id).ok_or_else(|| PublishError::NoUpload(id.into()))?;
        upload.touched = Instant::now();
        match cut {
            Ok(cut) => {
                let file = ManifestFile { path: path.into(), size: cut.size, digest: cut.digest, chunks: cut.chunks };
                upload.files.insert(path.into(), (staged, Some(file.clone())));
                Ok(file)
            }
            // The path is free again: the sender may try once more.
            Err(error) => {
                upload.files.remove(path);
                let _ = std::fs::remove_file(&staged);
                Err(error)
            }
        }
    }

    fn reserve(&self, id: &str, path: &str) -> Result<PathBuf, PublishError> {
        let mut uploads = self.lock();
        let upload = uploads.get_mut(id).ok_or_else(|| PublishError::NoUpload(id.into()))?;
        if upload.files.contains_key(path) {
            return Err(PublishError::Duplicate(path.into()));
        }
        if upload.files.len() >= FILES_MAX {
            let (found, limit) = (upload.files.len() as u64 + 1, FILES_MAX as u64);
            return Err(ManifestError::Limit { what: "files", found, limit }.into());
        }
        let staged =
            upload.folder.join(upload.files.len().to_string() + "-" + &format!("{:08x}", rand::random::<u32>()));
        upload.files.insert(path.into(), (staged.clone(), None));
        upload.touched = Instant::now();
        Ok(staged)
    }

    /// Makes the version visible. The upload ends, whatever comes out.
    pub async fn commit(&self, id: &str) -> Result<VersionSummary, PublishError> {
        let upload = self.lock().remove(id).ok_or_else(|| PublishError::NoUpload(id.into()))?;
        let committed = self.commit_upload(&upload).await;
        let _ = tokio::fs::remove_dir_all(&upload.folder).await;
        committed
    }

    async fn commit_upload(&self, upload: &Upload) -> Result<VersionSummary, PublishError> {
        if let Some((path, _)) = upload.files.iter().find(|(_, (_, file))| file.is_none()) {
            return Err(PublishError::Unfinished(path.clone()));
        }
        let complete = upload.files.values().filter_map(|(staged, file)| Some((staged.clone(), file.clone()?)));
        let (staged, files): (Vec<_>, Vec<_>) = complete.unzip();
        let manifest = Manifest {
            model: upload.model.clone(),
            version: upload.version.clone(),
            files,
            origin: self.region.clone(),
            publisher: upload.publisher.clone(),
            published: self.clock.next(),
            metadata: upload.metadata.clone(),
        };
        manifest.check()?;
        self.check_elsewhere(&manifest)?;
        Ok(self.store.commit(&manifest, &staged).await?)
    }

    /// A version of that name with other content that a living peer is known to hold would only become a conflict.
    fn check_elsewhere(&self, manifest: &Manifest) -> Result<(), PublishError> {
        let content = manifest.content();
        for (agent, view) in &self.snapshots.board.borrow().agents {
            let Some(Fact::Holdings(holdings)) = view.facts.get(&FactKind::Holdings).map(|seen| &*seen.fact) else {
                continue;
            };
            let differs = holdings.versions.iter().any(|(model, version, held)| {
                *model == manifest.model && *version == manifest.version && *held != content
            });
            if agent.region != self.region && differs {
                return Err(PublishError::ExistsElsewhere {
                    model: manifest.model.clone(),
                    version: manifest.version.clone(),
                    region: agent.region.clone(),
                });
            }
        }
        Ok(())
    }

    /// Drops an upload and what it staged.
    pub async fn abort(&self, id: &str) -> Result<(), PublishError> {
        let upload = self.lock().remove(id).ok_or_else(|| PublishError::NoUpload(id.into()))?;
        let _ = tokio::fs::remove_dir_all(&upload.folder).await;
        Ok(())
    }

    fn drop_abandoned(&self) {
        self.lock().retain(|id, upload| {
            let is_alive = upload.touched.elapsed() < ABANDONED_AFTER;
            if !is_alive {
                tracing::warn!(upload = id, model = %upload.model, version = %upload.version, "an upload was abandoned");
                let _ = std::fs::remove_dir_all(&upload.folder);
            }
            is_alive
        });
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Upload>> {
        self.uploads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes a body to `staged` while chunking and hashing it in a thread beside.
async fn stage(
    staged: &Path,
    path: &str,
    declared: u64,
    mut body: impl Stream<Item = io::Result<Bytes>> + Unpin + Send,
) -> Result<Cut, PublishError> {
    let (send, mut receive) = mpsc::channel::<Vec<u8>>(BLOCKS_AHEAD);
    let target = staged.to_owned();
    let writer = tokio::task::spawn_blocking(move || -> Result<(Cut, EarlySync), ModelError> {
        let io = |error| ModelError::io("write", &target, error);
        let mut file = std::fs::File::create(&target).map_err(io)?;
        let sync = EarlySync::new(&target).map_err(io)?;
        let mut chunker = Chunker::default();
        while let Some(block) = receive.blocking_recv() {
            file.write_all(&block).map_err(io)?;
            sync.wrote(block.len() as u64);
            chunker.push(&block);
        }
        Ok((chunker.finish(), sync))
    });
    let mut found = 0u64;
    let mut block = Vec::with_capacity(BLOCK);
    let mut broken = None;
    while let Some(piece) = body.next().await {
        match piece {
            Ok(piece) => {
                found += piece.len() as u64;
                block.extend_from_slice(&piece);
            }
            Err(error) => {
                broken = Some(PublishError::Sender { path: path.into(), error });
                break;
            }
        }
        if found > declared {
            break;
        }
        // A writer that failed has closed the channel; its error is read below.
        if block.len() >= BLOCK && send.send(std::mem::replace(&mut block, Vec::with_capacity(BLOCK))).await.is_err() {
            break;
        }
    }
    let _ = send.send(block).await;
    drop(send);
    let io = |error| ModelError::io("write", staged, error);
    let (cut, sync) = writer.await.map_err(|error| io(io::Error::other(error)))??;
    sync.finish().await.map_err(io)?;
    match broken {
        Some(error) => Err(error),
        None if found != declared => Err(PublishError::Truncated { path: path.into(), found, declared }),
        None => Ok(cut),
    }
}

#[cfg(test)]
#[path = "publish_tests.rs"]
mod tests;
