//! The events that this agent noticed, numbered, the latest of them kept.
//!
//! Numbers are the agent's own, from 1, and begin anew with its process: a [`Cursor`] names both,
//! so that a reader who comes back knows whether it missed any. A memory, not a record: what nobody
//! read within [`KEPT`] events is gone.

use regionmesh_protocol::{
    event::{Event, EventKind, Severity},
    identity::RegionName,
};
use std::{collections::VecDeque, fmt, num::ParseIntError, str::FromStr, sync::Arc};

/// Events kept.
pub const KEPT: usize = 1_024;

/// One event and its number.
#[derive(Debug, Clone)]
pub struct Noticed {
    /// Counted from 1 by the agent's process.
    pub seq: u64,
    /// The event.
    pub event: Arc<Event>,
}

/// The last events.
#[derive(Debug, Clone, Default)]
pub struct EventLog {
    /// Drawn at the process' start.
    boot: u64,
    last: u64,
    events: VecDeque<Noticed>,
}

/// A place among the events of one agent's process: everything up to it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// The process; none: whichever it is.
    pub boot: Option<u64>,
    /// Number of the last event read; 0 before the first.
    pub seq: u64,
}

/// What a reader gets.
#[derive(Debug, Clone)]
pub struct Page {
    /// In order.
    pub events: Vec<Noticed>,
    /// Where to go on.
    pub next: Cursor,
    /// Whether events after the reader's cursor are gone, or were another process'.
    pub has_gap: bool,
}

/// Which events somebody wants; an empty list is all.
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
    /// Whether it is one of those.
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

    /// Adds an event; the oldest goes where there are too many.
    pub fn add(&mut self, event: Event) {
        if self.events.len() >= KEPT {
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

    /// At most `limit` of the wanted events after `since`, oldest first. Of another process' cursor
    /// nothing is known here: all that is kept counts as unread.
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
            // Nothing that is wanted is left up to here.
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

    /// The cursor after which at most the last `limit` of the wanted events follow.
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
#[allow(clippy::unwrap_used)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// An event about `region`.
    pub(crate) fn event(number: u64, kind: EventKind, region: &str) -> Event {
        Event {
            id: format!("{kind}:{number}"),
            kind,
            severity: if kind == EventKind::Verdict {
                Severity::Critical
            } else {
                Severity::Info
            },
            time_ms: number,
            region: Some(region.parse().unwrap()),
            fields: [("number", number.to_string())].into(),
            text: format!("event {number} of {region}"),
            reported_by: None,
        }
    }

    proptest! {
        /// However a reader cuts its reading up, it gets each wanted event that is kept once, in
        /// order.
        #[test]
        fn a_reader_that_comes_back_misses_nothing_and_gets_nothing_twice(
            before in 0u64..1_500,
            between in 0u64..300,
            limit in 1usize..200,
            is_picky in any::<bool>(),
        ) {
            let mut log = EventLog::new(7);
            let fill = |log: &mut EventLog, count: u64| {
                for _ in 0..count {
                    let number = log.last() + 1;
                    log.add(event(number, EventKind::ALL[(number % 2) as usize], "a"));
                }
            };

            fill(&mut log, before);
            let wanted = Wanted {
                kinds: if is_picky {
                    vec![EventKind::Plan]
                } else {
                    Vec::new()
                },
                ..Wanted::default()
            };

            let mut cursor = Cursor {
                boot: Some(7),
                seq: 0,
            };
            let mut read = Vec::new();

            for turn in 0.. {
                let page = log.after(cursor, &wanted, limit);
                prop_assert!(page.events.len() <= limit);
                read.extend(page.events.iter().map(|noticed| noticed.seq));
                prop_assert_eq!(page.next.to_string().parse::<Cursor>().unwrap(), page.next);
                cursor = page.next;

                if turn == 0 {
                    fill(&mut log, between);
                } else if cursor.seq == log.last() {
                    break;
                }
            }

            prop_assert!(read.is_sorted_by(|a, b| a < b));
            let total = before + between;
            let kept = total.saturating_sub(KEPT as u64) + 1..=total;
            let expected: Vec<u64> = kept.filter(|seq| !is_picky || seq % 2 == 1).collect();

            prop_assert!(read.ends_with(&expected), "{:?} and {:?}", read, expected);
        }
    }

    #[test]
    fn a_gap_is_told_and_another_process_cursor_starts_anew() {
        let mut log = EventLog::new(7);
        let all = Wanted::default();
        assert!(!log.after(Cursor { boot: None, seq: 0 }, &all, 9).has_gap);
        for number in 1..=KEPT as u64 + 5 {
            log.add(event(number, EventKind::Plan, "a"));
        }

        for (boot, seq, has_gap, first) in [
            (Some(7), 4, true, 6),
            (Some(7), 5, false, 6),
            (None, 9, false, 10),
            (Some(8), 900, true, 6),
        ] {
            let page = log.after(Cursor { boot, seq }, &all, 9);
            assert_eq!((page.has_gap, page.events[0].seq), (has_gap, first));
        }

        assert!(
            log.after(
                Cursor {
                    boot: Some(7),
                    seq: 9_999
                },
                &all,
                9
            )
            .has_gap
        );
    }

    #[test]
    fn the_tail_is_the_last_of_those_wanted() {
        let mut log = EventLog::new(1);
        for (number, region) in [(1, "a"), (2, "b"), (3, "a"), (4, "b")] {
            log.add(event(number, EventKind::Verdict, region));
        }

        let wanted = Wanted {
            regions: vec!["a".parse().unwrap()],
            ..Wanted::default()
        };
        let told = |limit| {
            let page = log.after(log.tail(&wanted, limit), &wanted, 100);
            page.events
                .iter()
                .map(|noticed| noticed.seq)
                .collect::<Vec<_>>()
        };

        assert_eq!([told(0), told(1), told(9)], [vec![], vec![3], vec![1, 3]]);
    }
}
