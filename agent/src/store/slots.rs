//! An acceptor's state in an object store, as numbered slots that are only ever created.
//!
//! Put-if-absent is the one conditional write that every store has (the local file system has no conditional update).
//! Slot `n + 1` is what follows the state in slot `n`; each holds the whole state, so older ones may be deleted.
//! Several agents of a region, and restarted ones, may work on one store at the same time.
//!
//! # Why a stale writer cannot succeed
//!
//! A writer may hold slot `n` in memory while others went on to `n + 40` and deleted `n + 1`; its put-if-absent of
//! `n + 1` then succeeds. So after every successful put we list the slots above ours, and if there is one the put
//! counts for nothing: reload, apply the request anew. This is enough with strongly consistent listings (S3, GCS, Azure
//! and file systems have them): the newest slot is never deleted, so had slot `n + 1` ever existed before, a higher
//! one exists at every later time and the listing shows it. And if the listing shows none, our slot is the first of its
//! number, on top of the state that we judged the request by. A slot put by such a loser lies below the newest, where
//! nobody looks but the next compaction; whoever runs into it sees the higher slots by the same rule.
//!
//! Reads follow it too: what is in memory is current if and only if no higher slot is listed.
//!
//! # Lost replies
//!
//! Each write carries a mark of its own. A put that failed in any way is resolved by reading the slot: our mark, it was
//! done; another's, we lost; nothing there, it is put again. If the first put still arrives later, it is a valid step of the
//! acceptor that nobody was told of, exactly as if the answer to the proposer had been lost.

use futures::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutPayload, path::Path};
use prometheus::{IntCounterVec, Opts, Registry};
use regionmesh_protocol::{
    codec::{self, CodecError},
    register::{AcceptorReply, AcceptorRequest, AcceptorState},
};
use serde::{Deserialize, Serialize};
use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::sync::Mutex;

/// Newest slots that compaction keeps. One would do; some history helps an operator who looks into the bucket.
const KEPT_SLOTS: u64 = 16;
/// Attempts at one request before giving up: each means that another agent wrote, or that the store failed.
const ATTEMPTS: u32 = 12;
/// Puts of unknown outcome before giving up: the store is down, and the proposer tries again anyway.
const UNKNOWN_ATTEMPTS: u32 = 2;
/// Highest slot: ten digits, so that names sort as numbers do. At one a second it lasts 300 years.
const LAST_SLOT: u64 = 9_999_999_999;

/// Why an acceptor could not answer.
#[derive(Debug, thiserror::Error)]
pub enum SlotError {
    /// The store failed; what was asked may have been done.
    #[error("{acceptor} store: cannot {action} {path}: {error}; check the bucket and its credentials")]
    Store {
        /// `region` or `witness`.
        acceptor: &'static str,
        /// What was tried.
        action: &'static str,
        /// Where.
        path: Path,
        /// The store's reason.
        error: object_store::Error,
    },
    /// The store did not answer in time; what was asked may have been done.
    #[error("{acceptor} store: no answer to {action} {path} within {timeout:?}")]
    TimedOut {
        /// `region` or `witness`.
        acceptor: &'static str,
        /// What was tried.
        action: &'static str,
        /// Where.
        path: Path,
        /// How long we waited.
        timeout: Duration,
    },
    /// A slot does not hold what an acceptor wrote; the acceptor stays silent until an operator restores the slot.
    #[error("{path} is not a register slot ({error}); restore it from a backup, or delete it if an older slot is good")]
    Corrupt {
        /// The slot.
        path: Path,
        /// What is wrong with it.
        error: CodecError,
    },
    /// The state is too large for a slot.
    #[error("the acceptor's state cannot be written: {0}")]
    Unwritable(CodecError),
    /// Other agents kept writing, or the store kept failing.
    #[error(
        "{acceptor} store: gave up after {ATTEMPTS} attempts, other agents write to the same register all the time"
    )]
    Contended {
        /// `region` or `witness`.
        acceptor: &'static str,
    },
    /// There is no further slot number.
    #[error("the register's slots are used up")]
    Exhausted,
}

impl SlotError {
    /// A word for a metric's label.
    fn reason(&self) -> &'static str {
        match self {
            SlotError::Store { .. } => "store",
            SlotError::TimedOut { .. } => "timeout",
            SlotError::Corrupt { .. } => "corrupt",
            SlotError::Unwritable(_) => "too-large",
            SlotError::Contended { .. } => "contended",
            SlotError::Exhausted => "exhausted",
        }
    }
}

/// What the slots' readers and writers count; one for all stores of an agent.
#[derive(Debug, Clone)]
pub struct SlotMetrics {
    writes: IntCounterVec,
    retries: IntCounterVec,
    errors: IntCounterVec,
}

