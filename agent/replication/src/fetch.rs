//! Fetching one version from the regions that hold it.
//!
//! Bytes are assembled in a staging file of their final size. A chunk counts as present when the
//! bytes at its place have its hash, so a fetch that was cut off goes on where it was without a
//! journal to trust. What a local version already has is copied; the rest is fetched in requests of
//! a few chunks from several agents at once, each chunk verified on arrival. An agent that sends
//! wrong bytes is not asked again; dearer sources are asked where cheaper ones fail, or are slow.

use crate::{
    BulkReceive, BulkSend, Store, Transport,
    early_sync::{EarlySync, SYNC_EVERY},
    frames::{in_time, read_frame, write_frame},
    metrics::ReplicationMetrics,
};
use regionmesh_protocol::{
    codec::DOCUMENT_LIMIT,
    identity::AgentId,
    models::{
        digest::Digest,
        manifest::{Manifest, ManifestFile, VersionSummary},
    },
    wire::{BulkReply, BulkRequest},
};
use regionmesh_runtime::models::ModelError;
use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    task::{JoinHandle, JoinSet},
};

/// Bytes of one request: enough that a long round trip does not matter, little enough to spread
/// over peers.
const REQUEST: u64 = 16 << 20;
/// Chunks being verified and written while the next is read from the network.
const CHUNKS_AHEAD: usize = 2;
/// Bytes that must come within [`crate::STALL`]: 3 kB/s, slower than any link that a model
/// should take.
const READ_PIECE: usize = 64 << 10;
/// A request that takes longer makes the next dearer sources count as well: what is replicated late
/// costs more than what is sent.
const SLOW: Duration = Duration::from_secs(30);
/// Failures of one agent until it is left alone for the rest of this fetch.
const FAILURES_MAX: u32 = 3;

/// Why a version could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// Nobody who holds it could be asked, or nobody could give all of it.
    #[error("{what} could not be fetched from any of {asked} agents; last: {last}")]
    NoSource {
        /// The version.
        what: String,
        /// How many were asked.
        asked: usize,
        /// What went wrong last.
        last: String,
    },
    /// The local side failed.
    #[error(transparent)]
    Local(#[from] ModelError),
    /// All chunks were right, and the whole is not: the manifest contradicts itself.
    #[error("{what}: file {path} has another digest as a whole than its manifest says")]
    Whole {
        /// The version.
        what: String,
        /// The file.
        path: String,
    },
}

/// A chunk to get: which file, where in it.
#[derive(Debug, Clone)]
struct Piece {
    file: usize,
    offset: u64,
    length: u32,
    digest: Digest,
}

/// Everything that a fetch needs.
#[derive(Clone)]
pub struct Fetcher {
    /// The region's store.
    pub store: Arc<dyn Store>,
    /// Opens streams to peers.
    pub transport: Arc<dyn Transport>,
    /// Metrics.
    pub metrics: ReplicationMetrics,
    /// Where files are assembled.
    pub staging: PathBuf,
    /// Streams at once.
    pub streams: usize,
}

impl Fetcher {
    /// Fetches, verifies and commits `wanted` from `sources`, the best first; those of one list are
    /// asked at once.
    pub async fn fetch(
        &self,
        wanted: &VersionSummary,
        sources: &[Vec<AgentId>],
    ) -> Result<VersionSummary, FetchError> {
        let what = format!("{}@{}", wanted.model, wanted.version);
        let start = Instant::now();
        let manifest = self.manifest(wanted, sources, &what).await?;

        // Named by content: an attempt after a crash, also under another version name, goes on
        // here.
        let folder = self.staging.join(wanted.content.to_string());
        tokio::fs::create_dir_all(&folder)
            .await
            .map_err(|error| ModelError::io("create", &folder, error))?;

        let paths: Vec<_> = (0..manifest.files.len())
            .map(|index| folder.join(index.to_string()))
            .collect();
        let missing = self.prepare(&manifest, &paths).await?;
        let missing = self.reuse(&manifest, &paths, missing).await?;
        let syncs = early_syncs(&manifest, &paths)?;
        let prepared = start.elapsed();

        self.download(&manifest, &paths, &syncs, missing, sources, &what)
            .await?;

        let received = start.elapsed();
        for (file, path) in manifest.files.iter().zip(&paths) {
            if whole_digest(path).await? != file.digest {
                // Nothing in it can be believed; the next attempt starts anew.
                let _ = tokio::fs::remove_dir_all(&folder).await;
                return Err(FetchError::Whole {
                    what,
                    path: file.path.clone(),
                });
            }
        }

        let verified = start.elapsed();
        for (index, sync) in syncs {
            let path = &paths[index];
            if let Err(error) = sync.finish().await {
                // What the disk holds of it is not known.
                let _ = tokio::fs::remove_file(path).await;
                return Err(ModelError::io("assemble", path, error).into());
            }
        }

        let committed = self.store.commit(&manifest, &paths).await?;
        let download = received - prepared;
        let verify = verified - received;
        let commit = start.elapsed() - verified;

        tracing::debug!(
            version = what,
            ?prepared,
            ?download,
            ?verify,
            ?commit,
            "where the time of a fetch went"
        );

        let _ = tokio::fs::remove_dir_all(&folder).await;
        Ok(committed)
    }

