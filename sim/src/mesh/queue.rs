//! Virtual time: events in the order of their times, and of their insertion at equal times.

use std::{cmp::Ordering, collections::BinaryHeap};

#[derive(Debug)]
struct Entry<E> {
    at_ms: u64,
    order: u64,
    event: E,
}

impl<E> Ord for Entry<E> {
    /// The heap's greatest entry is the earliest.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at_ms, other.order).cmp(&(self.at_ms, self.order))
    }
}

impl<E> PartialOrd for Entry<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> PartialEq for Entry<E> {
    fn eq(&self, other: &Self) -> bool {
        self.order == other.order
    }
}

impl<E> Eq for Entry<E> {}

/// The events to come.
#[derive(Debug)]
pub(crate) struct Queue<E> {
    entries: BinaryHeap<Entry<E>>,
    order: u64,
}

impl<E> Default for Queue<E> {
    fn default() -> Self {
        Self {
            entries: BinaryHeap::new(),
            order: 0,
        }
    }
}

impl<E> Queue<E> {
    pub(crate) fn push(&mut self, at_ms: u64, event: E) {
        self.order += 1;
        let order = self.order;
        self.entries.push(Entry {
            at_ms,
            order,
            event,
        });
    }

    pub(crate) fn pop(&mut self) -> Option<(u64, E)> {
        let entry = self.entries.pop()?;
        Some((entry.at_ms, entry.event))
    }
}
