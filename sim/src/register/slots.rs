//! The slots of a region, and what its agents know of them.

use regionmesh_protocol::{
    identity::RegionName,
    register::{
        acceptor::{AcceptorReply, AcceptorRequest, AcceptorState},
        ballot::Ballot,
    },
};
use std::collections::{BTreeMap, VecDeque};

/// The content of one write.
#[derive(Debug, Clone)]
pub(super) struct Slot {
    /// None for the empty slot that precedes a new state.
    pub(super) state: Option<AcceptorState>,
    /// Unique to this write.
    pub(super) mark: u64,
    /// The mark of the slot before it.
    pub(super) after: u64,
}

/// A region's slots.
#[derive(Debug, Clone, Default)]
pub(super) struct Slots(pub(super) BTreeMap<u64, Slot>);

impl Slots {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn newest(&self) -> u64 {
        self.0.last_key_value().map_or(0, |(number, _)| *number)
    }

    /// The mark of a slot; 0 without that slot.
    pub(super) fn mark(&self, number: u64) -> u64 {
        self.0.get(&number).map_or(0, |slot| slot.mark)
    }

    /// Whether the slot before `number` is the one that it was written after.
    pub(super) fn is_pair(&self, number: u64) -> bool {
        let before = number.checked_sub(1).map_or(0, |before| self.mark(before));
        before > 0 && self.0.get(&number).is_some_and(|slot| slot.after == before)
    }

    /// The newest state, if its pair is complete.
    pub(super) fn state(&self) -> Option<&AcceptorState> {
        self.0
            .get(&self.newest())
            .filter(|_| self.is_pair(self.newest()))?
            .state
            .as_ref()
    }

    /// Rewrites the newest slot with another promise, as a thief of the store's credentials could.
    pub(super) fn forge_promise(&mut self, ballot: Ballot) {
        let newest = self.newest();
        if let Some(state) = self.0.get_mut(&newest).and_then(|slot| slot.state.as_mut()) {
            state.promised = Some(ballot);
        }
    }

    pub(super) fn put(&mut self, number: u64, slot: Slot) -> bool {
        let is_free = !self.0.contains_key(&number);
        if is_free {
            self.0.insert(number, slot);
        }
        is_free
    }

    pub(super) fn compact(&mut self, below: u64) {
        self.0 = self.0.split_off(&below);
    }

    /// Deletes all slots, the newest, the one before it, or all but the newest.
    pub(super) fn lose(&mut self, kind: u64) {
        let newest = self.newest();
        match kind {
            0 => self.0.clear(),
            1 => drop(self.0.remove(&newest)),
            2 => drop(self.0.remove(&newest.saturating_sub(1))),
            _ => self.compact(newest),
        }
    }
}

/// A request and where its answer goes.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) request: AcceptorRequest,
    pub(super) from: usize,
    pub(super) from_run: u64,
    /// The name that the request was addressed to.
    pub(super) to: RegionName,
}

/// What an agent knows of its region's slots, and its queue of requests.
#[derive(Debug, Default)]
pub(super) struct StoreHandler {
    pub(super) number: u64,
    /// The mark of that slot.
    pub(super) mark: u64,
    pub(super) before: u64,
    pub(super) state: AcceptorState,
    pub(super) waiting: VecDeque<Asked>,
    pub(super) current: Option<Asked>,
    pub(super) steps: u32,
    pub(super) lost: u32,
}

impl StoreHandler {
    pub(super) fn is_idle(&self) -> bool {
        self.current.is_none()
    }

    /// Remembers the newest slot and its state.
    pub(super) fn remember(&mut self, number: u64, mark: u64, before: u64, state: AcceptorState) {
        self.number = number;
        self.mark = mark;
        self.before = before;
        self.state = state;
    }
}

/// The next operation on a store.
#[derive(Debug, Clone)]
pub(super) enum Step {
    Put {
        number: u64,
        slot: Box<Slot>,
        reply: Box<AcceptorReply>,
    },
    Confirm {
        number: u64,
        slot: Box<Slot>,
        reply: Box<AcceptorReply>,
    },
    List,
    Get {
        number: u64,
    },
    /// Close a lost state off, or begin one.
    Begin {
        number: u64,
        slot: Box<Slot>,
    },
}