    async fn manifest(
        &self,
        wanted: &VersionSummary,
        sources: &[Vec<AgentId>],
        what: &str,
    ) -> Result<Manifest, FetchError> {
        let mut last = "nobody holds it".to_owned();
        for source in sources.iter().flatten() {
            match self.manifest_from(wanted, source).await {
                Ok(manifest) => return Ok(manifest),
                Err(why) => last = format!("{source}: {why}"),
            }
        }

        Err(FetchError::NoSource {
            what: what.into(),
            asked: sources.concat().len(),
            last,
        })
    }

    async fn manifest_from(
        &self,
        wanted: &VersionSummary,
        source: &AgentId,
    ) -> Result<Manifest, String> {
        let request = BulkRequest::Manifest {
            model: wanted.model.clone(),
            version: wanted.version.clone(),
        };
        let (length, _send, mut receive) = self
            .ask(source, &request)
            .await
            .map_err(|error| error.to_string())?;

        if length > DOCUMENT_LIMIT as u64 {
            return Err(format!(
                "a manifest of {length} bytes, the limit is {DOCUMENT_LIMIT}"
            ));
        }

        let mut bytes = vec![0; length as usize];
        in_time(async { receive.read_exact(&mut bytes).await.map(drop) })
            .await
            .map_err(|error| error.to_string())?;

        let manifest: Manifest = regionmesh_protocol::codec::decode_document(&bytes)
            .map_err(|error| error.to_string())?;
        manifest.check().map_err(|error| error.to_string())?;
        if manifest.summary() != *wanted {
            return Err("its manifest is not that of the version announced".into());
        }

        Ok(manifest)
    }

    /// Sends a request; how many bytes the answer has, and the stream that they come on.
    async fn ask(
        &self,
        source: &AgentId,
        request: &BulkRequest,
    ) -> io::Result<(u64, BulkSend, BulkReceive)> {
        let (mut send, mut receive) = self.transport.open(source).await?;

        in_time(write_frame(&mut send, request)).await?;
        in_time(send.flush()).await?;
        match in_time(read_frame(&mut receive)).await? {
            BulkReply::Bytes(length) => Ok((length, send, receive)),
            BulkReply::NotHeld => Err(io::Error::new(
                io::ErrorKind::NotFound,
                "it does not hold that content any more",
            )),
            BulkReply::Failed(why) => Err(io::Error::other(why)),
        }
    }

    /// Makes the staging files, and finds out which chunks an earlier attempt left there.
    async fn prepare(
        &self,
        manifest: &Manifest,
        paths: &[PathBuf],
    ) -> Result<Vec<Piece>, FetchError> {
        let mut missing = Vec::new();
        for (index, (file, path)) in manifest.files.iter().zip(paths).enumerate() {
            let file = file.clone();
            let path = path.clone();
            missing.extend(blocking(&path.clone(), move || scan(index, &file, &path)).await?);
        }

        Ok(missing)
    }

