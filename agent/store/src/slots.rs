//! An acceptor's state in an object store, as numbered slots that are created and never changed.
//!
//! Put-if-absent is the one conditional write that every store has (the local file system has no
//! conditional update). Slot `n + 1` holds the successor of the state in slot `n`; each holds the
//! whole state, so that the two newest suffice and older ones are deleted. Several agents of a
//! region, and restarted ones, may work on one store at the same time.
//!
//! # Why a stale writer cannot succeed
//!
//! A writer may have slot `n` in memory while others have advanced to `n + 40` and deleted `n + 1`;
//! its put-if-absent of `n + 1` then succeeds. So after every successful put we list the slots, and
//! if a higher one exists, the put counts for nothing: reload and apply the request again. This is
//! enough with strongly consistent listings, which S3, GCS, Azure and file systems have: the newest
//! slot is never deleted, so if slot `n + 1` ever existed before, a higher one exists at every
//! later time and the listing shows it. If the listing shows none, our slot is the first of its
//! number, based on the state that the request was applied to. A stale slot lies below the newest,
//! where only the compaction reads it, which runs right after; a writer that finds it also sees the
//! higher slots.
//!
//! The same rule applies to reads: the state in memory is current if and only if no higher slot is
//! listed.
//!
//! # Lost state
//!
//! A lifecycle rule or an operator may delete any of the slots, even the newest. An acceptor that
//! continued from an older slot, or from nothing, would break its promises. So a slot counts only
//! together with its predecessor, and no third slot is kept: if either of the two is deleted, the
//! rest is not a pair, and every agent detects that, regardless of its memory. The acceptor then
//! starts over: an empty slot, followed by a state without promises under a new incarnation. Its
//! votes are not counted until a leader lets it join ([`regionmesh_protocol::register::members`]).
//! A first start works like this, from no slot at all.
//!
//! A number does not identify a write: an agent that was paused over many writes puts any free
//! slot. So each slot names the write that it follows, and a pair is two slots that belong
//! together. And each write is preceded by a listing, since an agent that last read slot `n - 1`
//! could otherwise put a plausible `n` after `n` was deleted.
//!
//! Slots older than [`REWRITE`] are rewritten, so that a lifecycle rule of a day or more never
//! deletes the newest. Two cases can't be detected: a pair of slots restored from a backup (never
//! restore `register/`), and the deletion of the newest slot just before a third one is compacted.
//!
//! # Compaction is safe at each step
//!
//! It deletes slots at least two below one that a listing showed as the newest, and the newest only
//! grows. A crash before the deletion leaves one slot more, which the next write deletes. Nothing
//! else is ever deleted, so there are at most two slots and one for each agent that is writing.
//!
//! # Lost replies
//!
//! Each write carries a unique mark. A put that failed is resolved by reading the slot: with our
//! mark, it succeeded; with another, we lost; if the slot is missing, it is put again. If the first
//! put still arrives later, it is a valid step of the acceptor that no proposer learned of, as if
//! the answer had been lost.

mod error;
mod failure_log;
mod metrics;
mod objects;
mod slot;

use error::{ATTEMPTS, SlotError};
use failure_log::FailureLog;
pub use metrics::SlotMetrics;
use object_store::{ObjectStore, path::Path};
use objects::{Put, SlotObjects};
use regionmesh_protocol::register::{
    acceptor::{AcceptorAnswer, AcceptorRequest, AcceptorState},
    ballot::Bounds,
    members::Incarnation,
};
use slot::{Mark, ObjectTag, Slot};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::Mutex;

/// Puts of unknown outcome before giving up: the store is down, and the proposer retries anyway.
const UNKNOWN_ATTEMPTS: u32 = 2;
/// Consecutive listings that must show the newest slot without its predecessor: while another agent
/// writes and compacts, a slow listing may see neither the old slots nor the new ones.
const LOST_AFTER: u32 = 3;
/// A newest slot older than this is rewritten: lifecycle rules by age count in days.
const REWRITE: Duration = Duration::from_secs(6 * 60 * 60);

/// A state and the pair of slots it was read from; number 0 is before the first slot.
#[derive(Debug, Clone)]
struct Seen {
    number: u64,
    state: AcceptorState,
    mark: Option<Mark>,
    /// Of the preceding slot and of this one.
    pair: Option<(ObjectTag, ObjectTag)>,
    /// When it was first seen as the newest.
    since: Instant,
}

/// An acceptor over an object store: a region's, or the witness.
#[derive(Debug)]
pub struct SlotStore {
    objects: SlotObjects,
    metrics: SlotMetrics,
    writer: u64,
    writes: AtomicU64,
    bounds: parking_lot::Mutex<Bounds>,
    seen: Mutex<Seen>,
    failures: FailureLog,
}

impl SlotStore {
    /// An acceptor with its slots at `<prefix>/register/acc/` in `store`. `acceptor` is `region` or
    /// `witness`, for errors and metrics; `timeout` applies to each operation of the store.
    pub fn new(
        store: Arc<dyn ObjectStore>,
        prefix: &Path,
        acceptor: &'static str,
        timeout: Duration,
        metrics: SlotMetrics,
    ) -> Self {
        // Starts at 0, so that alerts see the first increase.
        for reason in ["store", "timeout", "corrupt"] {
            let _ = metrics.errors.with_label_values(&[acceptor, reason]);
        }

        let seen = Seen {
            number: 0,
            state: AcceptorState::default(),
            mark: None,
            pair: None,
            since: Instant::now(),
        };

        Self {
            objects: SlotObjects {
                store,
                folder: prefix.clone().join("register").join("acc"),
                acceptor,
                timeout,
            },
            metrics,
            writer: rand::random(),
            writes: AtomicU64::default(),
            bounds: Default::default(),
            seen: Mutex::new(seen),
            failures: FailureLog::default(),
        }
    }

