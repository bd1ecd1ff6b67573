//! What the machine keeps between two inputs.

use super::types::{Effect, Listing, Mark, Slot};
use regionmesh_protocol::register::{
    acceptor::{AcceptorReply, AcceptorRequest, AcceptorState},
    ballot::Bounds,
};
use std::{sync::Arc, time::Instant};

/// A state and the pair of slots it was read from.
#[derive(Debug)]
pub(super) struct Seen<T> {
    pub(super) number: u64,
    pub(super) state: AcceptorState,
    pub(super) mark: Mark,
    /// The tags of the preceding slot and of this one.
    pub(super) pair: (T, T),
    /// When it was first seen as the newest.
    pub(super) since: Instant,
}

/// What a put is for.
#[derive(Debug)]
pub(super) enum Purpose {
    /// The next state, and the reply once it is durable.
    Next(Box<AcceptorReply>),
    /// The first state of a new incarnation.
    Begin,
    /// The empty slot before that.
    Discard { is_first: bool },
}

/// The operation whose outcome comes next.
#[derive(Debug)]
pub(super) enum Step<T, E> {
    /// Which slot is the newest?
    List,
    /// The content of the newest slot.
    Get(Listing<T>),
    /// The content of the slot before it.
    GetBefore(Listing<T>, Arc<Slot>),
    /// Is there anything against the proposal?
    Judge,
    Put(u64, Arc<Slot>, Purpose),
    /// After a put that may have been done. Without an error, the store said that the slot exists.
    ReadBack(u64, Arc<Slot>, Purpose, Option<E>),
    /// Is the slot that was just put the newest?
    Confirm(u64, Arc<Slot>, Box<AcceptorReply>),
    /// It is, with these tags. Is it still ours?
    Reread(u64, Arc<Slot>, Box<AcceptorReply>, (T, T)),
}

#[derive(Debug)]
pub(super) struct Current<T, E> {
    pub(super) request: AcceptorRequest,
    /// Attempts that another writer or the store made futile.
    pub(super) futile: u32,
    /// Puts of unknown outcome.
    pub(super) unknown: u32,
    /// Listings in this attempt.
    pub(super) listings: u32,
    /// Consecutive listings in this attempt that showed no pair.
    pub(super) lost: u32,
    pub(super) step: Step<T, E>,
}

/// What one input comes with, and where its effects go.
pub(super) struct Turn<'a, R, E> {
    pub(super) bounds: &'a Bounds,
    pub(super) now: Instant,
    pub(super) rng: &'a mut R,
    pub(super) out: &'a mut Vec<Effect<E>>,
}
