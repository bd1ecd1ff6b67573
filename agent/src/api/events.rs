//! Events and alerts over HTTP: a list, and a stream of server-sent events (WHATWG HTML §9.2).
//!
//! A stream reads from the log only once its client has taken what came before, so a slow client
//! costs a slot but no memory. A client that falls behind the log gets a gap event and its stream
//! ends; the stream of a client that reads nothing for too long ends as well.

mod reader;
mod streams;

pub(crate) use streams::Streams;

use super::{
    parameters::{LIST_MAX, alert_state, cursor, event_kinds, limit, regions},
    reply::ApiError,
    request::text,
    route::{Parameter, schema},
    state::Api,
};
use crate::events::{Cursor, Wanted};
use axum::{
    Extension, Json,
    body::Body,
    extract::{Query, State},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use reader::{Reader, numbered};
use regionmesh_client::{AlertEntry, AlertList, AlertState, EventList};
use regionmesh_protocol::event::Severity;
use regionmesh_runtime::listener::{Refused, Seat};
use serde::Deserialize;
use std::{convert::Infallible, str::FromStr, sync::Arc};
use streams::{STREAMS_MAX, STREAMS_PER_CLIENT};

const KIND: Parameter = ("kind", event_kinds, "Only these kinds, separated by commas");
const REGION: Parameter = (
    "region",
    regions,
    "Only events about these regions, separated by commas",
);
const SEVERITY: Parameter = ("severity", schema::<Severity>, "Minimum severity");
const SINCE: Parameter = ("since", cursor, "Only events after this cursor");
const LIMIT: Parameter = (
    "limit",
    limit,
    "Most events in the answer; without `since` the latest ones",
);

pub(crate) const LIST_QUERY: &[Parameter] = &[SINCE, LIMIT, KIND, REGION, SEVERITY];
pub(crate) const ALERTS_QUERY: &[Parameter] = &[(
    "state",
    alert_state,
    "Firing (default), ended within the last five minutes, or all",
)];
pub(crate) const STREAM_QUERY: &[Parameter] = &[SINCE, KIND, REGION, SEVERITY];

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AlertQuery {
    state: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EventQuery {
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
    list: Option<&str>,
) -> Result<Vec<T>, ApiError> {
    let list = list.unwrap_or_default();
    text(name, list, usize::MAX)?;
    let words = list
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

fn parse_cursor(since: &str) -> Result<Cursor, ApiError> {
    text("since", since, usize::MAX)?;
    since.trim().parse().map_err(|_| {
        ApiError::bad(format!(
            "since: {since:?} is not a cursor; use one that /v1/events returned"
        ))
    })
}

/// `GET /v1/events`
pub(crate) async fn list(
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

    let since = query.since.as_deref().map(parse_cursor).transpose()?;
    let log = api.snapshots.events.borrow();
    let mut page = log.after(
        since.unwrap_or_else(|| log.tail(&wanted, limit)),
        &wanted,
        limit,
    );

    // The log is in the order of noticing, which may differ a little from the order of events.
    page.events
        .sort_by_key(|noticed| (noticed.event.time_ms, noticed.seq));
    Ok(Json(EventList {
        answered_by: api.config.id().to_string(),
        next: page.next.to_string(),
        has_gap: page.has_gap && since.is_some(),
        events: page
            .events
            .iter()
            .map(|noticed| numbered(&log, noticed))
            .collect(),
    }))
}

/// `GET /v1/alerts`
pub(crate) async fn alerts(
    State(api): State<Api>,
    Query(query): Query<AlertQuery>,
) -> Result<Json<AlertList>, ApiError> {
    let wanted: &[AlertState] = match query.state.as_deref().map(str::trim) {
        None | Some("" | "firing") => &[AlertState::Firing],
        Some("ended") => &[AlertState::Ended],
        Some("all") => &[AlertState::Firing, AlertState::Ended],
        Some(other) => {
            text("state", other, usize::MAX)?;
            return Err(ApiError::bad(format!(
                "state: {other:?} is not one of firing, ended, all"
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
pub(crate) async fn stream(
    State(api): State<Api>,
    Query(query): Query<EventQuery>,
    Extension(seat): Extension<Arc<Seat>>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let wanted = query.wanted()?;
    // A client that reconnects automatically sends in the header what it saw last; its query is
    // still that of the first request.
    let resumed = headers
        .get("last-event-id")
        .and_then(|value| value.to_str().ok())
        .filter(|id| !id.trim().is_empty());
    let begun = query.since.as_deref().map(parse_cursor).transpose()?;
    let since = resumed.map(parse_cursor).transpose()?.or(begun);

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

    // From here on it counts as a stream, so that streams take no slots from requests.
    seat.leave();

    let tail = api.snapshots.events.borrow().tail(&wanted, 0);
    let reader = Reader::new(&api, wanted, since.unwrap_or(tail), place);

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

    // The connection has returned its slot, so that it can't carry another request.
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));

    // A buffering proxy would delay events.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}
