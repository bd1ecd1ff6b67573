//! An acceptor's state in an object store, as numbered slots that are only ever created.
//!
//! Put-if-absent is the one conditional write that every store has (the local file system has no
//! conditional update). Slot `n + 1` is what follows the state in slot `n`; each holds the whole
//! state, so that the two newest suffice and older ones are deleted. Several agents of a region,
//! and restarted ones, may work on one store at the same time.
//!
//! # Why a stale writer cannot succeed
//!
//! A writer may hold slot `n` in memory while others went on to `n + 40` and deleted `n + 1`; its
//! put-if-absent of `n + 1` then succeeds. So after every successful put we list the slots, and if
//! there is one above ours the put counts for nothing: reload, apply the request anew. This is
//! enough with strongly consistent listings (S3, GCS, Azure and file systems have them): the newest
//! slot is never deleted, so had slot `n + 1` ever existed before, a higher one exists at every
//! later time and the listing shows it. And if the listing shows none, our slot is the first of its
//! number, on top of the state that we judged the request by. A slot put by such a loser lies below
//! the newest, where nobody looks but the compaction, which follows at once; whoever runs into it
//! sees the higher slots by the same rule.
//!
//! Reads follow it too: what is in memory is current if and only if no higher slot is listed.
//!
//! # State that was lost
//!
//! A rule of the bucket, or somebody who cleans up, may delete slots: all, or some, also the
//! newest. An acceptor that then went on from an older slot, or from nothing, would break its
//! promises. So a slot counts only together with the one before it, and no third one is kept:
//! whichever of the two is deleted, what is left is not a pair, and that is seen by every agent,
//! whatever it remembers. The acceptor then begins anew: an empty slot, and after it a state that
//! promised nothing, under a new incarnation. Its votes are not counted until a leader lets it join
//! ([`regionmesh_protocol::register::members`]). A first start is the same, from no slot at all.
//!
//! A number says little of who wrote it: an agent that slept over many writes puts any slot that is
//! free. So each slot names the very write that it follows, and a pair is two slots that belong
//! together. And each write is preceded by a listing, since the agent that last read slot `n - 1`
//! could put a good-looking `n` where `n` was deleted.
//!
//! Slots older than [`REWRITE`] are written again, so that a rule by age of a day or more never
//! meets the newest. What can't be seen: a pair of slots put back from a backup (never restore
//! `register/`), and the deletion of the newest slot in the moment before a third one is compacted.
//!
//! # Compaction is safe at each step
//!
//! What is deleted lies two below a slot that a listing showed as the newest, and the newest only
//! grows. A crash before the deletion leaves a slot more, which the next write deletes. Nothing
//! else is ever deleted, so the bound is two slots and one for each agent that is writing.
//!
//! # Lost replies
//!
//! Each write carries a mark of its own. A put that failed in any way is resolved by reading the
//! slot: our mark, it was done; another's, we lost; nothing there, it is put again. If the first
//! put still arrives later, it is a valid step of the acceptor that nobody was told of, exactly as
//! if the answer to the proposer had been lost.

mod metrics;

