//! The reader of one event stream.

use super::{super::state::Api, streams::Streams};
use crate::{
    events::{Cursor, EventLog, Noticed, Wanted},
    snapshots::Snapshots,
};
use regionmesh_client::{EventEntry, NumberedEvent};
use regionmesh_runtime::listener::Seat;
use std::{collections::VecDeque, time::Duration};
use tokio::sync::watch;

/// Events that a stream takes from the log in one read.
const CHUNK: usize = 32;
/// Interval of keep-alive comments: proxies close connections that are silent for longer.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

pub(crate) fn numbered(log: &EventLog, noticed: &Noticed) -> NumberedEvent {
    NumberedEvent {
        cursor: log.cursor(noticed).to_string(),
        event: EventEntry::of(&noticed.event),
    }
}

pub(crate) struct Reader {
    wanted: Wanted,
    cursor: Cursor,
    waiting: VecDeque<NumberedEvent>,
    log: watch::Receiver<EventLog>,
    draining: watch::Receiver<bool>,
    snapshots: Snapshots,
    streams: Streams,
    is_first: bool,
    end: Option<&'static str>,
    _place: Seat,
}

impl Reader {
    pub(crate) fn new(api: &Api, wanted: Wanted, cursor: Cursor, place: Seat) -> Self {
        api.streams.open.inc();

        Self {
            wanted,
            cursor,
            waiting: VecDeque::new(),
            log: api.snapshots.events.subscribe(),
            draining: api.draining.clone(),
            snapshots: api.snapshots.clone(),
            streams: api.streams.clone(),
            is_first: true,
            end: None,
            _place: place,
        }
    }

    /// The next piece of the stream; none at its end.
    pub(crate) async fn next(&mut self) -> Option<String> {
        if std::mem::take(&mut self.is_first) {
            // How long clients wait before they reconnect, and a first comment.
            return Some(format!("retry: 1000\n: events of {}\n\n", self.cursor));
        }

        loop {
            if let Some(event) = self.waiting.pop_front() {
                return Some(render(&event));
            }
            if self.end.is_some() {
                return None;
            }

            let has_gap = self.fill();
            if has_gap {
                // With its id the client resumes at the oldest event that is left.
                self.end = Some("lagged");
                return Some(format!("event: gap\nid: {}\ndata: {{}}\n\n", self.cursor));
            }

            if !self.waiting.is_empty() {
                continue;
            }
            if *self.draining.borrow() {
                self.end = Some("stopping");
                return None;
            }

            tokio::select! {
                Ok(()) = self.log.changed() => {}
                Ok(()) = self.draining.changed() => {}
                () = tokio::time::sleep(KEEP_ALIVE) => return Some(": still here\n\n".into()),
            }
        }
    }

    /// Takes the next events from the log; true if events were lost before they were taken.
    fn fill(&mut self) -> bool {
        let log = self.log.borrow_and_update();
        let page = log.after(self.cursor, &self.wanted, CHUNK);
        if page.has_gap && self.cursor.boot == page.next.boot {
            // Resume at the oldest event that is left.
            self.cursor = Cursor {
                seq: page
                    .events
                    .first()
                    .map_or(page.next.seq, |first| first.seq - 1),
                ..page.next
            };

            return true;
        }

        self.waiting
            .extend(page.events.iter().map(|noticed| numbered(&log, noticed)));
        self.cursor = page.next;
        false
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let is_behind = || {
            let log = self.snapshots.events.borrow();
            !self.waiting.is_empty() || !log.after(self.cursor, &self.wanted, 1).events.is_empty()
        };
        let reason = self
            .end
            .unwrap_or_else(|| if is_behind() { "slow" } else { "left" });

        self.streams.ended(reason);
        self.streams.open.dec();
    }
}

fn render(event: &NumberedEvent) -> String {
    // One line: JSON escapes line feeds. An event that can't be serialised has no data, only its
    // id.
    let data = serde_json::to_string(event).unwrap_or_default();
    format!(
        "event: {}\nid: {}\ndata: {data}\n\n",
        event.event.kind, event.cursor
    )
}
