//! Objects of events and alerts.

use super::object::Object;

pub(crate) const OBJECTS: &[Object] = &[
    (
        "EventList",
        "Events that an agent noticed",
        &[
            (
                "answered_by",
                "string",
                "The agent that answers, region/name",
            ),
            ("next", "string", "Pass it as `since` to continue from here"),
            (
                "has_gap",
                "boolean",
                "Whether events between `since` and the first of these are gone",
            ),
            ("events", "[Event]", "Oldest first"),
        ],
    ),
    (
        "Event",
        "One thing that happened",
        &[
            (
                "cursor",
                "string",
                "Its place at the answering agent, as `since` takes it",
            ),
            (
                "id",
                "string",
                "Identifies the event; identical at every agent",
            ),
            (
                "kind",
                "string",
                "What kind of thing: verdict, plan, leader, ..., see /v1/events",
            ),
            ("severity", "string", "info, warning or critical"),
            ("time_ms", "time", "When it happened"),
            (
                "region",
                "string?",
                "The region that it is about; null if it is about none",
            ),
            ("text", "string", "What happened, for people"),
            ("fields", "{string}", "The details, for programs"),
            (
                "reported_by",
                "string?",
                "The only agent that can report it, region/name; null if every agent can",
            ),
        ],
    ),
    (
        "AlertList",
        "Active and recently ended alerts",
        &[
            (
                "answered_by",
                "string",
                "The agent that answers, region/name",
            ),
            ("alerts", "[Alert]", "Those of the state asked for"),
        ],
    ),
    (
        "Alert",
        "A condition that lasts for a while",
        &[
            (
                "labels",
                "{string}",
                "What identifies it, as sent to Alertmanager",
            ),
            ("summary", "string", "In one sentence"),
            ("description", "string", "The details"),
            (
                "state",
                "string",
                "firing, or ended within the last five minutes",
            ),
            ("starts_ms", "time", "When it started"),
            (
                "ended_ms",
                "time?",
                "When it ended; null while it is firing",
            ),
        ],
    ),
];