use crate::fault::words;
use futures::TryStreamExt;
pub use metrics::SlotMetrics;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutPayload, path::Path};
use regionmesh_protocol::{
    codec::{self, CodecError},
    register::{
        acceptor::{AcceptorAnswer, AcceptorRequest, AcceptorState},
        ballot::Bounds,
        members::Incarnation,
    },
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    future::Future,
    sync::{
        Arc, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::Mutex;

/// Attempts at one request before giving up: each means that another agent wrote, or that the store
/// failed.
const ATTEMPTS: u32 = 12;
/// Puts of unknown outcome before giving up: the store is down, and the proposer tries again
/// anyway.
const UNKNOWN_ATTEMPTS: u32 = 2;
/// Listings in a row that must show a newest slot without the one before it: while another agent
/// writes and compacts, a listing that takes its time may see neither what was there before nor
/// what is there after.
const LOST_AFTER: u32 = 3;
/// Highest slot: ten digits, so that names sort as numbers do. At one a second it lasts 300 years.
const LAST_SLOT: u64 = 9_999_999_999;
/// A slot that is the newest for longer is written again: rules that delete by age count in days.
const REWRITE: Duration = Duration::from_secs(6 * 60 * 60);
/// Most slots that one listing takes in; old ones beyond are left for the next compaction.
const LISTED_MAX: usize = 10_000;
/// Opens every slot; to be changed with its layout, since what was encoded otherwise may decode to
/// nonsense.
const LAYOUT: &[u8] = b"regionmesh slot 4\n";
/// How often a store that keeps failing, or is slow, is told of in the log.
const TELL_AGAIN: Duration = Duration::from_secs(60);
/// A store that failed is well again after this long without a failure.
const WELL_AFTER: Duration = Duration::from_secs(10);
/// A request that takes longer is told of: elections and commits wait for it.
const SLOW: Duration = Duration::from_secs(1);

/// Why an acceptor could not answer.
#[derive(Debug, thiserror::Error)]
pub enum SlotError {
    /// The store failed; what was asked may have been done.
    #[error("{acceptor} store: cannot {action} {path}: {}", words(.error))]
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
    /// Written by a version that lays slots out otherwise.
    #[error(
        "{acceptor} store: {path} was written by another version of regionmesh; stop all agents, delete `register/` from \
         every store and the witness and `committed-plan` from every data_dir, and start again \
         (models stay)"
    )]
    OtherLayout {
        /// `region` or `witness`.
        acceptor: &'static str,
        /// The slot.
        path: Path,
    },
    /// A slot does not hold what an acceptor wrote; the acceptor stays silent until an operator
    /// deletes the slot.
    #[error(
        "{path} is not a register slot ({error}); delete it: the acceptor then knows that it lost its state and joins \
         again. Never put it back from a backup"
    )]
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
        "{acceptor} store: gave up after {ATTEMPTS} attempts, other agents write to the same \
            register all the time"
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
            SlotError::OtherLayout { .. } => "other-layout",
            SlotError::Corrupt { .. } => "corrupt",
            SlotError::Unwritable(_) => "too-large",
            SlotError::Contended { .. } => "contended",
            SlotError::Exhausted => "exhausted",
        }
    }
}

/// What a slot holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Slot {
    /// None: the acceptor's state was lost, or never was; the next slot begins it.
    state: Option<AcceptorState>,
    mark: Mark,
    /// The mark of the slot before, which this one follows.
    after: Option<Mark>,
}

/// Unique to one write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Mark {
    /// Drawn by the writer at its start.
    writer: u64,
    /// The writer's count of writes.
    write: u64,
}

/// What a listing tells of one object: no two objects of a name that were put at different times
/// have the same.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Trace(Option<String>, i64, u64);

impl From<&ObjectMeta> for Trace {
    fn from(meta: &ObjectMeta) -> Self {
        Self(
            meta.e_tag.clone(),
            meta.last_modified.timestamp_micros(),
            meta.size,
        )
    }
}

/// A state and the pair of slots that it was seen in; slot 0 is before the beginning.
#[derive(Debug, Clone)]
struct Seen {
    number: u64,
    state: AcceptorState,
    mark: Option<Mark>,
    /// Of the slot before, and of this one.
    pair: Option<(Trace, Trace)>,
    /// Since when it is known to be the newest.
    since: Instant,
}

/// The slots that a listing showed.
#[derive(Debug, Default)]
struct Listing(BTreeMap<u64, Trace>);

impl Listing {
    /// The highest; 0: there is none.
    fn newest(&self) -> u64 {
        self.0.last_key_value().map_or(0, |(number, _)| *number)
    }

    /// The slot before the newest, and the newest.
    fn pair(&self) -> Option<(Trace, Trace)> {
        let newest = self.newest();
        let before = self.0.get(&newest.checked_sub(1)?)?;
        Some((before.clone(), self.0.get(&newest)?.clone()))
    }
}

/// What the log was told of a store's trouble, so that it is not told at every request.
#[derive(Debug, Default)]
struct Told {
    failing_since: Option<Instant>,
    failed: Option<Instant>,
    at: Option<Instant>,
    untold: u64,
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
    bounds: std::sync::Mutex<Bounds>,
    seen: Mutex<Seen>,
    told: std::sync::Mutex<Told>,
}

/// How a put ended.
enum Put {
    Done,
    Taken,
    /// The outcome is unknown and the slot is still free.
    Unknown(SlotError),
    /// The slot existed a moment ago and is gone: compacted, so we are far behind.
    Outdated,
}

