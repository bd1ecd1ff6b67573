//! Events and alerts over HTTP: a list, and a stream of server-sent events (WHATWG HTML §9.2).
//!
//! A stream takes from the log only when its reader took what came before, so a slow reader costs a
//! place and no memory. One that falls so far behind that events are gone is told so and ends, as
//! does one that takes nothing at all for too long.

use super::{Api, Parameter, reply::ApiError};
use crate::{
    events::{Cursor, EventLog, Noticed, Wanted},
    snapshots::Snapshots,
};
use axum::{
    Extension, Json,
    body::Body,
    extract::{Query, State},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use prometheus::{IntCounterVec, IntGauge, Opts, Registry};
use regionmesh_client::{AlertEntry, AlertList, AlertState, EventEntry, EventList, NumberedEvent};
use regionmesh_runtime::listener::{PlaceLimits, Refused, Room, Seat};
use serde::Deserialize;
use std::{collections::VecDeque, convert::Infallible, str::FromStr, sync::Arc, time::Duration};
use tokio::sync::watch;

/// Streams at once.
const STREAMS_MAX: usize = 64;
/// Of these, to one client.
const STREAMS_PER_CLIENT: usize = 32;
/// Events in one list, unless fewer are asked for.
pub(super) const LIST_MAX: usize = 1_000;
/// Events taken from the log at once for a stream.
const CHUNK: usize = 32;
/// A reader hears at least this often that the stream still lives: proxies close what is silent for
/// longer.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

const KIND: Parameter = ("kind", "kinds", "Only these kinds, separated by commas");
const REGION: Parameter = (
    "region",
    "regions",
    "Only what is about these regions, separated by commas",
);
const SEVERITY: Parameter = ("severity", "severity", "Only what is at least this severe");
const SINCE: Parameter = ("since", "cursor", "Only what came after this cursor");
const LIMIT: Parameter = (
    "limit",
    "limit",
    "At most so many; without `since` the latest",
);

/// What a list may be asked for.
pub(super) const LIST_QUERY: &[Parameter] = &[SINCE, LIMIT, KIND, REGION, SEVERITY];
/// What the list of alerts may be asked for.
pub(super) const ALERTS_QUERY: &[Parameter] = &[(
    "state",
    "alert-state",
    "Those that hold (default), those that ended within the last five minutes, or all",
)];
/// What a stream may be asked for.
pub(super) const STREAM_QUERY: &[Parameter] = &[SINCE, KIND, REGION, SEVERITY];

/// Room for streams, and what is counted of them. Clones share both.
#[derive(Debug, Clone)]
pub struct Streams {
    places: Arc<Room>,
    open: IntGauge,
    ended: IntCounterVec,
}

impl Streams {
    /// Registers the metrics.
    pub fn new(registry: &Registry) -> prometheus::Result<Self> {
        let streams = Self {
            places: Room::new(PlaceLimits {
                total: STREAMS_MAX,
                per_client: STREAMS_PER_CLIENT,
            }),
            open: IntGauge::new(
                "regionmesh_event_streams",
                "Streams of events that are open.",
            )?,
            ended: IntCounterVec::new(
                Opts::new(
                    "regionmesh_event_streams_ended_total",
                    "Streams of events that ended, by reason: left (the reader went), slow (it went, or was cut off, with \
                     events that it had not taken), lagged (events that it had not taken were \
                     gone), stopping, refused (no \
                     place).",
                ),
                &["reason"],
            )?,
        };

        registry.register(Box::new(streams.open.clone()))?;
        registry.register(Box::new(streams.ended.clone()))?;
        Ok(streams)
    }

    fn ended(&self, reason: &str) {
        self.ended.with_label_values(&[reason]).inc();
    }
}

/// Which alerts are asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AlertQuery {
    state: Option<String>,
}

/// What is asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EventQuery {
    since: Option<String>,
    limit: Option<usize>,
    kind: Option<String>,
    region: Option<String>,
    severity: Option<String>,
}

impl EventQuery {
    fn wanted(&self) -> Result<Wanted, ApiError> {
        Ok(Wanted {
            kinds: words("kind", self.kind.as_deref())?,
            regions: words("region", self.region.as_deref())?,
            severity: words("severity", self.severity.as_deref())?
                .pop()
                .unwrap_or_default(),
        })
    }
}

/// Words separated by commas.
fn words<T: FromStr<Err: std::fmt::Display>>(
    name: &str,
    text: Option<&str>,
) -> Result<Vec<T>, ApiError> {
    super::models::text(name, text.unwrap_or_default(), usize::MAX)?;
    let words = text
        .unwrap_or_default()
        .split(',')
        .map(str::trim)
        .filter(|word| !word.is_empty());

    words
        .map(|word| {
            word.parse()
                .map_err(|error| ApiError::bad(format!("{name}: {error}")))
        })
        .collect()
}

fn cursor(text: &str) -> Result<Cursor, ApiError> {
    super::models::text("since", text, usize::MAX)?;
    text.trim().parse().map_err(|_| {
        ApiError::bad(format!(
            "{text:?} is no cursor; give one that /v1/events answered"
        ))
    })
}

