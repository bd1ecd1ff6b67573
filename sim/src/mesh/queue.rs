//! Virtual time: events in the order of their times, and of their insertion at equal times.

use super::event::Event;
use std::{cmp::Ordering, collections::BinaryHeap};

#[derive(Debug)]
struct Entry {
    at_ms: u64,
    order: u64,
    event: Event,
}

impl Ord for Entry {
    /// The heap's greatest entry is the earliest.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at_ms, other.order).cmp(&(self.at_ms, self.order))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.order == other.order
    }
}

impl Eq for Entry {}

/// The events to come.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    entries: BinaryHeap<Entry>,
    order: u64,
}

impl Queue {
    pub(crate) fn push(&mut self, at_ms: u64, event: Event) {
        self.order += 1;
        let order = self.order;
        self.entries.push(Entry {
            at_ms,
            order,
            event,
        });
    }

    pub(crate) fn pop(&mut self) -> Option<(u64, Event)> {
        let entry = self.entries.pop()?;
        Some((entry.at_ms, entry.event))
    }
}