impl SlotStore {
    /// The acceptor whose slots are `<prefix>/register/acc/` in `store`. `acceptor` is `region` or
    /// `witness`, for errors and metrics; `timeout` is for each single operation of the store.
    pub fn new(
        store: Arc<dyn ObjectStore>,
        prefix: &Path,
        acceptor: &'static str,
        timeout: Duration,
        metrics: SlotMetrics,
    ) -> Self {
        let folder = prefix.clone().join("register").join("acc");
        let writer = rand::random();
        let writes = AtomicU64::new(0);

        // From 0, so that an alert sees the first of each.
        for reason in ["store", "timeout", "corrupt"] {
            let _ = metrics.errors.with_label_values(&[acceptor, reason]);
        }

        let state = AcceptorState::default();
        let since = Instant::now();
        let seen = Mutex::new(Seen {
            number: 0,
            state,
            mark: None,
            pair: None,
            since,
        });

        let (bounds, told) = Default::default();
        Self {
            store,
            folder,
            acceptor,
            timeout,
            metrics,
            writer,
            writes,
            bounds,
            seen,
            told,
        }
    }

    /// Tells what this acceptor does not go beyond, which depends on what the others say.
    pub fn set_bounds(&self, bounds: Bounds) {
        *self.bounds.lock().unwrap_or_else(PoisonError::into_inner) = bounds;
    }