    /// Copies the chunks that other versions here have; returns those that none has.
    async fn reuse(
        &self,
        manifest: &Manifest,
        paths: &[PathBuf],
        mut missing: Vec<Piece>,
    ) -> Result<Vec<Piece>, FetchError> {
        if missing.is_empty() {
            return Ok(missing);
        }

        let mut held = self.store.versions().await?;
        // The same model's versions share most.
        held.sort_by_key(|version| version.model != manifest.model);
        for version in held {
            let Ok(other) = self.store.manifest(&version.model, &version.version).await else {
                continue;
            };
            let wanted: HashMap<Digest, u32> = missing
                .iter()
                .map(|piece| (piece.digest, piece.length))
                .collect();
            let mut found: HashMap<Digest, (&str, u64)> = HashMap::new();

            for file in &other.files {
                let mut offset = 0;
                for chunk in &file.chunks {
                    if wanted.get(&chunk.digest) == Some(&chunk.length) {
                        found.insert(chunk.digest, (&file.path, offset));
                    }
                    offset += u64::from(chunk.length);
                }
            }

            let mut rest = Vec::new();
            for piece in missing {
                let copied = match found.get(&piece.digest) {
                    Some((path, offset)) => {
                        let range = *offset..offset + u64::from(piece.length);
                        let read = self
                            .store
                            .read_range(&other.model, &other.version, path, range)
                            .await;

                        // What can't be read here, or is damaged, is fetched like everything else.
                        match read {
                            Ok(bytes) => {
                                let path = &paths[piece.file];
                                let staged = open(path)
                                    .map_err(|error| ModelError::io("assemble", path, error))?;

                                put_chunk(Arc::new(staged), path, &piece, bytes.to_vec())
                                    .await?
                                    .is_some()
                            }
                            Err(_) => false,
                        }
                    }
                    None => false,
                };

                if copied {
                    self.metrics.reused.inc();
                } else {
                    rest.push(piece);
                }
            }

            missing = rest;
            if missing.is_empty() {
                break;
            }
        }

        Ok(missing)
    }

    async fn download(
        &self,
        manifest: &Manifest,
        paths: &[PathBuf],
        syncs: &BTreeMap<usize, EarlySync>,
        missing: Vec<Piece>,
        sources: &[Vec<AgentId>],
        what: &str,
    ) -> Result<(), FetchError> {
        let work = Arc::new(Work {
            requests: Mutex::new(requests(missing)),
            failures: Mutex::default(),
            last: Mutex::new("nobody holds it".into()),
            local: Mutex::default(),
            syncs: syncs.clone(),
            tiers: AtomicUsize::new(1),
        });
        let mut workers = JoinSet::new();

        for number in 0..self.streams {
            let fetcher = self.clone();
            let work = work.clone();
            let manifest = manifest.clone();
            let paths = paths.to_vec();
            let sources = sources.to_vec();

            workers.spawn(async move {
                fetcher
                    .work(number, &work, &manifest, &paths, &sources)
                    .await
            });
        }

        while workers.join_next().await.is_some() {}
        if let Some(error) = lock(&work.local).take() {
            return Err(error.into());
        }

        if !lock(&work.requests).is_empty() {
            let last = lock(&work.last).clone();
            return Err(FetchError::NoSource {
                what: what.into(),
                asked: sources.concat().len(),
                last,
            });
        }

        Ok(())
    }

    async fn work(
        &self,
        number: usize,
        work: &Work,
        manifest: &Manifest,
        paths: &[PathBuf],
        sources: &[Vec<AgentId>],
    ) {
        loop {
            if lock(&work.local).is_some() {
                return;
            }

            let usable = work.usable(sources);
            // Workers spread over the sources; one that fails moves its worker on to the next.
            let Some(source) = (!usable.is_empty()).then(|| usable[number % usable.len()]) else {
                return;
            };
            let Some(request) = lock(&work.requests).pop_front() else {
                return;
            };
            let mut rest = VecDeque::from(request);
            let tiers = work.tiers.load(Ordering::Relaxed);
            let asked = Instant::now();
            let outcome = self
                .fetch_pieces(work, manifest, paths, source, &mut rest)
                .await;

            if asked.elapsed() > SLOW && tiers < sources.len() {
                tracing::info!(%source, model = %manifest.model, version = %manifest.version, took = ?asked.elapsed(), "a source is slow; dearer ones are asked too");
                // One step for all that were slow at the same time.
                let _ = work.tiers.compare_exchange(
                    tiers,
                    tiers + 1,
                    Ordering::Relaxed,
                    Ordering::Relaxed,
                );
            }

            match outcome {
                Ok(()) => {}
                Err(PieceError::Local(error)) => {
                    lock(&work.local).get_or_insert(error);
                    return;
                }
                Err(PieceError::Source(why)) => {
                    tracing::warn!(%source, model = %manifest.model, version = %manifest.version, why, "a fetch failed; another agent is asked");
                    work.failed(source, &why, 1);
                    lock(&work.requests).push_front(rest.into());
                }
                Err(PieceError::Corrupt(why)) => {
                    tracing::error!(%source, model = %manifest.model, version = %manifest.version, why, "wrong bytes from a peer");
                    self.metrics
                        .corrupt
                        .with_label_values(&[source.region.as_str()])
                        .inc();

                    work.failed(source, &why, FAILURES_MAX);
                    lock(&work.requests).push_front(rest.into());
                }
            }
        }
    }

