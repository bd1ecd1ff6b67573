//! An acceptor over an object store: the steps of `regionmesh_store::SlotStore`, without IO.
//!
//! One request at a time: list the slots, read the newest if it is not the one known, apply the
//! request, put the next slot if it is absent, list again, answer. See `SlotStore` for why that is
//! safe.

use super::{
    node::{StoreFailed, Ticket},
    store::{Listing, Operation, Outcome, Slot},
};
use regionmesh_protocol::register::{
    acceptor::{AcceptorAnswer, AcceptorReply, AcceptorRequest, AcceptorState},
    ballot::Bounds,
    members::Incarnation,
};
use std::{collections::VecDeque, sync::Arc};

/// Listings and reads of one request before it is given up.
const ATTEMPTS: u32 = 16;
/// Puts of unknown outcome before a request is given up.
const UNKNOWN_MAX: u32 = 2;
/// Consecutive listings that must show a loss before the state counts as lost.
const LOST_AFTER: u32 = 3;
/// Most requests that may wait.
const WAITING_MAX: usize = 64;

/// What the world must do.
#[derive(Debug, Clone)]
pub(crate) enum SlotEffect {
    /// Hand the outcome to [`SlotMachine::ran`], unless this is a collection.
    Run(Operation),
    Answered(Ticket, Result<Box<AcceptorAnswer>, StoreFailed>),
}

/// What a step reports about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SlotNotice {
    /// Another agent took the slot.
    Taken,
    /// A write of unknown outcome turned out to be done.
    ReadBack,
}

#[derive(Debug, Default)]
struct Seen {
    number: u64,
    mark: u64,
    before: u64,
    state: AcceptorState,
}

#[derive(Debug)]
struct Pending {
    number: u64,
    slot: Arc<Slot>,
    reply: AcceptorReply,
}

#[derive(Debug)]
enum Step {
    List,
    Get(Listing),
    Put(Pending),
    ReadBack(Pending),
    Confirm(Pending),
    /// A lost state is closed off, or a new one begins.
    Begin,
}

#[derive(Debug)]
struct Current {
    ticket: Ticket,
    request: AcceptorRequest,
    attempts: u32,
    unknown: u32,
    lost: u32,
    step: Step,
}

/// One process's part in an acceptor.
#[derive(Debug)]
pub(crate) struct SlotMachine {
    /// Unique to the process.
    writer: u64,
    writes: u64,
    bounds: Bounds,
    seen: Seen,
    waiting: VecDeque<(Ticket, AcceptorRequest)>,
    current: Option<Current>,
}

impl SlotMachine {
    pub(crate) fn new(writer: u64) -> Self {
        Self {
            writer,
            writes: 0,
            bounds: Bounds::default(),
            seen: Seen::default(),
            waiting: VecDeque::new(),
            current: None,
        }
    }

    pub(crate) fn set_bounds(&mut self, bounds: Bounds) {
        self.bounds = bounds;
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.current.is_none()
    }

    /// Whether a write is on its way.
    pub(crate) fn is_writing(&self) -> bool {
        self.current
            .as_ref()
            .is_some_and(|current| matches!(current.step, Step::Put(_) | Step::Begin))
    }

    pub(crate) fn request(
        &mut self,
        ticket: Ticket,
        request: AcceptorRequest,
        out: &mut Vec<SlotEffect>,
    ) {
        if self.waiting.len() >= WAITING_MAX {
            out.push(SlotEffect::Answered(ticket, Err(StoreFailed)));
            return;
        }

        self.waiting.push_back((ticket, request));
        if self.current.is_none() {
            self.next(out);
        }
    }

    fn next(&mut self, out: &mut Vec<SlotEffect>) {
        self.current = self.waiting.pop_front().map(|(ticket, request)| Current {
            ticket,
            request,
            attempts: 0,
            unknown: 0,
            lost: 0,
            step: Step::List,
        });

        if self.current.is_some() {
            out.push(SlotEffect::Run(Operation::List));
        }
    }

    fn end(
        &mut self,
        current: Current,
        answer: Result<AcceptorReply, StoreFailed>,
        out: &mut Vec<SlotEffect>,
    ) {
        let incarnation = self.seen.state.incarnation;
        let answer = answer.map(|reply| {
            Box::new(AcceptorAnswer {
                incarnation,
                reply,
                acceptance: None,
            })
        });
        out.push(SlotEffect::Answered(current.ticket, answer));
        self.next(out);
    }

    /// Takes in the outcome of the last operation.
    pub(crate) fn ran(
        &mut self,
        outcome: Outcome,
        out: &mut Vec<SlotEffect>,
    ) -> Option<SlotNotice> {
        let mut current = self.current.take()?;
        let step = std::mem::replace(&mut current.step, Step::List);
        match (step, outcome) {
            (Step::Put(pending), Outcome::Stored) => {
                self.run(current, Step::Confirm(pending), Operation::List, out);
            }
            // Even a refusal does not prove that we lost: the client repeats requests.
            (Step::Put(pending), _) => {
                let get = Operation::Get(pending.number);
                self.run(current, Step::ReadBack(pending), get, out);
            }
            (Step::ReadBack(pending), Outcome::Got(there)) => {
                return self.read_back(current, pending, there, out);
            }
            (Step::Begin, _) => self.list(current, out),
            (_, Outcome::Failed) => self.end(current, Err(StoreFailed), out),
            (Step::List, Outcome::Listed(listing)) => self.listed(current, listing, out),
            (Step::Get(listing), Outcome::Got(slot)) => self.got(current, listing, slot, out),
            (Step::Confirm(pending), Outcome::Listed(listing)) => {
                self.confirm(current, pending, listing, out);
            }
            // No store answers a listing with a slot.
            _ => self.end(current, Err(StoreFailed), out),
        }

        None
    }

