//! An acceptor's state in an object store, as numbered slots that are created and never changed.
//!
//! [`SlotMachine`] is the protocol without IO: it takes a request and the outcomes of operations,
//! and returns the next operation, until it returns the answer. `regionmesh_store` carries the
//! operations out on a real store, the simulator on a simulated one.
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
//! # Judged proposals
//!
//! A plan that the state does not hold yet is accepted only if the agent has nothing against it
//! ([`crate::planning::judging`]). It is judged against the state that the write follows: if
//! another agent writes first, it is judged again.
//!
//! # Lost replies and forgotten writes
//!
//! Each write carries a unique mark, and is read again before it counts: the store may have
//! forgotten it, and taken another agent's in its place. A put that failed is resolved by reading
//! the slot: with our mark, it succeeded; with another, we lost; if the slot is missing, it is put
//! again. If the first put still arrives later, it is a valid step of the acceptor that no proposer
//! learned of, as if the answer had been lost.

mod deciding;
mod step;
mod types;
mod writing;

pub use types::{Effect, Failure, Input, Listing, Mark, Notice, Operation, Proposal, Slot};

use rand::{Rng, RngExt};
use regionmesh_protocol::register::{
    acceptor::{AcceptorAnswer, AcceptorReply, AcceptorState},
    ballot::Bounds,
    members::Incarnation,
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use step::{Current, Purpose, Seen, Step, Turn};

/// Attempts per request: each retry means that another agent wrote or the store failed.
pub const ATTEMPTS: u32 = 12;
/// Puts of unknown outcome before giving up: the store is down, and the proposer retries anyway.
const UNKNOWN_ATTEMPTS: u32 = 2;
/// Consecutive listings that must show the newest slot without its predecessor: while another agent
/// writes and compacts, a slow listing may see neither the old slots nor the new ones.
const LOST_AFTER: u32 = 3;
/// A newest slot older than this is rewritten: lifecycle rules by age count in days.
const REWRITE: Duration = Duration::from_secs(6 * 60 * 60);

/// One process's part in an acceptor over an object store; see the module.
///
/// `T` is the tag of an object, different for each put of a name; `E` is an error of the store. It
/// answers one request at a time; a request that comes before the answer to the last one replaces
/// it.
#[derive(Debug)]
pub struct SlotMachine<T, E> {
    writer: u64,
    writes: u64,
    seen: Option<Seen<T>>,
    current: Option<Current<T, E>>,
}

impl<T: Clone + PartialEq, E> SlotMachine<T, E> {
    /// A process that has read no slot. `writer` is unique to it: it marks its writes.
    pub fn new(writer: u64) -> Self {
        Self {
            writer,
            writes: 0,
            seen: None,
            current: None,
        }
    }

    /// Takes in a request, or the outcome of the last [`Effect::Run`] or [`Effect::Judge`]. Exactly
    /// one of these or an [`Effect::Answer`] follows, as the last effect.
    ///
    /// `bounds` limit what the acceptor accepts. They depend on the other acceptors.
    pub fn handle(
        &mut self,
        input: Input<T, E>,
        bounds: &Bounds,
        now: Instant,
        rng: &mut impl Rng,
        out: &mut Vec<Effect<E>>,
    ) {
        let turn = &mut Turn {
            bounds,
            now,
            rng,
            out,
        };
        match input {
            Input::Request(request) => {
                let current = Current {
                    request: *request,
                    futile: 0,
                    unknown: 0,
                    listings: 0,
                    lost: 0,
                    step: Step::List,
                };
                self.list(current, turn);
            }
            outcome => self.ran(outcome, turn),
        }
    }

    fn ran(&mut self, outcome: Input<T, E>, turn: &mut Turn<'_, impl Rng, E>) {
        let Some(mut current) = self.current.take() else {
            return turn.out.push(Effect::Answer(Err(Failure::Contended)));
        };
        let step = std::mem::replace(&mut current.step, Step::List);
        match (step, outcome) {
            (_, Input::Failed(error)) => end(Err(Failure::Store(error)), turn),
            (Step::List, Input::Listed(listing)) => self.listed(current, listing, turn),
            (Step::Get(listing), Input::Got(slot)) => self.got(current, listing, slot, turn),
            (Step::GetBefore(listing, slot), Input::Got(before)) => {
                let before = before.map(|slot| slot.mark);
                self.take_pair(current, &listing, Some(slot), before, turn);
            }
            (Step::Put(number, slot, purpose), Input::Stored) => {
                self.stored(current, number, slot, purpose, turn);
            }
            // Even this does not prove that we lost: the client repeats requests, so the slot may
            // be our own write.
            (Step::Put(number, slot, purpose), Input::Exists) => {
                let step = Step::ReadBack(number, slot, purpose, None);
                self.run(current, step, Operation::Get(number), turn);
            }
            (Step::Put(number, slot, purpose), Input::Unknown(error)) => {
                let step = Step::ReadBack(number, slot, purpose, Some(error));
                self.run(current, step, Operation::Get(number), turn);
            }
            (Step::ReadBack(number, slot, purpose, error), Input::Got(there)) => match there {
                Some(there) if there == slot => {
                    turn.out.push(Effect::Notice(Notice::ReadBack));
                    self.stored(current, number, slot, purpose, turn);
                }
                there => self.not_stored(current, &purpose, there.is_some(), error, turn),
            },
            (Step::Judge, Input::Judged(judged)) => self.judged(current, judged, turn),
            (Step::Confirm(number, slot, reply), Input::Listed(listing)) => {
                self.confirm(current, number, slot, reply, &listing, turn);
            }
            (Step::Reread(number, slot, reply, pair), Input::Got(there)) => {
                match there.is_some_and(|there| there == slot) {
                    true => self.written(number, &slot, *reply, pair, turn),
                    false => self.outdated(current, turn),
                }
            }
            // No store answers a listing with a slot, for instance.
            _ => end(Err(Failure::Contended), turn),
        }
    }

    /// Whether no request waits for its answer.
    pub fn is_idle(&self) -> bool {
        self.current.is_none()
    }

    /// Whether a write is on its way to the store.
    pub fn is_writing(&self) -> bool {
        let step = self.current.as_ref().map(|current| &current.step);
        matches!(step, Some(Step::Put(..)))
    }

    /// The number of the newest slot that was read; 0 before the first.
    fn number(&self) -> u64 {
        self.seen.as_ref().map_or(0, |seen| seen.number)
    }

    fn run<R>(
        &mut self,
        mut current: Current<T, E>,
        step: Step<T, E>,
        operation: Operation,
        turn: &mut Turn<'_, R, E>,
    ) {
        current.step = step;
        self.current = Some(current);
        turn.out.push(Effect::Run(operation));
    }

    /// Looks for the newest slot, unless this attempt has done so too often.
    fn list<R>(&mut self, mut current: Current<T, E>, turn: &mut Turn<'_, R, E>) {
        if current.listings == ATTEMPTS {
            return end(Err(Failure::Contended), turn);
        }

        current.listings += 1;
        self.run(current, Step::List, Operation::List, turn);
    }

    /// Begins another attempt, unless there were too many.
    fn retry<R>(&mut self, mut current: Current<T, E>, turn: &mut Turn<'_, R, E>) {
        current.futile += 1;
        if current.futile == ATTEMPTS {
            return end(Err(Failure::Contended), turn);
        }

        current.listings = 0;
        current.lost = 0;
        self.list(current, turn);
    }

    fn listed(
        &mut self,
        current: Current<T, E>,
        listing: Listing<T>,
        turn: &mut Turn<'_, impl Rng, E>,
    ) {
        let newest = listing.newest();
        let is_current = self.seen.as_ref().is_some_and(|seen| {
            seen.number == newest && listing.pair().as_ref() == Some(&seen.pair)
        });
        if is_current {
            return self.decide(current, turn);
        }

        compact(&listing, turn);
        if newest == 0 {
            return self.take_pair(current, &listing, None, None, turn);
        }
        let get = Operation::Get(newest);
        self.run(current, Step::Get(listing), get, turn);
    }

    fn got(
        &mut self,
        current: Current<T, E>,
        listing: Listing<T>,
        slot: Option<Arc<Slot>>,
        turn: &mut Turn<'_, impl Rng, E>,
    ) {
        let Some(slot) = slot else {
            // Compacted since the listing; the next listing shows higher slots.
            return self.list(current, turn);
        };
        if listing.pair().is_none() {
            return self.take_pair(current, &listing, Some(slot), None, turn);
        }

        let get = Operation::Get(listing.newest() - 1);
        self.run(current, Step::GetBefore(listing, slot), get, turn);
    }

    /// Remembers the newest slot. Begins a new state if no valid pair of slots is left.
    fn take_pair(
        &mut self,
        mut current: Current<T, E>,
        listing: &Listing<T>,
        slot: Option<Arc<Slot>>,
        before: Option<Mark>,
        turn: &mut Turn<'_, impl Rng, E>,
    ) {
        let newest = listing.newest();
        let is_known = newest >= self.number();
        match (slot.as_deref(), listing.pair()) {
            (
                Some(Slot {
                    state: Some(state),
                    mark,
                    after,
                }),
                Some(pair),
            ) if is_known && before.is_some() && *after == before => {
                self.seen = Some(Seen {
                    number: newest,
                    state: state.clone(),
                    mark: *mark,
                    pair,
                    since: turn.now,
                });
                self.list(current, turn);
            }
            (
                Some(Slot {
                    state: None, mark, ..
                }),
                _,
            ) if is_known => self.begin(current, newest + 1, *mark, turn),
            _ => {
                current.lost += 1;
                if newest > 0 && current.lost < LOST_AFTER {
                    return self.list(current, turn);
                }
                self.discard_state(current, newest, turn);
            }
        }
    }

    /// Writes the first state of a new incarnation after an empty slot.
    fn begin(
        &mut self,
        current: Current<T, E>,
        number: u64,
        after: Mark,
        turn: &mut Turn<'_, impl Rng, E>,
    ) {
        let incarnation = Incarnation(turn.rng.random());
        let begun = AcceptorState::begin(incarnation);
        turn.out
            .push(Effect::Notice(Notice::Beginning(incarnation)));

        let slot = self.slot(Some(begun), Some(after));
        self.put(current, number, slot, Purpose::Begin, turn);
    }

    /// Writes an empty slot above every slot seen so far, which discards what is left of the state.
    fn discard_state<R>(&mut self, current: Current<T, E>, newest: u64, turn: &mut Turn<'_, R, E>) {
        let seen = self.number();
        let is_first = newest == 0 && seen == 0;
        if !is_first {
            turn.out.push(Effect::Notice(Notice::Lost { newest, seen }));
        }

        let number = newest.max(seen) + 1;
        let slot = self.slot(None, None);
        self.put(current, number, slot, Purpose::Discard { is_first }, turn);
    }

    fn slot(&mut self, state: Option<AcceptorState>, after: Option<Mark>) -> Arc<Slot> {
        let mark = Mark {
            writer: self.writer,
            write: self.writes,
        };
        self.writes += 1;
        Arc::new(Slot { state, mark, after })
    }
}

fn answer(state: &AcceptorState, reply: AcceptorReply) -> Box<AcceptorAnswer> {
    Box::new(AcceptorAnswer {
        incarnation: state.incarnation,
        reply,
        acceptance: None,
    })
}

fn end<R, E>(answer: Result<Box<AcceptorAnswer>, Failure<E>>, turn: &mut Turn<'_, R, E>) {
    turn.out.push(Effect::Answer(answer));
}

/// Deletes all but the two newest slots.
fn compact<T, R, E>(listing: &Listing<T>, turn: &mut Turn<'_, R, E>) {
    let old = listing.old();
    if !old.is_empty() {
        turn.out.push(Effect::Delete(old));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests;