    fn bounds(&self) -> Bounds {
        self.bounds
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Answers `request`; what the answer says is durable. Requests of this process take turns.
    pub async fn apply(&self, request: &AcceptorRequest) -> Result<AcceptorAnswer, SlotError> {
        let mut seen = self.seen.lock().await;
        let start = Instant::now();
        let answer = self.try_apply(&mut seen, request).await;
        let duration = start.elapsed();

        self.metrics
            .duration
            .with_label_values(&[self.acceptor])
            .observe(duration.as_secs_f64());

        if let Err(error) = &answer {
            self.metrics
                .errors
                .with_label_values(&[self.acceptor, error.reason()])
                .inc();
        }

        self.tell(answer.as_ref().err(), duration);
        answer
    }

    /// Logs a store's trouble once a minute, and its end.
    fn tell(&self, error: Option<&SlotError>, duration: Duration) {
        let Ok(mut told) = self.told.lock() else {
            return;
        };
        let acceptor = self.acceptor;

        if error.is_none() && duration < SLOW {
            // A full store still answers what is read: it is well once nothing failed for a while.
            let is_well = told
                .failed
                .is_some_and(|failed| failed.elapsed() >= WELL_AFTER);
            if let Some(since) = told.failing_since.take_if(|_| is_well) {
                tracing::info!(acceptor, after = ?since.elapsed(), "the register's store answers \
                    again");
                *told = Told::default();
            }

            return;
        }

        if error.is_some() {
            told.failing_since.get_or_insert_with(Instant::now);
            told.failed = Some(Instant::now());
        }

        if told.at.is_some_and(|at| at.elapsed() < TELL_AGAIN) {
            told.untold += 1;
            return;
        }

        let untold = std::mem::take(&mut told.untold);
        let failing = told.failing_since.map(|since| since.elapsed());
        told.at = Some(Instant::now());
        match error {
            Some(error) => tracing::warn!(
                acceptor, %error, untold, for_ = ?failing.unwrap_or_default(),
                "the register's store fails: this acceptor has no vote meanwhile, and a majority \
                    must do without it"
            ),
            None => tracing::warn!(
                acceptor,
                ?duration,
                untold,
                "the register's store is slow: elections and commits wait for it, or do without it \
                    after 2 s"
            ),
        }
    }

    async fn try_apply(
        &self,
        seen: &mut Seen,
        request: &AcceptorRequest,
    ) -> Result<AcceptorAnswer, SlotError> {
        let mut unknown = 0;
        for _ in 0..ATTEMPTS {
            self.catch_up(seen).await?;
            let (reply, next) = seen.state.apply_within(request, &self.bounds());
            let is_old = seen.since.elapsed() >= REWRITE;
            let Some(next) = next.or_else(|| is_old.then(|| seen.state.clone())) else {
                return Ok(AcceptorAnswer {
                    incarnation: seen.state.incarnation,
                    reply,
                });
            };

            let number = seen.number + 1;
            let slot = self.slot(Some(next), seen.mark);
            match self.put(number, &slot).await? {
                Put::Done => {
                    let listing = self.look().await?;
                    self.compact(&listing);

                    let pair = listing.pair().filter(|(before, _)| {
                        listing.newest() == number
                            && seen.pair.as_ref().is_some_and(|(_, last)| last == before)
                    });

                    if let (Some(pair), Some(state)) = (pair, slot.state) {
                        let incarnation = state.incarnation;
                        let mark = Some(slot.mark);
                        let since = Instant::now();

                        *seen = Seen {
                            number,
                            state,
                            mark,
                            pair: Some(pair),
                            since,
                        };

                        self.metrics
                            .writes
                            .with_label_values(&[self.acceptor])
                            .inc();

                        return Ok(AcceptorAnswer { incarnation, reply });
                    }

                    self.retrying("outdated");
                }
                Put::Taken | Put::Outdated => self.retrying("taken"),
                Put::Unknown(error) => {
                    self.retrying("unknown");
                    unknown += 1;
                    if unknown == UNKNOWN_ATTEMPTS {
                        return Err(error);
                    }
                }
            }
        }

        Err(SlotError::Contended {
            acceptor: self.acceptor,
        })
    }

    fn slot(&self, state: Option<AcceptorState>, after: Option<Mark>) -> Slot {
        let mark = Mark {
            writer: self.writer,
            write: self.writes.fetch_add(1, Ordering::Relaxed),
        };
        Slot { state, mark, after }
    }

    fn retrying(&self, reason: &'static str) {
        self.metrics
            .retries
            .with_label_values(&[self.acceptor, reason])
            .inc();
    }

    /// Brings `seen` up to the newest slot. Begins the state anew where there is none that can be
    /// vouched for.
    async fn catch_up(&self, seen: &mut Seen) -> Result<(), SlotError> {
        let mut lost = 0;
        for _ in 0..ATTEMPTS {
            let listing = self.look().await?;
            let newest = listing.newest();
            let pair = listing.pair();

            if newest > 0 && newest == seen.number && pair.is_some() && pair == seen.pair {
                return Ok(());
            }
            self.compact(&listing);

            let slot = match newest {
                0 => None,
                _ => match self.get(newest).await? {
                    // Gone since the listing: compacted, so the next listing shows higher ones.
                    None => continue,
                    slot => slot,
                },
            };

            let before = match &pair {
                Some(_) => self.get(newest - 1).await?.map(|before| before.mark),
                None => None,
            };

            match slot {
                Some(Slot {
                    state: Some(state),
                    mark,
                    after,
                }) if before.is_some() && after == before && newest >= seen.number => {
                    *seen = Seen {
                        number: newest,
                        state,
                        mark: Some(mark),
                        pair,
                        since: Instant::now(),
                    };
                }
                Some(Slot {
                    state: None, mark, ..
                }) if newest >= seen.number => {
                    let begun = AcceptorState::begin(Incarnation(rand::random()));
                    tracing::info!(acceptor = self.acceptor, incarnation = %begun.incarnation, "an acceptor begins");
                    self.put(newest + 1, &self.slot(Some(begun), Some(mark)))
                        .await?;
                }
                _ => {
                    lost += 1;
                    if newest > 0 && lost < LOST_AFTER {
                        continue;
                    }
                    self.begin_anew(newest, seen.number).await?;
                }
            }
        }

        Err(SlotError::Contended {
            acceptor: self.acceptor,
        })
    }

    /// Closes off whatever is left of a state, above all that was ever seen of it.
    async fn begin_anew(&self, newest: u64, seen: u64) -> Result<(), SlotError> {
        let is_first = newest == 0 && seen == 0;
        let reason = if is_first { "first" } else { "lost" };
        if !is_first {
            tracing::error!(
                acceptor = self.acceptor,
                folder = %self.folder,
                newest,
                seen,
                "slots of the register were deleted: this acceptor lost its state and has no vote until the leader lets it \
                 join again; exempt `register/` from the bucket's lifecycle rules"
            );
        }

        if let Put::Done = self
            .put(newest.max(seen) + 1, &self.slot(None, None))
            .await?
        {
            self.metrics
                .begun
                .with_label_values(&[self.acceptor, reason])
                .inc();
        }

        Ok(())
    }

    /// The slots that there are.
    async fn look(&self) -> Result<Listing, SlotError> {
        let listing = self.store.list(Some(&self.folder)).try_fold(
            BTreeMap::new(),
            |mut slots, meta| async move {
                slots
                    .extend(slot_number(&meta.location).map(|number| (number, Trace::from(&meta))));
                if slots.len() > LISTED_MAX {
                    slots.pop_first();
                }
                Ok(slots)
            },
        );

        Ok(Listing(self.within("list", &self.folder, listing).await?))
    }

    async fn get(&self, number: u64) -> Result<Option<Slot>, SlotError> {
        let path = self.path(number);
        let bytes = async { self.store.get(&path).await?.bytes().await };
        let bytes = match self.within("get", &path, bytes).await {
            Ok(bytes) => bytes,
            Err(SlotError::Store {
                error: object_store::Error::NotFound { .. },
                ..
            }) => return Ok(None),
            Err(error) => return Err(error),
        };

        match bytes.strip_prefix(LAYOUT) {
            Some(body) => codec::decode(body)
                .map(Some)
                .map_err(|error| SlotError::Corrupt { path, error }),
            // Layout 1 had no name: it began with a writer's state.
            None if bytes.len() > LAYOUT.len() && !bytes.starts_with(b"regionmesh") => {
                Err(SlotError::OtherLayout {
                    acceptor: self.acceptor,
                    path,
                })
            }
            None => Err(SlotError::Corrupt {
                path,
                error: CodecError::Malformed("it does not begin as one".into()),
            }),
        }
    }

    async fn put(&self, number: u64, slot: &Slot) -> Result<Put, SlotError> {
        if number > LAST_SLOT {
            return Err(SlotError::Exhausted);
        }

        let path = self.path(number);
        let bytes = [LAYOUT, &codec::encode(slot).map_err(SlotError::Unwritable)?].concat();
        let payload = PutPayload::from(bytes);
        let put = self.store.put_opts(&path, payload, PutMode::Create.into());
        let Err(error) = self.within("create", &path, put).await else {
            return Ok(Put::Done);
        };

        // `AlreadyExists` is no proof that we lost: the client repeats requests by itself, so it
        // may be our own write.
        match self.get(number).await? {
            Some(there) if there == *slot => Ok(Put::Done),
            Some(_) => Ok(Put::Taken),
            None if matches!(
                &error,
                SlotError::Store {
                    error: object_store::Error::AlreadyExists { .. },
                    ..
                }
            ) =>
            {
                Ok(Put::Outdated)
            }
            None => Ok(Put::Unknown(error)),
        }
    }

    /// Deletes all but the two newest slots, in the background.
    fn compact(&self, listing: &Listing) {
        let oldest_kept = listing.newest().saturating_sub(1);
        let old: Vec<Path> = listing
            .0
            .range(..oldest_kept)
            .map(|(number, _)| self.path(*number))
            .collect();

        if old.is_empty() {
            return;
        }

        let store = self.store.clone();
        let folder = self.folder.clone();
        let timeout = self.timeout;

        tokio::spawn(async move {
            let delete = async {
                for path in old {
                    match store.delete(&path).await {
                        // Another agent was faster.
                        Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                        Err(error) => return Err(error),
                    }
                }

                Ok(())
            };

            match tokio::time::timeout(timeout * 10, delete).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    tracing::debug!(%folder, %error, "old register slots are left for the next \
                        compaction")
                }
                Err(_) => {
                    tracing::debug!(%folder, "compaction of register slots took too long, the next \
                        goes on")
                }
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
        let acceptor = self.acceptor;
        let timeout = self.timeout;
        match tokio::time::timeout(timeout, operation).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(SlotError::Store {
                acceptor,
                action,
                path: path.clone(),
                error,
            }),
            Err(_) => Err(SlotError::TimedOut {
                acceptor,
                action,
                path: path.clone(),
                timeout,
            }),
        }
    }
}

/// The number in a slot's name; none for a file that is no slot.
fn slot_number(path: &Path) -> Option<u64> {
    let name = path.filename()?;
    (name.len() == 10 && name.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| name.parse().ok())?
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;