impl SlotMetrics {
    /// Registers the metrics.
    pub fn new(registry: &Registry) -> prometheus::Result<Self> {
        let counter = |name: &str, help: &str, labels: &[&str]| {
            let counter = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, prometheus::Error>(counter)
        };
        Ok(Self {
            writes: counter(
                "regionmesh_register_slot_writes_total",
                "Register slots written by this agent.",
                &["acceptor"],
            )?,
            retries: counter(
                "regionmesh_register_slot_retries_total",
                "Slot writes tried again: another agent took the slot, ours was outdated, or the outcome was unknown.",
                &["acceptor", "reason"],
            )?,
            errors: counter(
                "regionmesh_register_slot_errors_total",
                "Requests that this agent's acceptor could not answer.",
                &["acceptor", "reason"],
            )?,
        })
    }
}

/// What a slot holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Slot {
    state: AcceptorState,
    /// Drawn by the writer at its start.
    writer: u64,
    /// The writer's count of writes: with `writer`, unique to one write.
    write: u64,
}

/// A state and the slot that it was seen in; slot 0 is the empty beginning.
#[derive(Debug, Clone, Default)]
struct Seen {
    number: u64,
    state: AcceptorState,
}

/// An acceptor over an object store: a region's, or the witness.
#[derive(Debug)]
pub struct SlotStore {
    store: Arc<dyn ObjectStore>,
    folder: Path,
    acceptor: &'static str,
    timeout: Duration,
    metrics: SlotMetrics,
    writer: u64,
    writes: AtomicU64,
    seen: Mutex<Seen>,
}

/// How a put ended.
enum Put {
    Done,
    Taken(Box<Slot>),
    /// The outcome is unknown and the slot is still free.
    Unknown(SlotError),
    /// The slot existed a moment ago and is gone: compacted, so we are far behind.
    Outdated,
}

impl SlotStore {
    /// The acceptor whose slots are `<prefix>/register/acc/` in `store`. `acceptor` is `region` or `witness`, for errors
    /// and metrics; `timeout` is for each single operation of the store.
    pub fn new(
        store: Arc<dyn ObjectStore>,
        prefix: &Path,
        acceptor: &'static str,
        timeout: Duration,
        metrics: SlotMetrics,
    ) -> Self {
        let folder = prefix.clone().join("register").join("acc");
        let (writer, writes) = (rand::random(), AtomicU64::new(0));
        // From 0, so that an alert sees the first of each.
        for reason in ["store", "timeout", "corrupt"] {
            let _ = metrics.errors.with_label_values(&[acceptor, reason]);
        }
        Self { store, folder, acceptor, timeout, metrics, writer, writes, seen: Mutex::default() }
    }

    /// Answers `request`; what the answer says is durable. Requests of this process take turns.
    pub async fn apply(&self, request: &AcceptorRequest) -> Result<AcceptorReply, SlotError> {
        let answer = self.try_apply(request).await;
        if let Err(error) = &answer {
            self.metrics.errors.with_label_values(&[self.acceptor, error.reason()]).inc();
        }
        answer
    }

    async fn try_apply(&self, request: &AcceptorRequest) -> Result<AcceptorReply, SlotError> {
        let mut seen = self.seen.lock().await;
        // A write proves by itself that what it was based on was current; any other answer needs a listing first.
        let mut is_current = false;
        let mut unknown = 0;
        for _ in 0..ATTEMPTS {
            let (reply, next) = seen.state.apply(request);
            let Some(next) = next else {
                if is_current {
                    return Ok(reply);
                }
                self.catch_up(&mut seen).await?;
                is_current = true;
                continue;
            };
            if seen.number == 0 && !is_current {
                self.catch_up(&mut seen).await?;
                is_current = true;
                continue;
            }
            is_current = false;
            let number = seen.number + 1;
            let write = self.writes.fetch_add(1, Ordering::Relaxed);
            let slot = Slot { state: next, writer: self.writer, write };
            match self.put(number, &slot).await? {
                Put::Done if self.higher(number).await?.is_none() => {
                    *seen = Seen { number, state: slot.state };
                    self.metrics.writes.with_label_values(&[self.acceptor]).inc();
                    self.compact(number);
                    return Ok(reply);
                }
                Put::Done | Put::Outdated => {
                    self.retrying("outdated");
                    self.catch_up(&mut seen).await?;
                    is_current = true;
                }
                Put::Taken(other) => {
                    self.retrying("taken");
                    *seen = Seen { number, state: other.state };
                }
                Put::Unknown(error) => {
                    self.retrying("unknown");
                    unknown += 1;
                    if unknown == UNKNOWN_ATTEMPTS {
                        return Err(error);
                    }
                }
            }
        }
        Err(SlotError::Contended { acceptor: self.acceptor })
    }

