//! Events and alerts.

use regionmesh_protocol::{
    event::{Event, EventKind, Severity},
    identity::RegionName,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// An event as JSON: in the API and in webhooks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventEntry {
    /// Tells it from all others, and is the same from whichever agent it comes.
    pub id: String,
    /// What kind of thing happened.
    pub kind: EventKind,
    /// How much somebody should care.
    pub severity: Severity,
    /// When, Unix milliseconds.
    pub time_ms: u64,
    /// The region that it is about, if it is about one.
    pub region: Option<RegionName>,
    /// What happened, for people.
    pub text: String,
    /// The particulars, for programs.
    pub fields: BTreeMap<String, String>,
    /// The only agent that can know of it, region/name; none where every agent does.
    pub reported_by: Option<String>,
}

impl EventEntry {
    /// This event as JSON.
    pub fn of(event: &Event) -> Self {
        Self {
            id: event.id.clone(),
            kind: event.kind,
            severity: event.severity,
            time_ms: event.time_ms,
            region: event.region.clone(),
            text: event.text.clone(),
            fields: event
                .fields
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.clone()))
                .collect(),
            reported_by: event.reported_by.as_ref().map(ToString::to_string),
        }
    }
}

/// `GET /v1/events`: what the answering agent noticed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EventList {
    /// The agent that answers.
    pub answered_by: String,
    /// Give it as `since` to go on from here.
    pub next: String,
    /// Whether events between `since` and the first of these are gone.
    pub has_gap: bool,
    /// Oldest first, by when they happened. To go on reading give `next`, not the cursor of the
    /// last of them.
    pub events: Vec<NumberedEvent>,
}

/// An event and its place.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NumberedEvent {
    /// Its place at the answering agent: a cursor, as `since` takes it.
    pub cursor: String,
    #[serde(flatten)]
    pub event: EventEntry,
}

/// `GET /v1/alerts`: what is the case, as the answering agent sees it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AlertList {
    /// The agent that answers.
    pub answered_by: String,
    /// Those of the state that was asked for.
    pub alerts: Vec<AlertEntry>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AlertEntry {
    /// What tells it from others, as Alertmanager gets it.
    pub labels: BTreeMap<String, String>,
    /// In one sentence.
    pub summary: String,
    pub description: String,
    /// Whether it holds, or ended within the last five minutes.
    #[serde(default)]
    pub state: AlertState,
    /// Since when it holds.
    pub starts_ms: u64,
    /// Since when it does not hold any more; none while it holds.
    pub ended_ms: Option<u64>,
}

/// Whether an alert holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AlertState {
    /// It holds.
    #[default]
    Firing,
    /// It ended lately.
    Ended,
}