    /// Sets the bounds of what this acceptor accepts, which depend on the other acceptors.
    pub fn set_bounds(&self, bounds: Bounds) {
        *self.bounds.lock() = bounds;
    }

    fn acceptor(&self) -> &'static str {
        self.objects.acceptor
    }

    fn bounds(&self) -> Bounds {
        self.bounds.lock().clone()
    }

    /// Answers `request`; the answer is durable, and not signed yet. Requests of this process run
    /// one after another.
    pub async fn apply(&self, request: &AcceptorRequest) -> Result<AcceptorAnswer, SlotError> {
        let mut seen = self.seen.lock().await;
        let start = Instant::now();
        let answer = self.try_apply(&mut seen, request).await;
        let duration = start.elapsed();

        self.metrics
            .duration
            .with_label_values(&[self.acceptor()])
            .observe(duration.as_secs_f64());

        if let Err(error) = &answer {
            self.metrics
                .errors
                .with_label_values(&[self.acceptor(), error.reason()])
                .inc();
        }

        self.failures
            .record(self.acceptor(), answer.as_ref().err(), duration);
        answer
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
                    acceptance: None,
                });
            };

            let number = seen.number + 1;
            let slot = self.slot(Some(next), seen.mark);
            match self.objects.put(number, &slot).await? {
                Put::Done => {
                    let listing = self.objects.list().await?;
                    self.objects.compact(&listing);

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
                            .with_label_values(&[self.acceptor()])
                            .inc();

                        return Ok(AcceptorAnswer {
                            incarnation,
                            reply,
                            acceptance: None,
                        });
                    }

                    self.count_retry("outdated");
                }
                Put::Taken | Put::Outdated => self.count_retry("taken"),
                Put::Unknown(error) => {
                    self.count_retry("unknown");
                    unknown += 1;
                    if unknown == UNKNOWN_ATTEMPTS {
                        return Err(error);
                    }
                }
            }
        }

        Err(SlotError::Contended {
            acceptor: self.acceptor(),
        })
    }

    fn slot(&self, state: Option<AcceptorState>, after: Option<Mark>) -> Slot {
        let mark = Mark {
            writer: self.writer,
            write: self.writes.fetch_add(1, Ordering::Relaxed),
        };
        Slot { state, mark, after }
    }

    fn count_retry(&self, reason: &'static str) {
        self.metrics
            .retries
            .with_label_values(&[self.acceptor(), reason])
            .inc();
    }

    /// Brings `seen` up to the newest slot. Begins a new state if no valid pair of slots is left.
    async fn catch_up(&self, seen: &mut Seen) -> Result<(), SlotError> {
        let mut lost = 0;
        for _ in 0..ATTEMPTS {
            let listing = self.objects.list().await?;
            let newest = listing.newest();
            let pair = listing.pair();

            if newest > 0 && newest == seen.number && pair.is_some() && pair == seen.pair {
                return Ok(());
            }
            self.objects.compact(&listing);

            let slot = match newest {
                0 => None,
                _ => match self.objects.get(newest).await? {
                    // Compacted since the listing; the next listing shows higher slots.
                    None => continue,
                    slot => slot,
                },
            };

            let before = match &pair {
                Some(_) => self.objects.get(newest - 1).await?.map(|slot| slot.mark),
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
                    self.begin(newest + 1, mark).await?;
                }
                _ => {
                    lost += 1;
                    if newest > 0 && lost < LOST_AFTER {
                        continue;
                    }
                    self.discard_state(newest, seen.number).await?;
                }
            }
        }

        Err(SlotError::Contended {
            acceptor: self.acceptor(),
        })
    }

    /// Writes the first state of a new incarnation after an empty slot.
    async fn begin(&self, number: u64, after: Mark) -> Result<(), SlotError> {
        let begun = AcceptorState::begin(Incarnation(rand::random()));
        tracing::info!(
            acceptor = self.acceptor(),
            incarnation = %begun.incarnation,
            "an acceptor starts without state"
        );

        self.objects
            .put(number, &self.slot(Some(begun), Some(after)))
            .await?;
        Ok(())
    }

    /// Writes an empty slot above every slot seen so far, which discards what is left of the state.
    async fn discard_state(&self, newest: u64, seen: u64) -> Result<(), SlotError> {
        let is_first = newest == 0 && seen == 0;
        let reason = if is_first { "first" } else { "lost" };
        if !is_first {
            tracing::error!(
                acceptor = self.acceptor(),
                folder = %self.objects.folder,
                newest,
                seen,
                "slots of the register were deleted: this acceptor lost its state and has no vote \
                    until the leader lets it join again; exempt `register/` from the bucket's \
                    lifecycle rules"
            );
        }

        if let Put::Done = self
            .objects
            .put(newest.max(seen) + 1, &self.slot(None, None))
            .await?
        {
            self.metrics
                .begun
                .with_label_values(&[self.acceptor(), reason])
                .inc();
        }

        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;
