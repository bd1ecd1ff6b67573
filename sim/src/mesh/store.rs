//! One region's object store, or the witness: the register's slots, and what may be wrong with it.

use super::{fault::StoreFault, models::objects::Objects, streams::hits};
use rand::{Rng, rngs::StdRng};
use regionmesh_core::slots::{self, Listing, Mark, Slot};
use regionmesh_protocol::register::{acceptor::AcceptorState, ballot::Ballot};
use std::{collections::BTreeMap, sync::Arc};

/// Longest wait for a reply of the store.
pub(crate) const STORE_TIMEOUT_MS: u64 = 2_000;

/// An operation.
#[derive(Debug, Clone)]
pub(crate) enum Operation {
    Slots(slots::Operation),
    /// Deletes old slots. The caller does not wait.
    Delete(Vec<u64>),
}

/// How an operation ended.
#[derive(Debug, Clone)]
pub(crate) enum Outcome {
    Listed(Listing<Mark>),
    Got(Option<Arc<Slot>>),
    Stored,
    /// The slot exists (412).
    Exists,
    /// An error (503) or no reply.
    Failed,
}

/// What becomes of an operation.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct OperationFate {
    pub(crate) is_refused: bool,
    pub(crate) is_reply_lost: bool,
    pub(crate) is_repeated: bool,
    pub(crate) is_forgotten: bool,
}

/// A store.
#[derive(Debug)]
pub(crate) struct Store {
    slots: BTreeMap<u64, Arc<Slot>>,
    pub(crate) objects: Objects,
    rng: StdRng,
    /// Present faults, each with the number of its fault.
    faults: Vec<(usize, StoreFault)>,
    /// What agents that start find when they check whether it honours If-None-Match. Its slots
    /// always do: an agent whose check failed does not use them.
    pub(crate) is_conditional: bool,
    /// How often slots were deleted that were needed.
    pub(crate) losses: u64,
    /// How often an acceptor began without state.
    pub(crate) begun: u64,
    /// A thief of its credentials rewrote the newest slot.
    pub(crate) is_forged: bool,
}

impl Store {
    /// Slots and objects have random numbers of their own.
    pub(crate) fn new(rng: StdRng, objects: StdRng) -> Self {
        Self {
            slots: BTreeMap::new(),
            objects: Objects::new(objects),
            rng,
            faults: Vec::new(),
            is_conditional: true,
            losses: 0,
            begun: 0,
            is_forged: false,
        }
    }

    pub(crate) fn begin(&mut self, fault: usize, kind: StoreFault) {
        self.faults.push((fault, kind));
    }

    pub(crate) fn end(&mut self, fault: usize) {
        self.faults.retain(|(active, _)| *active != fault);
    }

    pub(crate) fn heal(&mut self) {
        self.faults.clear();
    }

    /// The time from a client to the store, or back.
    pub(crate) fn latency_ms(&mut self) -> u64 {
        (1 + self.rng.next_u64() % 12) * self.slowness()
    }

    /// How many times as long everything takes.
    pub(crate) fn slowness(&self) -> u64 {
        let slow = self.faults.iter().find_map(|(_, fault)| match fault {
            StoreFault::Slow { factor } => Some(*factor),
            _ => None,
        });
        slow.unwrap_or(1)
    }

    /// What becomes of an operation.
    pub(crate) fn fate(&self, draw: u64) -> OperationFate {
        let mut fate = OperationFate::default();
        for (_, fault) in &self.faults {
            match fault {
                StoreFault::Slow { .. } => {}
                StoreFault::Unavailable { ppm } => fate.is_refused |= hits(draw, 0, *ppm),
                StoreFault::LosesReplies { ppm } => fate.is_reply_lost |= hits(draw, 20, *ppm),
                StoreFault::RepeatsWrites { ppm } => fate.is_repeated |= hits(draw, 20, *ppm),
                StoreFault::Forgets { ppm } => fate.is_forgotten |= hits(draw, 40, *ppm),
            }
        }
        fate
    }

    /// Runs an operation. Returns its outcome, and whether a write took place.
    pub(crate) fn run(&mut self, operation: &Operation) -> (Outcome, bool) {
        let draw = self.rng.next_u64();
        let fate = self.fate(draw);
        if fate.is_refused {
            return (Outcome::Failed, false);
        }

        let outcome = match operation {
            Operation::Slots(slots::Operation::Put { number, slot }) => {
                if self.slots.contains_key(number) {
                    return (Outcome::Exists, false);
                }
                if fate.is_forgotten {
                    return (Outcome::Stored, false);
                }

                self.slots.insert(*number, slot.clone());
                match fate.is_repeated {
                    true => Outcome::Exists,
                    false => Outcome::Stored,
                }
            }
            Operation::Slots(slots::Operation::List) => Outcome::Listed(self.listing()),
            Operation::Slots(slots::Operation::Get(number)) => {
                Outcome::Got(self.slots.get(number).cloned())
            }
            Operation::Delete(old) => {
                self.slots.retain(|number, _| !old.contains(number));
                Outcome::Stored
            }
        };

        let put = |operation: &_| matches!(operation, slots::Operation::Put { .. });
        let is_written = matches!(operation, Operation::Slots(operation) if put(operation));
        match fate.is_reply_lost {
            true => (Outcome::Failed, is_written),
            false => (outcome, is_written),
        }
    }

    /// A mark stands for the tag of its object: both differ for each write.
    fn listing(&self) -> Listing<Mark> {
        let tags = self.slots.iter().map(|(number, slot)| (*number, slot.mark));
        Listing(tags.collect())
    }

    fn newest(&self) -> u64 {
        self.slots.last_key_value().map_or(0, |(number, _)| *number)
    }

    pub(crate) fn slot_count(&self) -> usize {
        self.slots.len()
    }

    /// The newest state, if the slot before it is the one that it was written after.
    pub(crate) fn state(&self) -> Option<&AcceptorState> {
        let (number, newest) = self.slots.last_key_value()?;
        let before = self.slots.get(&number.checked_sub(1)?)?;
        let is_pair = newest.after == Some(before.mark);
        newest.state.as_ref().filter(|_| is_pair)
    }

    /// Rewrites the newest slot with another promise. An agent that is writing the next one may
    /// take that for a loss.
    pub(crate) fn forge(&mut self, promised: Ballot) {
        let newest = self.newest();
        let Some(slot) = self.slots.get(&newest) else {
            return;
        };

        self.losses += 1;
        let mut forged = Slot::clone(slot);
        if let Some(state) = &mut forged.state {
            state.promised = Some(promised);
            forged.mark.write |= 1 << 63;
            self.is_forged = true;
            self.slots.insert(newest, Arc::new(forged));
        }
    }

    /// Deletes all slots, the newest, the one before it, or all but the newest.
    pub(crate) fn lose(&mut self, which: u8) {
        let newest = self.newest();
        self.losses += 1;
        self.is_forged = false;
        match which {
            0 => self.slots.clear(),
            1 => drop(self.slots.remove(&newest)),
            2 => drop(self.slots.remove(&newest.saturating_sub(1))),
            _ => self.slots = self.slots.split_off(&newest),
        }
    }
}

impl Outcome {
    /// For the trace.
    pub(crate) fn kind(&self) -> u8 {
        match self {
            Self::Listed(_) => 0,
            Self::Got(_) => 1,
            Self::Stored => 2,
            Self::Exists => 3,
            Self::Failed => 4,
        }
    }
}
