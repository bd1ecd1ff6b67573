//! The latest events that this agent noticed, with numbers.
//!
//! Numbers are per process, starting at 1. A [`Cursor`] contains the process and a number, so that
//! a returning reader can detect missed events. This is a buffer, not a record: only the last
//! [`EVENTS_MAX`] events are available.

use regionmesh_protocol::{
    event::{Event, EventKind, Severity},
    identity::RegionName,
};
use std::{collections::VecDeque, fmt, num::ParseIntError, str::FromStr, sync::Arc};

/// Events kept.
pub(crate) const EVENTS_MAX: usize = 1_024;

/// One event and its number.
#[derive(Debug, Clone)]
pub struct Noticed {
    /// Its number, from 1.
    pub seq: u64,
    pub event: Arc<Event>,
}

/// The last events.
#[derive(Debug, Clone, Default)]
pub struct EventLog {
    /// Random number drawn at the start of the process.
    boot: u64,
    last: u64,
    events: VecDeque<Noticed>,
}

/// A position in the events of one process: everything up to it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// The process; none: any.
    pub boot: Option<u64>,
    /// Number of the last event read; 0 before the first.
    pub seq: u64,
}

/// A page of events.
#[derive(Debug, Clone)]
pub struct Page {
    /// Oldest first.
    pub events: Vec<Noticed>,
    /// The cursor of the next page.
    pub next: Cursor,
    /// Whether events after the reader's cursor are lost, because of their number or a restart.
    pub has_gap: bool,
}

/// A filter of events; an empty list admits all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Of these kinds.
    pub kinds: Vec<EventKind>,
    /// About these regions.
    pub regions: Vec<RegionName>,
    /// At least this severe.
    pub severity: Severity,
}

impl Wanted {
    /// Whether the filter admits an event.
    pub fn admits(&self, event: &Event) -> bool {
        let is_region = |region: &RegionName| self.regions.contains(region);
        (self.kinds.is_empty() || self.kinds.contains(&event.kind))
            && (self.regions.is_empty() || event.region.as_ref().is_some_and(is_region))
            && event.severity >= self.severity
    }
}

impl EventLog {
    /// An empty log of the process that drew `boot`.
    pub fn new(boot: u64) -> Self {
        Self {
            boot,
            ..Self::default()
        }
    }

    /// Adds an event, and drops the oldest one if there are too many.
    pub fn add(&mut self, event: Event) {
        if self.events.len() >= EVENTS_MAX {
            self.events.pop_front();
        }
        self.last += 1;
        self.events.push_back(Noticed {
            seq: self.last,
            event: Arc::new(event),
        });
    }

    /// Number of the last event; 0 before the first.
    pub fn last(&self) -> u64 {
        self.last
    }

    /// At most `limit` of the wanted events after `since`, oldest first. For the cursor of another
    /// process, all events in the log count as unread.
    pub fn after(&self, since: Cursor, wanted: &Wanted, limit: usize) -> Page {
        let is_ours = since.boot.is_none_or(|boot| boot == self.boot) && since.seq <= self.last;
        let seq = if is_ours { since.seq } else { 0 };
        let oldest = self
            .events
            .front()
            .map_or(self.last + 1, |noticed| noticed.seq);
        let mut events: Vec<Noticed> = self
            .events
            .iter()
            .filter(|noticed| noticed.seq > seq && wanted.admits(&noticed.event))
            .take(limit.saturating_add(1))
            .cloned()
            .collect();

        let has_more = events.len() > limit;
        events.truncate(limit);

        let read = match events.last() {
            Some(last) if has_more => last.seq,
            // There are no further wanted events.
            _ if !has_more => self.last,
            _ => seq,
        };
        let has_gap = !is_ours || seq + 1 < oldest;

        Page {
            events,
            next: Cursor {
                boot: Some(self.boot),
                seq: read,
            },
            has_gap,
        }
    }

    /// The cursor that is followed by at most the last `limit` wanted events.
    pub fn tail(&self, wanted: &Wanted, limit: usize) -> Cursor {
        let newest = self
            .events
            .iter()
            .rev()
            .filter(|noticed| wanted.admits(&noticed.event));
        let seq = newest
            .take(limit)
            .last()
            .map_or(self.last, |noticed| noticed.seq - 1);

        Cursor {
            boot: Some(self.boot),
            seq,
        }
    }

    /// The cursor of one event of this log.
    pub fn cursor(&self, noticed: &Noticed) -> Cursor {
        Cursor {
            boot: Some(self.boot),
            seq: noticed.seq,
        }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.boot {
            Some(boot) => write!(f, "{boot:x}.{}", self.seq),
            None => write!(f, "{}", self.seq),
        }
    }
}

impl FromStr for Cursor {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Self, ParseIntError> {
        match text.split_once('.') {
            Some((boot, seq)) => Ok(Self {
                boot: Some(u64::from_str_radix(boot, 16)?),
                seq: seq.parse()?,
            }),
            None => Ok(Self {
                boot: None,
                seq: text.parse()?,
            }),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
