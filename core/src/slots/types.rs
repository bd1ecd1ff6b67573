//! What a slot holds, what goes into the machine and what comes out of it.

use crate::planning::judging::Objection;
use regionmesh_protocol::{
    plan::Plan,
    register::{
        acceptor::{AcceptorAnswer, AcceptorRequest, AcceptorState},
        ballot::Stamp,
        members::Incarnation,
    },
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc};

/// What a slot holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slot {
    /// None if the acceptor's state was lost or never existed; the next slot begins a new one.
    pub state: Option<AcceptorState>,
    pub mark: Mark,
    /// The mark of the preceding slot.
    pub after: Option<Mark>,
}

/// Unique to one write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// Unique to the process.
    pub writer: u64,
    /// The writer's count of writes.
    pub write: u64,
}

/// The slots found by a listing, each with its object's tag.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing<T>(pub BTreeMap<u64, T>);

impl<T> Listing<T> {
    /// The highest slot; 0 if none exists.
    pub fn newest(&self) -> u64 {
        self.0.last_key_value().map_or(0, |(number, _)| *number)
    }

    /// All but the two newest numbers.
    pub(super) fn old(&self) -> Vec<u64> {
        let oldest_retained = self.newest().saturating_sub(1);
        let old = self.0.range(..oldest_retained);
        old.map(|(number, _)| *number).collect()
    }
}

impl<T: Clone> Listing<T> {
    /// The two newest slots, the older first.
    pub(super) fn pair(&self) -> Option<(T, T)> {
        let newest = self.newest();
        let before = self.0.get(&newest.checked_sub(1)?)?;
        Some((before.clone(), self.0.get(&newest)?.clone()))
    }
}

/// A plan that a leader asks this acceptor to accept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    pub stamp: Stamp,
    pub plan: Plan,
    pub incarnation: Incarnation,
    /// What the acceptor accepted last, which may be committed.
    pub accepted: Option<(Stamp, Plan)>,
}

/// An operation on the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// Ends with [`Input::Listed`].
    List,
    /// Ends with [`Input::Got`].
    Get(u64),
    /// Creates a slot if it is absent. Ends with [`Input::Stored`], [`Input::Exists`] or
    /// [`Input::Unknown`].
    Put { number: u64, slot: Arc<Slot> },
}

/// What happens.
#[derive(Debug)]
pub enum Input<T, E> {
    /// A proposer asks the acceptor.
    Request(Box<AcceptorRequest>),
    Listed(Listing<T>),
    /// None: there is no such slot.
    Got(Option<Arc<Slot>>),
    Stored,
    /// The store refused the put because the slot exists.
    Exists,
    /// The put failed and may have been done.
    Unknown(E),
    /// The operation failed and changed nothing.
    Failed(E),
    /// What there is against the proposal.
    Judged(Result<(), Objection>),
}

/// What the caller must do.
#[derive(Debug)]
pub enum Effect<E> {
    /// Hand the outcome to the machine.
    Run(Operation),
    /// Have the proposal judged ([`crate::planning::judging`]), and answer with [`Input::Judged`],
    /// or with [`Input::Failed`] if it can't be judged.
    Judge(Box<Proposal>),
    /// Delete these slots in the background. It does not matter when, or whether, that succeeds.
    Delete(Vec<u64>),
    /// The request's answer is durable, and not signed yet.
    Answer(Result<Box<AcceptorAnswer>, Failure<E>>),
    Notice(Notice),
}

/// Why a request has no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure<E> {
    /// The store failed.
    Store(E),
    /// Other processes kept writing, or the store kept failing.
    Contended,
}

/// What happened, for logs and metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// Another process took the slot.
    Taken,
    /// The slot was free only because the ones above it made it obsolete.
    Outdated,
    /// A put failed and was not done.
    Unknown,
    /// A put without a reply turned out to be done.
    ReadBack,
    /// The state advanced.
    Written,
    /// Slots that are needed are missing: the state is about to be discarded. `newest` is the
    /// highest slot that is left, `seen` the highest that this process has read.
    Lost { newest: u64, seen: u64 },
    /// The rest of a lost state is discarded, or nothing was there before.
    Begun { is_first: bool },
    /// A state without promises is about to be written.
    Beginning(Incarnation),
}
