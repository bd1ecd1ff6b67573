//! Events and alerts.

use regionmesh_protocol::{
    event::{Event, EventKind, Severity},
    identity::RegionName,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Something that happened in the mesh; webhooks carry it too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EventEntry {
    /// Identifies the event; the same at every agent.
    pub id: String,
    pub kind: EventKind,
    pub severity: Severity,
    /// When it happened, Unix milliseconds.
    pub time_ms: u64,
    /// The region that it is about; null if it is about none.
    pub region: Option<RegionName>,
    /// What happened, for people.
    pub text: String,
    /// The details, for programs.
    pub fields: BTreeMap<String, String>,
    /// The only agent that can report it: `region/name`; null if every agent can.
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

/// Events, as the answering agent noticed them.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct EventList {
    /// The agent that answers: `region/name`.
    pub answered_by: String,
    /// Pass it as `since` to continue from here.
    pub next: String,
    /// Whether events between `since` and the first of these are gone.
    pub has_gap: bool,
    /// Oldest first. To continue, pass `next`, not the cursor of the last of them.
    pub events: Vec<NumberedEvent>,
}

/// An event, and its place at the answering agent.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct NumberedEvent {
    /// Its place at the answering agent, as `since` takes it.
    pub cursor: String,
    #[serde(flatten)]
    pub event: EventEntry,
}

/// Active and recently ended alerts.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct AlertList {
    /// The agent that answers: `region/name`.
    pub answered_by: String,
    /// Alerts of the requested state.
    pub alerts: Vec<AlertEntry>,
}

/// An alert: a condition that lasts for a while.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct AlertEntry {
    /// What identifies it, as sent to Alertmanager.
    pub labels: BTreeMap<String, String>,
    /// The alert in one sentence.
    pub summary: String,
    pub description: String,
    /// Firing, or ended within the last five minutes.
    #[serde(default)]
    pub state: AlertState,
    /// When it started, Unix milliseconds.
    pub starts_ms: u64,
    /// When it ended, Unix milliseconds; null while it is firing.
    pub ended_ms: Option<u64>,
}

/// The state of an alert.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AlertState {
    /// It is active.
    #[default]
    Firing,
    /// It ended within the last five minutes.
    Ended,
}