    fn retrying(&self, reason: &'static str) {
        self.metrics.retries.with_label_values(&[self.acceptor, reason]).inc();
    }

    /// Brings `seen` up to the newest slot: when no higher one is listed, it is the current state.
    async fn catch_up(&self, seen: &mut Seen) -> Result<(), SlotError> {
        for _ in 0..ATTEMPTS {
            let Some(number) = self.higher(seen.number).await? else { return Ok(()) };
            // Gone since the listing: compacted, so the next listing shows higher ones.
            if let Some(slot) = self.get(number).await? {
                *seen = Seen { number, state: slot.state };
            }
        }
        Err(SlotError::Contended { acceptor: self.acceptor })
    }

    /// The highest slot above `number`.
    async fn higher(&self, number: u64) -> Result<Option<u64>, SlotError> {
        let offset = self.path(number);
        let listing = self.store.list_with_offset(Some(&self.folder), &offset);
        let highest = listing.try_fold(None, |highest, meta| {
            let number = slot_number(&meta.location);
            async move { Ok(highest.max(number)) }
        });
        let highest = self.within("list", &self.folder, highest).await?;
        Ok(highest.filter(|highest| *highest > number))
    }

    async fn get(&self, number: u64) -> Result<Option<Slot>, SlotError> {
        let path = self.path(number);
        let bytes = async { self.store.get(&path).await?.bytes().await };
        match self.within("get", &path, bytes).await {
            Ok(bytes) => codec::decode(&bytes).map(Some).map_err(|error| SlotError::Corrupt { path, error }),
            Err(SlotError::Store { error: object_store::Error::NotFound { .. }, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn put(&self, number: u64, slot: &Slot) -> Result<Put, SlotError> {
        if number > LAST_SLOT {
            return Err(SlotError::Exhausted);
        }
        let path = self.path(number);
        let bytes = codec::encode(slot).map_err(SlotError::Unwritable)?;
        let payload = PutPayload::from(bytes);
        let put = self.store.put_opts(&path, payload, PutMode::Create.into());
        let Err(error) = self.within("create", &path, put).await else { return Ok(Put::Done) };
        // `AlreadyExists` is no proof that we lost: the client repeats requests by itself, so it may be our own write.
        match self.get(number).await? {
            Some(there) if there == *slot => Ok(Put::Done),
            Some(there) => Ok(Put::Taken(Box::new(there))),
            None if matches!(&error, SlotError::Store { error: object_store::Error::AlreadyExists { .. }, .. }) => {
                Ok(Put::Outdated)
            }
            None => Ok(Put::Unknown(error)),
        }
    }

    /// Deletes all but the newest slots, in the background and at leisure: a slot left over does no harm.
    fn compact(&self, newest: u64) {
        // Every few writes, so that a listing is never long and most writes cost no extra request.
        if !newest.is_multiple_of(KEPT_SLOTS / 2) || newest <= KEPT_SLOTS {
            return;
        }
        let (store, folder, timeout) = (self.store.clone(), self.folder.clone(), self.timeout);
        let oldest_kept = newest - KEPT_SLOTS + 1;
        tokio::spawn(async move {
            let old = async {
                let listed: Vec<_> = store.list(Some(&folder)).map_ok(|meta| meta.location).try_collect().await?;
                for path in listed {
                    if slot_number(&path).is_some_and(|number| number < oldest_kept) {
                        store.delete(&path).await?;
                    }
                }
                Ok::<_, object_store::Error>(())
            };
            match tokio::time::timeout(timeout * 10, old).await {
                Ok(Ok(()) | Err(object_store::Error::NotFound { .. })) => {}
                Ok(Err(error)) => {
                    tracing::debug!(%folder, %error, "old register slots are left for the next compaction")
                }
                Err(_) => tracing::debug!(%folder, "compaction of register slots took too long, the next goes on"),
            }
        });
    }

    fn path(&self, number: u64) -> Path {
        self.folder.clone().join(format!("{number:010}"))
    }

    async fn within<T>(
        &self,
        action: &'static str,
        path: &Path,
        operation: impl Future<Output = object_store::Result<T>>,
    ) -> Result<T, SlotError> {
        let (acceptor, timeout) = (self.acceptor, self.timeout);
        match tokio::time::timeout(timeout, operation).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(SlotError::Store { acceptor, action, path: path.clone(), error }),
            Err(_) => Err(SlotError::TimedOut { acceptor, action, path: path.clone(), timeout }),
        }
    }
}

/// The number in a slot's name; none for a file that is no slot.
fn slot_number(path: &Path) -> Option<u64> {
    let name = path.filename()?;
    (name.len() == 10 && name.bytes().all(|byte| byte.is_ascii_digit())).then(|| name.parse().ok())?
}

#[cfg(test)]
#[path = "slots_tests.rs"]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;