    fn run(
        &mut self,
        mut current: Current,
        step: Step,
        operation: Operation,
        out: &mut Vec<SlotEffect>,
    ) {
        current.step = step;
        self.current = Some(current);
        out.push(SlotEffect::Run(operation));
    }

    fn list(&mut self, mut current: Current, out: &mut Vec<SlotEffect>) {
        current.attempts += 1;
        if current.attempts > ATTEMPTS {
            return self.end(current, Err(StoreFailed), out);
        }

        self.run(current, Step::List, Operation::List, out);
    }

    fn listed(&mut self, current: Current, listing: Listing, out: &mut Vec<SlotEffect>) {
        let seen = (self.seen.number, self.seen.mark, self.seen.before);
        let is_pair = listing.before > 0;
        if listing.newest > 0 && is_pair && (listing.newest, listing.mark, listing.before) == seen {
            return self.decide(current, out);
        }

        collect(listing, out);
        if listing.newest == 0 {
            return self.got(current, listing, None, out);
        }
        let get = Operation::Get(listing.newest);
        self.run(current, Step::Get(listing), get, out);
    }

    fn got(
        &mut self,
        mut current: Current,
        listing: Listing,
        slot: Option<Arc<Slot>>,
        out: &mut Vec<SlotEffect>,
    ) {
        if slot.is_none() && listing.newest > 0 {
            // Collected since the listing; the next one shows higher slots.
            return self.list(current, out);
        }

        let is_new = listing.newest >= self.seen.number;
        match slot.as_deref() {
            Some(Slot {
                state: Some(state),
                mark,
                after,
            }) if listing.before > 0 && *after == listing.before && is_new => {
                self.seen = Seen {
                    number: listing.newest,
                    mark: *mark,
                    before: *after,
                    state: state.clone(),
                };
                self.list(current, out);
            }
            Some(Slot {
                state: None, mark, ..
            }) if is_new => {
                let incarnation = Incarnation(self.next_mark());
                let begun = AcceptorState::begin(incarnation);
                self.begin(current, listing.newest + 1, Some(begun), *mark, out);
            }
            _ => {
                current.lost += 1;
                if listing.newest > 0 && current.lost < LOST_AFTER {
                    return self.list(current, out);
                }
                let number = listing.newest.max(self.seen.number) + 1;
                self.begin(current, number, None, 0, out);
            }
        }
    }

    fn begin(
        &mut self,
        current: Current,
        number: u64,
        state: Option<AcceptorState>,
        after: u64,
        out: &mut Vec<SlotEffect>,
    ) {
        let slot = self.slot(state, after);
        let put = Operation::Put {
            number,
            slot,
            if_absent: true,
        };
        self.run(current, Step::Begin, put, out);
    }

    /// Applies the request to the state, which a listing just showed to be current.
    fn decide(&mut self, current: Current, out: &mut Vec<SlotEffect>) {
        let (reply, next) = self.seen.state.apply_within(&current.request, &self.bounds);
        let Some(state) = next else {
            return self.end(current, Ok(reply), out);
        };

        let number = self.seen.number + 1;
        let slot = self.slot(Some(state), self.seen.mark);
        let put = Operation::Put {
            number,
            slot: slot.clone(),
            if_absent: true,
        };
        let pending = Pending {
            number,
            slot,
            reply,
        };
        self.run(current, Step::Put(pending), put, out);
    }

    fn read_back(
        &mut self,
        mut current: Current,
        pending: Pending,
        there: Option<Arc<Slot>>,
        out: &mut Vec<SlotEffect>,
    ) -> Option<SlotNotice> {
        match there {
            Some(there) if there.mark == pending.slot.mark => {
                self.run(current, Step::Confirm(pending), Operation::List, out);
                return Some(SlotNotice::ReadBack);
            }
            Some(_) => {
                self.list(current, out);
                return Some(SlotNotice::Taken);
            }
            None => {
                current.unknown += 1;
                if current.unknown >= UNKNOWN_MAX {
                    self.end(current, Err(StoreFailed), out);
                } else {
                    self.list(current, out);
                }
            }
        }

        None
    }

    /// Answers the request if the slot that was just put is the newest.
    fn confirm(
        &mut self,
        current: Current,
        pending: Pending,
        listing: Listing,
        out: &mut Vec<SlotEffect>,
    ) {
        collect(listing, out);
        let Pending {
            number,
            slot,
            reply,
        } = pending;
        let is_ours =
            (listing.newest, listing.mark, listing.before) == (number, slot.mark, self.seen.mark);
        let Some(state) = slot.state.as_ref().filter(|_| is_ours) else {
            return self.list(current, out);
        };

        self.seen = Seen {
            number,
            mark: slot.mark,
            before: slot.after,
            state: state.clone(),
        };
        self.end(current, Ok(reply), out);
    }

    fn slot(&mut self, state: Option<AcceptorState>, after: u64) -> Arc<Slot> {
        let mark = self.next_mark();
        Arc::new(Slot { state, mark, after })
    }

    /// Never 0, and never drawn twice.
    fn next_mark(&mut self) -> u64 {
        self.writes += 1;
        self.writer << 24 | self.writes
    }
}

/// Deletes all but the two newest slots.
fn collect(listing: Listing, out: &mut Vec<SlotEffect>) {
    if listing.has_old {
        let below = listing.newest.saturating_sub(1);
        out.push(SlotEffect::Run(Operation::Collect { below }));
    }
}
