//! Taking in a new version: files arrive in any order, are chunked and hashed while they are
//! written to a staging folder, and become visible together at the end, or not at all.

mod rivals;

use crate::{Store, Transport, clock::HybridClock, early_sync::EarlySync};
use bytes::Bytes;
use futures::{Stream, StreamExt};
use regionmesh_core::{
    gossip::BoardView,
    replication::{conflict_name, keeps_name},
};
use regionmesh_protocol::{
    clock::HybridTime,
    identity::RegionName,
    models::{
        chunking::{Chunker, Cut},
        manifest::{
            FILES_MAX, Manifest, ManifestError, ManifestFile, ModelName, VERSION_SIZE_MAX,
            VersionName, VersionSummary, check_file_path,
        },
    },
};
use regionmesh_runtime::models::ModelError;
use std::{
    collections::{BTreeMap, HashMap},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

/// Uploads open at once.
const UPLOADS_MAX: usize = 32;
/// Where no place is left, an upload that nothing was added to for this long makes room.
const GIVES_WAY_AFTER: Duration = Duration::from_secs(60);
/// Longest pause between two looks for idle uploads.
const EXPIRY_PAUSE_MAX: Duration = Duration::from_secs(30);
/// How long the removal of staged files is waited for; it goes on in the background.
const REMOVAL_TIMEOUT: Duration = Duration::from_secs(2);
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
    #[error(
        "{UPLOADS_MAX} uploads are open already; finish one, or list them with `models uploads` \
            and abort one"
    )]
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
    /// A commit came while a file was still on its way; without it the version would be half of
    /// what was meant.
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
    /// Another region published other content under that name at the same time, and that version
    /// keeps the name.
    #[error(
        "{model}@{version} was published in {region} at the same time, with other content, and that version keeps the name; \
         yours is kept as {model}@{kept_as}, in every region"
    )]
    LostName {
        /// The model.
        model: ModelName,
        /// The version.
        version: VersionName,
        /// The region that was first.
        region: RegionName,
        /// The name that ours gets.
        kept_as: VersionName,
    },
    /// The version was deleted, and its name stays taken.
    #[error(
        "{model}@{version} was deleted, and a version's name never stands for other content; \
            publish this as a new version"
    )]
    Spent {
        /// The model.
        model: ModelName,
        /// The version.
        version: VersionName,
    },
}

/// An open upload, as it is listed.
#[derive(Debug, Clone)]
pub struct OpenUpload {
    /// Its id.
    pub id: String,
    /// The model.
    pub model: ModelName,
    /// The version.
    pub version: VersionName,
    /// Who publishes, as they said.
    pub publisher: String,
    /// Files that arrived whole.
    pub files: usize,
    /// Their size, bytes.
    pub bytes: u64,
    /// Whether a file is arriving.
    pub is_receiving: bool,
    /// How long ago something was added.
    pub idle: Duration,
    /// How long it may stay idle.
    pub idle_max: Duration,
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

impl Upload {
    /// How long nothing was added; zero while a file is arriving, whose sender has limits of its
    /// own.
    fn idle(&self) -> Duration {
        let is_receiving = self.files.values().any(|(_, file)| file.is_none());
        if is_receiving {
            Duration::ZERO
        } else {
            self.touched.elapsed()
        }
    }
}

/// What a publisher is made of.
pub struct PublisherSetup {
    /// The region's store.
    pub store: Arc<dyn Store>,
    /// Asks the other regions for publications of the same name; none: they are not asked.
    pub transport: Option<Arc<dyn Transport>>,
    /// The region.
    pub region: RegionName,
    /// The agent's clock.
    pub clock: HybridClock,
    /// What the other regions hold.
    pub board: watch::Receiver<Arc<BoardView>>,
    /// Where files are staged, this agent's alone; on the store's own file system if it has one.
    pub staging: PathBuf,
    /// How long an upload may be idle.
    pub upload_idle_max: Duration,
}

/// Takes in versions. Clones share the open uploads.
#[derive(Clone)]
pub struct Publisher {
    store: Arc<dyn Store>,
    region: RegionName,
    clock: HybridClock,
    board: watch::Receiver<Arc<BoardView>>,
    staging: PathBuf,
    uploads: Arc<Mutex<HashMap<String, Upload>>>,
    upload_idle_max: Duration,
    rivals: rivals::Rivals,
}

impl Publisher {
    /// A publisher. What an earlier life of the agent left unfinished is removed.
    pub fn new(setup: PublisherSetup) -> Result<Self, PublishError> {
        let PublisherSetup {
            store,
            transport,
            region,
            clock,
            board,
            staging,
            upload_idle_max,
        } = setup;

        match std::fs::remove_dir_all(&staging) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(ModelError::io("empty", &staging, error).into());
            }
            _ => {}
        }