    /// Fetches `pieces` of one file; what was fetched is taken off it.
    async fn fetch_pieces(
        &self,
        work: &Work,
        manifest: &Manifest,
        paths: &[PathBuf],
        source: &AgentId,
        pieces: &mut VecDeque<Piece>,
    ) -> Result<(), PieceError> {
        let Some(first) = pieces.front().cloned() else {
            return Ok(());
        };
        let file = &manifest.files[first.file];
        let path = &paths[first.file];
        let request = BulkRequest::Ranges {
            model: manifest.model.clone(),
            version: manifest.version.clone(),
            content: manifest.content(),
            path: file.path.clone(),
            ranges: pieces
                .iter()
                .map(|piece| (piece.offset, piece.length))
                .collect(),
        };

        let source_error = |error: io::Error| PieceError::Source(error.to_string());
        let (length, _send, mut receive) =
            self.ask(source, &request).await.map_err(source_error)?;

        if length
            != pieces
                .iter()
                .map(|piece| u64::from(piece.length))
                .sum::<u64>()
        {
            return Err(PieceError::Corrupt(format!(
                "it announces {length} bytes, other ranges were asked for"
            )));
        }

        let received = self
            .metrics
            .bytes
            .with_label_values(&["received", source.region.as_str()]);
        let staged = open(path)
            .map_err(|error| PieceError::Local(ModelError::io("assemble", path, error)))?;
        let staged = Arc::new(staged);
        let mut writing: VecDeque<(Piece, JoinHandle<Written>)> = VecDeque::new();
        let mut to_read: VecDeque<Piece> = pieces.clone();

        // Memory is used again: fresh pages for each chunk would cost as much as hashing it.
        let mut spare: Vec<Vec<u8>> = Vec::new();
        loop {
            if writing.len() > CHUNKS_AHEAD || to_read.is_empty() {
                let Some((piece, written)) = writing.pop_front() else {
                    return Ok(());
                };
                let written = written
                    .await
                    .map_err(|error| PieceError::Source(error.to_string()))?;
                let Some(buffer) = written.map_err(PieceError::Local)? else {
                    let path = &file.path;
                    let offset = piece.offset;
                    return Err(PieceError::Corrupt(format!(
                        "the chunk of {path} at {offset} has other bytes"
                    )));
                };

                spare.push(buffer);
                if let Some(sync) = work.syncs.get(&first.file) {
                    sync.wrote(u64::from(piece.length));
                }
                pieces.pop_front();
                continue;
            }

            let Some(piece) = to_read.pop_front() else {
                continue;
            };
            let mut bytes = spare.pop().unwrap_or_default();

            bytes.resize(piece.length as usize, 0);
            read_steadily(&mut receive, &mut bytes)
                .await
                .map_err(source_error)?;
            received.inc_by(bytes.len() as u64);

            let staged = staged.clone();
            let path = path.clone();
            let task = piece.clone();

            writing.push_back((
                piece,
                tokio::spawn(async move { put_chunk(staged, &path, &task, bytes).await }),
            ));
        }
    }
}

/// The memory of a chunk that was written; none if its bytes were wrong.
type Written = Result<Option<Vec<u8>>, ModelError>;

enum PieceError {
    /// The source did not deliver.
    Source(String),
    /// The source delivered something else.
    Corrupt(String),
    /// Our own disk failed: no source can help.
    Local(ModelError),
}

struct Work {
    requests: Mutex<VecDeque<Vec<Piece>>>,
    failures: Mutex<HashMap<AgentId, u32>>,
    last: Mutex<String>,
    local: Mutex<Option<ModelError>>,
    /// Of large files, by their index.
    syncs: BTreeMap<usize, EarlySync>,
    /// How many lists of sources count at once.
    tiers: AtomicUsize,
}

