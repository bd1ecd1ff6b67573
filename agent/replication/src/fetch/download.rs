//! Downloading missing chunks from several agents in parallel.

use super::{
    Fetcher,
    error::FetchError,
    pieces::{Piece, Written, open, put_chunk, requests},
};
use crate::{BulkReceive, BulkSend, early_sync::EarlySync, frames::in_time};
use parking_lot::Mutex;
use regionmesh_protocol::{
    identity::AgentId,
    models::manifest::{Manifest, ManifestFile},
    wire::BulkRequest,
};
use regionmesh_runtime::models::ModelError;
use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{
    io::AsyncReadExt,
    task::{JoinHandle, JoinSet},
};

/// Chunks being verified and written while the next is read from the network.
const CHUNKS_AHEAD: usize = 2;
/// Bytes that must arrive within [`crate::STALL`]: 3 kB/s, slower than any usable link.
const READ_PIECE: usize = 64 << 10;
/// If a request takes longer, more expensive sources are used as well: replicating late costs more
/// than the transfer.
const SLOW: Duration = Duration::from_secs(30);
/// Failures after which an agent is not asked again during this fetch.
const FAILURES_MAX: u32 = 3;

impl Fetcher {
    pub(super) async fn download(
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
            last: Mutex::new("no connected agent holds it".into()),
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
        if let Some(error) = work.local.lock().take() {
            return Err(error.into());
        }

        if !work.requests.lock().is_empty() {
            let last = work.last.lock().clone();
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
        while work.local.lock().is_none() {
            let usable = work.usable(sources);
            // Workers spread over the sources; a worker whose source fails moves on to the next.
            let Some(source) = (!usable.is_empty()).then(|| usable[number % usable.len()]) else {
                return;
            };
            let Some(request) = work.requests.lock().pop_front() else {
                return;
            };
            let mut rest = VecDeque::from(request);
            let tiers = work.tiers.load(Ordering::Relaxed);
            let asked = Instant::now();
            let outcome = self
                .fetch_pieces(work, manifest, paths, source, &mut rest)
                .await;

            if asked.elapsed() > SLOW && tiers < sources.len() {
                tracing::info!(
                    %source,
                    model = %manifest.model,
                    version = %manifest.version,
                    took = ?asked.elapsed(),
                    "a source is slow; using more expensive ones as well"
                );
                work.add_tier(tiers);
            }

            if let Err(error) = outcome {
                self.request_failed(work, manifest, source, error, rest);
            }
        }
    }

    /// Records why `source` failed and queues the rest of its request again.
    fn request_failed(
        &self,
        work: &Work,
        manifest: &Manifest,
        source: &AgentId,
        error: PieceError,
        rest: VecDeque<Piece>,
    ) {
        match error {
            PieceError::Local(error) => {
                work.local.lock().get_or_insert(error);
                return;
            }
            PieceError::Source(why) => {
                tracing::warn!(
                    %source,
                    model = %manifest.model,
                    version = %manifest.version,
                    why,
                    "a fetch failed; trying another agent"
                );
                work.failed(source, &why, 1);
            }
            PieceError::Corrupt(why) => {
                tracing::error!(
                    %source,
                    model = %manifest.model,
                    version = %manifest.version,
                    why,
                    "wrong bytes from a peer"
                );
                self.metrics
                    .corrupt
                    .with_label_values(&[source.region.as_str()])
                    .inc();

                work.failed(source, &why, FAILURES_MAX);
            }
        }

        work.requests.lock().push_front(rest.into());
    }

    /// Requests `pieces` of one file; returns the answer's stream. The sending half must live until
    /// everything has been read.
    async fn request_pieces(
        &self,
        manifest: &Manifest,
        file: &ManifestFile,
        source: &AgentId,
        pieces: &VecDeque<Piece>,
    ) -> Result<(BulkSend, BulkReceive), PieceError> {
        let ranges: Vec<_> = pieces
            .iter()
            .map(|piece| (piece.offset, piece.length))
            .collect();
        let expected: u64 = ranges.iter().map(|(_, length)| u64::from(*length)).sum();
        let request = BulkRequest::Ranges {
            model: manifest.model.clone(),
            version: manifest.version.clone(),
            content: manifest.content(),
            path: file.path.clone(),
            ranges,
        };
        let (length, send, receive) = self
            .ask(source, &request)
            .await
            .map_err(|error| PieceError::Source(error.to_string()))?;

        if length != expected {
            return Err(PieceError::Corrupt(format!(
                "it announces {length} bytes, {expected} were requested"
            )));
        }

        Ok((send, receive))
    }

    /// Fetches `pieces` of one file and removes from the queue what was fetched.
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
        let (_send, mut receive) = self.request_pieces(manifest, file, source, pieces).await?;

        let received = self
            .metrics
            .bytes
            .with_label_values(&["received", source.region.as_str()]);
        let staged = open(path)
            .map_err(|error| PieceError::Local(ModelError::io("assemble", path, error)))?;
        let staged = Arc::new(staged);
        let mut writing: VecDeque<(Piece, JoinHandle<Written>)> = VecDeque::new();
        let mut to_read: VecDeque<Piece> = pieces.clone();

        // Buffers are reused: fresh pages for each chunk would cost as much as hashing it.
        let mut spare: Vec<Vec<u8>> = Vec::new();
        loop {
            if writing.len() > CHUNKS_AHEAD || to_read.is_empty() {
                let Some((piece, write)) = writing.pop_front() else {
                    return Ok(());
                };

                spare.push(written(file, &piece, write).await?);
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
                .map_err(|error| PieceError::Source(error.to_string()))?;
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

/// Waits for a chunk's write; its buffer.
async fn written(
    file: &ManifestFile,
    piece: &Piece,
    write: JoinHandle<Written>,
) -> Result<Vec<u8>, PieceError> {
    let written = write
        .await
        .map_err(|error| PieceError::Source(error.to_string()))?;

    written.map_err(PieceError::Local)?.ok_or_else(|| {
        let path = &file.path;
        let offset = piece.offset;
        PieceError::Corrupt(format!("the chunk of {path} at {offset} has wrong bytes"))
    })
}

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
    /// Number of source lists in use.
    tiers: AtomicUsize,
}

impl Work {
    /// The sources to ask now: those of the first `tiers` lists that have any left.
    fn usable<'a>(&self, sources: &'a [Vec<AgentId>]) -> Vec<&'a AgentId> {
        let left = |list: &'a Vec<AgentId>| list.iter().filter(|source| !self.is_given_up(source));
        let lists = || sources.iter().filter(|list| left(list).next().is_some());
        lists()
            .take(self.tiers.load(Ordering::Relaxed))
            .flat_map(left)
            .collect()
    }

    fn is_given_up(&self, source: &AgentId) -> bool {
        self.failures
            .lock()
            .get(source)
            .is_some_and(|failures| *failures >= FAILURES_MAX)
    }

    /// Uses one more list of sources, unless another worker added it since `tiers` were used.
    fn add_tier(&self, tiers: usize) {
        let _ = self
            .tiers
            .compare_exchange(tiers, tiers + 1, Ordering::Relaxed, Ordering::Relaxed);
    }

    fn failed(&self, source: &AgentId, why: &str, weight: u32) {
        *self.failures.lock().entry(source.clone()).or_default() += weight;
        *self.last.lock() = format!("{source}: {why}");
    }
}

/// Fills `buffer`, in pieces so that a slow link does not count as stalled.
async fn read_steadily(receive: &mut BulkReceive, buffer: &mut [u8]) -> io::Result<()> {
    for piece in buffer.chunks_mut(READ_PIECE) {
        in_time(receive.read_exact(piece)).await?;
    }
    Ok(())
}
