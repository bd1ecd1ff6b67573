//! Publishing a new version: files arrive in any order, are chunked and hashed while they are
//! written to a staging folder, and become visible together at the end, or not at all.

mod commit;
mod conflicts;
mod error;
mod stage;
mod uploads;

use crate::{Store, Transport, clock::HybridClock};
use bytes::Bytes;
pub use error::PublishError;
use futures::Stream;
use parking_lot::Mutex;
use regionmesh_core::gossip::BoardView;
use regionmesh_protocol::{
    identity::RegionName,
    models::manifest::{
        FILES_MAX, ManifestError, ManifestFile, ModelName, VERSION_SIZE_MAX, VersionName,
        check_file_path,
    },
};
use regionmesh_runtime::models::ModelError;
use stage::stage;
use std::{
    collections::{BTreeMap, HashMap},
    io,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
pub use uploads::OpenUpload;
use uploads::{UPLOADS_MAX, Upload, dropped};

/// At the limit of open uploads, a new one displaces one that has been idle for this long.
const EVICTABLE_AFTER: Duration = Duration::from_secs(60);
/// Longest interval between two checks for idle uploads.
const EXPIRY_INTERVAL_MAX: Duration = Duration::from_secs(30);
/// How long to wait for the removal of staged files; it continues in the background.
const REMOVAL_TIMEOUT: Duration = Duration::from_secs(2);

pub struct PublisherSetup {
    /// The region's store.
    pub store: Arc<dyn Store>,
    /// Used to ask other regions whether they publish the same name; optional.
    pub transport: Option<Arc<dyn Transport>>,
    pub region: RegionName,
    /// The agent's clock.
    pub clock: HybridClock,
    /// What the other regions hold.
    pub board: watch::Receiver<Arc<BoardView>>,
    /// Staging folder, used by this agent only; on the store's file system if the store is local.
    pub staging: PathBuf,
    /// How long an upload may be idle.
    pub upload_idle_max: Duration,
}

/// Accepts uploads of new versions. Clones share the open uploads.
#[derive(Clone)]
pub struct Publisher {
    store: Arc<dyn Store>,
    region: RegionName,
    clock: HybridClock,
    board: watch::Receiver<Arc<BoardView>>,
    staging: PathBuf,
    uploads: Arc<Mutex<HashMap<String, Upload>>>,
    upload_idle_max: Duration,
    publications: conflicts::Publications,
}

impl Publisher {
    /// Creates a publisher and removes what an earlier process left in the staging folder.
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
            publications: conflicts::Publications::new(transport),
        })
    }

    /// Begins an upload and returns its id.
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

        self.unless_unavailable(creating).await?;
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

        self.uploads.lock().insert(id.clone(), upload);
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
        let cut = self
            .unless_unavailable(stage(&staged, path, declared, body))
            .await;

        if cut.is_err() {
            let _ = tokio::time::timeout(REMOVAL_TIMEOUT, tokio::fs::remove_file(&staged)).await;
        }

        let mut uploads = self.uploads.lock();
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
            // The path is free again, so that the sender can retry.
            Err(error) => {
                upload.files.remove(path);
                Err(error)
            }
        }
    }

    /// Runs `work`, which may use the store's file system and has no timeout, until the store is
    /// known to be unavailable.
    async fn unless_unavailable<T>(
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
        let mut uploads = self.uploads.lock();
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

    /// Drops an upload and its staged files.
    pub async fn abort(&self, id: &str) -> Result<(), PublishError> {
        let upload = self
            .uploads
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

        let mut uploads: Vec<_> = self.uploads.lock().iter().map(describe).collect();
        uploads.sort_by_key(|upload| std::cmp::Reverse(upload.idle));
        uploads
    }

    /// Drops the uploads that were idle for too long, and their staged files.
    pub(crate) fn drop_idle(&self) {
        let idle_max = self.upload_idle_max;
        self.uploads.lock().retain(|id, upload| {
            let is_alive = upload.idle() < idle_max;
            if !is_alive {
                dropped(id, upload, "idle for too long");
            }
            is_alive
        });
    }

    /// Drops uploads as they become idle for too long, until `stop`.
    pub async fn expire(self, stop: CancellationToken) -> Result<(), String> {
        let pause = (self.upload_idle_max / 4).min(EXPIRY_INTERVAL_MAX);
        let expire = async {
            loop {
                tokio::time::sleep(pause).await;
                self.drop_idle();
            }
        };

        stop.run_until_cancelled(expire).await;
        Ok(())
    }

    /// At the limit of open uploads, drops the one that has been idle for the longest time.
    fn make_room(&self) -> Result<(), PublishError> {
        let mut uploads = self.uploads.lock();
        if uploads.len() < UPLOADS_MAX {
            return Ok(());
        }

        let longest = uploads.iter().max_by_key(|(_, upload)| upload.idle());
        let longest = longest
            .filter(|(_, upload)| upload.idle() >= EVICTABLE_AFTER)
            .map(|(id, _)| id.clone());
        let id = longest.ok_or(PublishError::TooMany)?;

        if let Some(upload) = uploads.remove(&id) {
            dropped(&id, &upload, "the limit of open uploads was reached");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