impl Work {
    /// The sources to ask now: those of the first lists that count, or of the first list that has
    /// any left.
    fn usable<'a>(&self, sources: &'a [Vec<AgentId>]) -> Vec<&'a AgentId> {
        let left = |list: &'a Vec<AgentId>| list.iter().filter(|source| !self.is_given_up(source));
        let lists = || sources.iter().filter(|list| left(list).next().is_some());
        lists()
            .take(self.tiers.load(Ordering::Relaxed))
            .flat_map(left)
            .collect()
    }

    fn is_given_up(&self, source: &AgentId) -> bool {
        lock(&self.failures)
            .get(source)
            .is_some_and(|failures| *failures >= FAILURES_MAX)
    }

    fn failed(&self, source: &AgentId, why: &str, weight: u32) {
        *lock(&self.failures).entry(source.clone()).or_default() += weight;
        *lock(&self.last) = format!("{source}: {why}");
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads exactly `buffer`. In pieces, so that a slow but living link is not taken for a dead one.
async fn read_steadily(receive: &mut BulkReceive, buffer: &mut [u8]) -> io::Result<()> {
    for piece in buffer.chunks_mut(READ_PIECE) {
        in_time(receive.read_exact(piece)).await?;
    }
    Ok(())
}

/// For files worth it: each keeps a descriptor open, and a version may have thousands of small
/// files.
fn early_syncs(
    manifest: &Manifest,
    paths: &[PathBuf],
) -> Result<BTreeMap<usize, EarlySync>, ModelError> {
    let large = manifest
        .files
        .iter()
        .zip(paths)
        .enumerate()
        .filter(|(_, (file, _))| file.size > SYNC_EVERY);

    large
        .map(|(index, (_, path))| {
            let sync =
                EarlySync::new(path).map_err(|error| ModelError::io("assemble", path, error))?;
            Ok((index, sync))
        })
        .collect()
}

/// Opens a staging file to write to.
fn open(path: &Path) -> io::Result<File> {
    File::options().write(true).open(path)
}

/// Groups chunks into requests: of one file, about [`REQUEST`] bytes each.
fn requests(missing: Vec<Piece>) -> VecDeque<Vec<Piece>> {
    let mut requests: VecDeque<Vec<Piece>> = VecDeque::new();
    let mut size = 0;
    for piece in missing {
        let length = u64::from(piece.length);
        match requests.back_mut() {
            Some(last)
                if last.first().is_some_and(|first| first.file == piece.file)
                    && size + length <= REQUEST =>
            {
                size += length;
                last.push(piece);
            }
            _ => {
                size = length;
                requests.push_back(vec![piece]);
            }
        }
    }

    requests
}

/// Makes the file of its final size and tells which chunks are not there yet.
fn scan(index: usize, file: &ManifestFile, path: &Path) -> io::Result<Vec<Piece>> {
    let staged = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)?;
    let is_new = staged.metadata()?.len() == 0;

    staged.set_len(file.size)?;
    let mut missing = Vec::new();
    let mut offset = 0;
    let mut bytes = Vec::new();

    for chunk in &file.chunks {
        let is_there = !is_new && {
            bytes.resize(chunk.length as usize, 0);
            staged.read_exact_at(&mut bytes, offset)?;
            Digest::of(&bytes) == chunk.digest
        };

        if !is_there {
            missing.push(Piece {
                file: index,
                offset,
                length: chunk.length,
                digest: chunk.digest,
            });
        }

        offset += u64::from(chunk.length);
    }

    Ok(missing)
}

/// Writes a chunk to its place if its bytes are right, and gives their memory back; none if they
/// are not.
async fn put_chunk(staged: Arc<File>, path: &Path, piece: &Piece, bytes: Vec<u8>) -> Written {
    let piece = piece.clone();
    blocking(path, move || {
        if bytes.len() != piece.length as usize || Digest::of(&bytes) != piece.digest {
            return Ok(None);
        }
        staged
            .write_all_at(&bytes, piece.offset)
            .map(|()| Some(bytes))
    })
    .await
}

async fn whole_digest(path: &Path) -> Result<Digest, ModelError> {
    let file = path.to_owned();
    blocking(path, move || {
        let mut hasher = blake3::Hasher::new();
        let mut file = File::open(&file)?;
        let mut block = vec![0; 4 << 20];

        loop {
            let read = io::Read::read(&mut file, &mut block)?;
            if read == 0 {
                return Ok(Digest(*hasher.finalize().as_bytes()));
            }
            hasher.update(&block[..read]);
        }
    })
    .await
}

async fn blocking<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, ModelError> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(io::Error::other(error)))
        .map_err(|error| ModelError::io("assemble", path, error))
}