        Ok(Self {
            store,
            region,
            clock,
            board,
            staging,
            uploads: Arc::default(),
            upload_idle_max,
            rivals: rivals::Rivals::new(transport),
        })
    }

    /// Begins an upload; its id.
    pub async fn begin(
        &self,
        model: ModelName,
        version: VersionName,
        publisher: String,
        metadata: Vec<(String, String)>,
    ) -> Result<String, PublishError> {
        self.drop_idle();
        let id = format!("{:016x}", rand::random::<u64>());
        let folder = self.staging.join(&id);

        self.make_room()?;
        let creating = async {
            tokio::fs::create_dir_all(&folder)
                .await
                .map_err(|error| ModelError::io("create", &folder, error).into())
        };

        self.unless_out(creating).await?;
        let files = BTreeMap::new();
        let upload = Upload {
            model,
            version,
            publisher,
            metadata,
            files,
            folder,
            touched: Instant::now(),
        };

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
            let found = declared;
            let limit = VERSION_SIZE_MAX;
            return Err(ManifestError::Limit {
                what: "bytes",
                found,
                limit,
            }
            .into());
        }

        let staged = self.reserve(id, path)?;
        let cut = self.unless_out(stage(&staged, path, declared, body)).await;

        if cut.is_err() {
            let _ = tokio::time::timeout(REMOVAL_TIMEOUT, tokio::fs::remove_file(&staged)).await;
        }

        let mut uploads = self.lock();
        let upload = uploads
            .get_mut(id)
            .ok_or_else(|| PublishError::NoUpload(id.into()))?;

        upload.touched = Instant::now();
        match cut {
            Ok(cut) => {
                let file = ManifestFile {
                    path: path.into(),
                    size: cut.size,
                    digest: cut.digest,
                    chunks: cut.chunks,
                };

                upload
                    .files
                    .insert(path.into(), (staged, Some(file.clone())));
                Ok(file)
            }
            // The path is free again: the sender may try once more.
            Err(error) => {
                upload.files.remove(path);
                Err(error)
            }
        }
    }

    /// Does `work` on what may be the store's own file system, which has no timeouts: gives up once
    /// the store is known to be unavailable.
    async fn unless_out<T>(
        &self,
        work: impl Future<Output = Result<T, PublishError>>,
    ) -> Result<T, PublishError> {
        tokio::select! {
            biased;
            done = work => done,
            error = self.store.outage() => Err(error.into()),
        }
    }

    fn reserve(&self, id: &str, path: &str) -> Result<PathBuf, PublishError> {
        let mut uploads = self.lock();
        let upload = uploads
            .get_mut(id)
            .ok_or_else(|| PublishError::NoUpload(id.into()))?;

        if upload.files.contains_key(path) {
            return Err(PublishError::Duplicate(path.into()));
        }

        if upload.files.len() >= FILES_MAX {
            let found = upload.files.len() as u64 + 1;
            let limit = FILES_MAX as u64;
            return Err(ManifestError::Limit {
                what: "files",
                found,
                limit,
            }
            .into());
        }

        let staged = upload
            .folder
            .join(upload.files.len().to_string() + "-" + &format!("{:08x}", rand::random::<u32>()));
        upload.files.insert(path.into(), (staged.clone(), None));
        upload.touched = Instant::now();
        Ok(staged)
    }

    /// Makes the version visible. The upload ends, whatever comes out.
    pub async fn commit(&self, id: &str) -> Result<VersionSummary, PublishError> {
        let upload = self
            .lock()
            .remove(id)
            .ok_or_else(|| PublishError::NoUpload(id.into()))?;
        let committed = self.commit_upload(&upload).await;
        let _ =
            tokio::time::timeout(REMOVAL_TIMEOUT, tokio::fs::remove_dir_all(&upload.folder)).await;

        committed
    }

    async fn commit_upload(&self, upload: &Upload) -> Result<VersionSummary, PublishError> {
        if let Some((path, _)) = upload.files.iter().find(|(_, (_, file))| file.is_none()) {
            return Err(PublishError::Unfinished(path.clone()));
        }

        let complete = upload
            .files
            .values()
            .filter_map(|(staged, file)| Some((staged.clone(), file.clone()?)));
        let (staged, files): (Vec<_>, Vec<_>) = complete.unzip();
        let mut manifest = Manifest {
            model: upload.model.clone(),
            version: upload.version.clone(),
            files,
            origin: self.region.clone(),
            publisher: upload.publisher.clone(),
            published: HybridTime::default(),
            metadata: upload.metadata.clone(),
        };

        manifest.check()?;
        if manifest.size() == 0 {
            return Err(ManifestError::Empty.into());
        }
        self.check_elsewhere(&manifest)?;
        self.store.check_available().await?;
        self.check_not_spent(&manifest).await?;

        let announced = self.rivals.announce(&mut manifest, &self.clock);
        let summary = self.store.commit(&manifest, &staged).await?;
        let rival = self.rivals.among(&self.region, &summary).await;

        drop(announced);
        match rival.filter(|rival| keeps_name(rival, &summary) == rival) {
            Some(rival) => Err(PublishError::LostName {
                kept_as: conflict_name(&summary).unwrap_or_else(|_| summary.version.clone()),
                model: summary.model,
                version: summary.version,
                region: rival.origin,
            }),
            None => Ok(summary),
        }
    }

    /// The version of that name with other content that this region holds or is about to commit;
    /// asked by another region whose publisher waits for the answer.
    pub async fn rival_of(
        &self,
        published: &VersionSummary,
    ) -> Result<Option<VersionSummary>, ModelError> {
        // First: what is announced from now on is later than what we are asked about.
        self.clock.hear(published.published);
        if let Some(announced) = self.rivals.announced(published) {
            return Ok(Some(announced));
        }

        match self
            .store
            .manifest(&published.model, &published.version)
            .await
        {
            Ok(manifest) => {
                Ok(Some(manifest.summary()).filter(|held| held.content != published.content))
            }
            Err(ModelError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The name of a deleted version stays taken, except for the content that it stood for.
    async fn check_not_spent(&self, manifest: &Manifest) -> Result<(), PublishError> {
        let deletion = self
            .store
            .deletion_of(&manifest.model, &manifest.version)
            .await?;

        match deletion.filter(|stone| !stone.allows(manifest.content())) {
            Some(stone) => Err(PublishError::Spent {
                model: stone.model,
                version: stone.version,
            }),
            None => Ok(()),
        }
    }

    /// A version of that name with other content that a living peer is known to hold would only
    /// become a conflict.
    fn check_elsewhere(&self, manifest: &Manifest) -> Result<(), PublishError> {
        let content = manifest.content();
        for (agent, view) in &self.board.borrow().agents {
            let Some(holdings) = view.holdings() else {
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
        let upload = self
            .lock()
            .remove(id)
            .ok_or_else(|| PublishError::NoUpload(id.into()))?;
        let _ =
            tokio::time::timeout(REMOVAL_TIMEOUT, tokio::fs::remove_dir_all(&upload.folder)).await;

        Ok(())
    }

    /// The open uploads of this agent, the longest idle first.
    pub fn uploads(&self) -> Vec<OpenUpload> {
        let describe = |(id, upload): (&String, &Upload)| {
            let whole = || upload.files.values().filter_map(|(_, file)| file.as_ref());
            OpenUpload {
                id: id.clone(),
                model: upload.model.clone(),
                version: upload.version.clone(),
                publisher: upload.publisher.clone(),
                files: whole().count(),
                bytes: whole().map(|file| file.size).sum(),
                is_receiving: upload.files.values().any(|(_, file)| file.is_none()),
                idle: upload.idle(),
                idle_max: self.upload_idle_max,
            }
        };

        let mut uploads: Vec<_> = self.lock().iter().map(describe).collect();
        uploads.sort_by_key(|upload| std::cmp::Reverse(upload.idle));
        uploads
    }

    /// Drops the uploads that were idle for too long, and what they staged.
    pub(crate) fn drop_idle(&self) {
        let idle_max = self.upload_idle_max;
        self.lock().retain(|id, upload| {
            let is_alive = upload.idle() < idle_max;
            if !is_alive {
                dropped(id, upload, "idle for too long");
            }
            is_alive
        });
    }

    /// Drops uploads as they become idle for too long, until `stop`.
    pub async fn expire(self, stop: CancellationToken) -> Result<(), String> {
        let pause = (self.upload_idle_max / 4).min(EXPIRY_PAUSE_MAX);
        let expire = async {
            loop {
                tokio::time::sleep(pause).await;
                self.drop_idle();
            }
        };

        stop.run_until_cancelled(expire).await;
        Ok(())
    }

    /// Where no place is left, the upload that is idle for the longest makes room.
    fn make_room(&self) -> Result<(), PublishError> {
        let mut uploads = self.lock();
        if uploads.len() < UPLOADS_MAX {
            return Ok(());
        }

        let longest = uploads.iter().max_by_key(|(_, upload)| upload.idle());
        let longest = longest
            .filter(|(_, upload)| upload.idle() >= GIVES_WAY_AFTER)
            .map(|(id, _)| id.clone());
        let id = longest.ok_or(PublishError::TooMany)?;

        if let Some(upload) = uploads.remove(&id) {
            dropped(&id, &upload, "no place was left");
        }
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Upload>> {
        self.uploads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn dropped(id: &str, upload: &Upload, why: &str) {
    tracing::warn!(upload = id, model = %upload.model, version = %upload.version, why, "an abandoned upload was dropped");
    // Elsewhere: a file system that hangs must not block the caller, who holds a lock.
    let folder = upload.folder.clone();
    drop(tokio::task::spawn_blocking(move || {
        std::fs::remove_dir_all(folder)
    }));
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
                broken = Some(PublishError::Sender {
                    path: path.into(),
                    error,
                });
                break;
            }
        }

        if found > declared {
            break;
        }

        // A writer that failed has closed the channel; its error is read below.
        if block.len() >= BLOCK
            && send
                .send(std::mem::replace(&mut block, Vec::with_capacity(BLOCK)))
                .await
                .is_err()
        {
            break;
        }
    }

    let _ = send.send(block).await;
    drop(send);

    let io = |error| ModelError::io("write", staged, error);
    let (cut, sync) = writer
        .await
        .map_err(|error| io(io::Error::other(error)))??;

    sync.finish().await.map_err(io)?;
    match broken {
        Some(error) => Err(error),
        None if found != declared => Err(PublishError::Truncated {
            path: path.into(),
            found,
            declared,
        }),
        None => Ok(cut),
    }
}

#[cfg(test)]
mod tests;
