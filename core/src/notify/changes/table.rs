//! The table of events: when each kind happens, and the form of its id and fields. The table in
//! docs/reference/events.md is generated from it (`regionmesh docs events`).

use regionmesh_protocol::event::EventKind;

/// The documentation of one kind of event, or of one of its forms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventRow {
    pub kind: EventKind,
    /// When it happens.
    pub when: &'static str,
    /// How urgent it is, and what that depends on.
    pub severity: &'static str,
    /// The forms of its id; words in capitals vary.
    pub ids: &'static [&'static str],
    /// The keys of its fields; not every event has all of them.
    pub fields: &'static [&'static str],
}

/// Every kind of event.
pub const EVENT_ROWS: [EventRow; 14] = [
    EventRow {
        kind: EventKind::Verdict,
        when: "the verdict on a region changes",
        severity: "failed: critical; suspect, unknown: warning; else info",
        ids: &["verdict:REGION:CONDITION:SINCE"],
        fields: &["condition", "before"],
    },
    EventRow {
        kind: EventKind::Plan,
        when: "a plan is committed",
        severity: "warning if a region loses traffic or load can't be moved; else info",
        ids: &["plan:BALLOT#SEQ"],
        fields: &["seq", "ballot", "leader", "shares"],
    },
    EventRow {
        kind: EventKind::Plan,
        when: "an order is suspended to keep users off failed regions; takes effect again or ends",
        severity: "warning; info",
        ids: &[
            "order-yields:KIND:REGION:BALLOT#SEQ",
            "order-stands:KIND:REGION:BALLOT#SEQ",
        ],
        fields: &["order", "by", "move"],
    },
    EventRow {
        kind: EventKind::Leader,
        when: "another agent leads",
        severity: "info",
        ids: &["leader:BALLOT"],
        fields: &["leader", "ballot", "before"],
    },
    EventRow {
        kind: EventKind::Leader,
        when: "no agent has led for 10 s",
        severity: "critical",
        ids: &["leader:lost:BALLOT"],
        fields: &["last"],
    },
    EventRow {
        kind: EventKind::Ramp,
        when: "a region steps up its ramp, reaches its full share, or is sent back",
        severity: "info; back: warning",
        ids: &["ramp:REGION:BALLOT#SEQ"],
        fields: &["move", "percent"],
    },
    EventRow {
        kind: EventKind::FenceLost,
        when: "the fence of a later plan keeps an agent from writing a zone",
        severity: "warning",
        ids: &["fence-lost:PROVIDER:PLAN:AGENT"],
        fields: &["provider", "plan"],
    },
    EventRow {
        kind: EventKind::Drift,
        when: "the mesh's records in a zone were changed from outside",
        severity: "warning",
        ids: &["drift:PROVIDER:PLAN:HASH:AGENT"],
        fields: &["provider", "plan"],
    },
    EventRow {
        kind: EventKind::Conflict,
        when: "two regions published different content under one name",
        severity: "warning",
        ids: &["conflict:MODEL:VERSION:CONTENT"],
        fields: &["model", "version"],
    },
    EventRow {
        kind: EventKind::Certificate,
        when: "a certificate expires soon; is about to expire",
        severity: "warning; critical",
        ids: &[
            "certificate:AGENT:EXPIRES",
            "certificate:AGENT:EXPIRES:imminent",
        ],
        fields: &["agent", "expires_s"],
    },
    EventRow {
        kind: EventKind::Problem,
        when: "an agent reports a problem",
        severity: "as its alert",
        ids: &["problem:AGENT:KIND:SUBJECT:SINCE"],
        fields: &["agent", "problem", "subject"],
    },
    EventRow {
        kind: EventKind::Budget,
        when: "a budget reaches a threshold; once per threshold and period",
        severity: "from 100 %: warning; else info",
        ids: &["budget:NAME:AMOUNT:FIRST DAY:KIND:THRESHOLD"],
        fields: &["subject"],
    },
    EventRow {
        kind: EventKind::CostAnomaly,
        when: "spending leaves its usual range",
        severity: "warning; a drop: info",
        ids: &["anomaly:PLANE:SCOPE:CURRENCY:SINCE"],
        fields: &["subject"],
    },
    EventRow {
        kind: EventKind::CostData,
        when: "a bill is late or unreadable",
        severity: "warning",
        ids: &["data:late:SOURCE:DAY", "data:export:URL:SINCE"],
        fields: &["subject"],
    },
];