/// `GET /v1/events`
pub(super) async fn list(
    State(api): State<Api>,
    Query(query): Query<EventQuery>,
) -> Result<Json<EventList>, ApiError> {
    let wanted = query.wanted()?;
    let limit = query.limit.unwrap_or(LIST_MAX);
    if !(1..=LIST_MAX).contains(&limit) {
        return Err(ApiError::bad(format!(
            "limit: {limit} is not within 1 to {LIST_MAX}"
        )));
    }

    let since = query.since.as_deref().map(cursor).transpose()?;
    let log = api.snapshots.events.borrow();
    let mut page = log.after(
        since.unwrap_or_else(|| log.tail(&wanted, limit)),
        &wanted,
        limit,
    );

    // They are noticed a little out of order; what a page holds is told by when it happened.
    page.events
        .sort_by_key(|noticed| (noticed.event.time_ms, noticed.seq));
    Ok(Json(EventList {
        answered_by: api.config.id().to_string(),
        next: page.next.to_string(),
        has_gap: page.has_gap && since.is_some(),
        events: page
            .events
            .iter()
            .map(|noticed| show(&log, noticed))
            .collect(),
    }))
}

fn show(log: &EventLog, noticed: &Noticed) -> NumberedEvent {
    NumberedEvent {
        cursor: log.cursor(noticed).to_string(),
        event: EventEntry::of(&noticed.event),
    }
}

/// `GET /v1/alerts`
pub(super) async fn alerts(
    State(api): State<Api>,
    Query(query): Query<AlertQuery>,
) -> Result<Json<AlertList>, ApiError> {
    let wanted: &[AlertState] = match query.state.as_deref().map(str::trim) {
        None | Some("" | "firing") => &[AlertState::Firing],
        Some("ended") => &[AlertState::Ended],
        Some("all") => &[AlertState::Firing, AlertState::Ended],
        Some(other) => {
            super::models::text("state", other, usize::MAX)?;
            return Err(ApiError::bad(format!(
                "state: {other:?} is none of firing, ended, all"
            )));
        }
    };

    let known = api.snapshots.alerts.borrow().clone();
    let entry = |alert: &regionmesh_core::notify::alert::Alert| AlertEntry {
        labels: alert
            .labels
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect(),
        summary: alert.summary.clone(),
        description: alert.description.clone(),
        state: if alert.ended_ms.is_none() {
            AlertState::Firing
        } else {
            AlertState::Ended
        },
        starts_ms: alert.starts_ms,
        ended_ms: alert.ended_ms,
    };

    let mut alerts: Vec<AlertEntry> = known
        .iter()
        .map(entry)
        .filter(|alert| wanted.contains(&alert.state))
        .collect();

    alerts.sort_by_key(|alert| (alert.ended_ms.is_some(), alert.starts_ms));
    Ok(Json(AlertList {
        answered_by: api.config.id().to_string(),
        alerts,
    }))
}

/// `GET /v1/events/stream`
pub(super) async fn stream(
    State(api): State<Api>,
    Query(query): Query<EventQuery>,
    Extension(seat): Extension<Arc<Seat>>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let wanted = query.wanted()?;
    // Where a client reconnects by itself, the header is what it saw last; the query is how it
    // began.
    let resumed = headers
        .get("last-event-id")
        .and_then(|value| value.to_str().ok())
        .filter(|id| !id.trim().is_empty());
    let begun = query.since.as_deref().map(cursor).transpose()?;
    let since = resumed.map(cursor).transpose()?.or(begun);

    let place = api
        .streams
        .places
        .admit_busy(seat.from())
        .map_err(|refused| {
            api.streams.ended("refused");
            let error = match refused {
                Refused::Client => {
                    format!("{STREAMS_PER_CLIENT} streams of events are open to your address")
                }
                Refused::Full => format!("{STREAMS_MAX} streams of events are open at this agent"),
            };

            ApiError::new(
                StatusCode::SERVICE_UNAVAILABLE,
                error,
                "ask another agent, or `regionmesh events` without --follow",
            )
        })?;

    // From here on it is counted as a stream, so that streams take no places from requests.
    seat.leave();

    let tail = api.snapshots.events.borrow().tail(&wanted, 0);
    api.streams.open.inc();

    let reader = Reader {
        wanted,
        cursor: since.unwrap_or(tail),
        waiting: VecDeque::new(),
        log: api.snapshots.events.subscribe(),
        draining: api.draining.clone(),
        snapshots: api.snapshots.clone(),
        streams: api.streams.clone(),
        is_first: true,
        end: None,
        _place: place,
    };

    let body = futures::stream::unfold(reader, |mut reader| async move {
        let piece = reader.next().await?;
        Some((Ok::<_, Infallible>(Bytes::from(piece)), reader))
    });
    let mut response = Body::from_stream(body).into_response();
    let headers = response.headers_mut();

    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/event-stream"),
    );

    // The connection gave its place back, so that it can't carry a further request.
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));

    // A proxy that collects what it passes on would hold events back.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

/// One stream's reader.
struct Reader {
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
    /// The next piece of the stream; none at its end.
    async fn next(&mut self) -> Option<String> {
        if std::mem::take(&mut self.is_first) {
            // How long a client waits before it comes back, and something to see at once.
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
                // Its id lets the client go on with what is left.
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

    /// Takes the next events from the log; tells whether some that were not taken are gone.
    fn fill(&mut self) -> bool {
        let log = self.log.borrow_and_update();
        let page = log.after(self.cursor, &self.wanted, CHUNK);
        if page.has_gap && self.cursor.boot == page.next.boot {
            // Go on with the oldest that is left.
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
            .extend(page.events.iter().map(|noticed| show(&log, noticed)));
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
    // One line: JSON escapes line feeds. What can't be written is left out, and its id makes up for
    // it.
    let data = serde_json::to_string(event).unwrap_or_default();
    format!(
        "event: {}\nid: {}\ndata: {data}\n\n",
        event.event.kind, event.cursor
    )
}
