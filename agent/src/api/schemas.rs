//! What every JSON object of the API consists of, for the OpenAPI document.
//!
//! Written by hand, beside [`regionmesh_client`]; a test holds real answers against it, field by
//! field, both ways. What a request may hold is in [`requests`], and what a name or a text may be in
//! [`rules`].

mod cost;
mod models;
mod requests;
mod rules;
mod traffic;

pub(super) use rules::of;

use requests::REQUESTS;
use serde_json::{Map, Value, json};

/// One field: its name, its type, and what it means. A type that ends in `?` may be null; one that
/// ends in `~` may be left out of a request.
type Field = (&'static str, &'static str, &'static str);

/// An object: its name, what it is, and its fields.
type Object = (&'static str, &'static str, &'static [Field]);

/// Every object of answers that is neither of models nor of traffic: its name, what it is, and its
/// fields.
const OBJECTS: &[Object] = &[
    (
        "Status",
        "The whole mesh, as the answering agent knows it",
        &[
            ("mesh", "string", "The mesh's name"),
            (
                "answered_by",
                "string",
                "The agent that answers, region/name",
            ),
            ("answered_ms", "time", "When, its clock"),
            (
                "plan",
                "PlanBrief?",
                "The committed plan in brief; null before the first",
            ),
            (
                "leader",
                "Leader?",
                "The leader; null while an election is due",
            ),
            ("regions", "[Region]", "Every region of the configuration"),
            (
                "agents",
                "[Agent]",
                "Every agent heard of and not yet forgotten",
            ),
            (
                "models",
                "[Model]",
                "Every model that a region is known to hold",
            ),
            (
                "problems",
                "[Problem]",
                "Problems that agents report of themselves, the most urgent first",
            ),
            ("orders", "[Override]", "What operators ordered and stands"),
            traffic::FROZEN,
        ],
    ),
    (
        "Problem",
        "A problem that one agent reports",
        &[
            ("region", "string", "The agent's region"),
            ("agent", "string", "The agent, region/name"),
            (
                "kind",
                "string",
                "What kind of problem, such as store-unavailable",
            ),
            ("severity", "string", "info, warning or critical"),
            ("subject", "string", "What it is about"),
            ("detail", "string", "What was seen, and what to do"),
            ("since_ms", "time", "Since when, the agent's clock"),
        ],
    ),
    ("PlanBrief", "The committed plan in brief", PLAN_BRIEF),
    (
        "Plan",
        "The committed plan",
        &[
            PLAN_BRIEF[0],
            PLAN_BRIEF[1],
            PLAN_BRIEF[2],
            PLAN_BRIEF[3],
            PLAN_BRIEF[4],
            PLAN_BRIEF[5],
            PLAN_BRIEF[6],
            ("regions", "[PlannedRegion]", "Every region's part"),
            (
                "overrides",
                "[Override]",
                "What operators ordered and stands",
            ),
            (
                "shortfall",
                "Shortfall?",
                "What could not be moved for want of capacity; null if all could",
            ),
        ],
    ),
    (
        "Override",
        "A standing order",
        &[
            ("region", "string?", "The region; null: the whole mesh"),
            ("kind", "string", "drain, hold or promote"),
            ("by", "string", "Who ordered it, as they said"),
            ("why", "string", "Why, as they said"),
            (
                "immediate",
                "boolean",
                "Whether a promoted region skips cool-down and ramp",
            ),
            ("set_ms", "time", "When, the answering agent's clock"),
            (
                "expires_ms",
                "time",
                "From when it does not count any more, the answering agent's clock",
            ),
            ("left_ms", "integer", "Time left, milliseconds"),
        ],
    ),
    (
        "Shortfall",
        "What the capacity guard kept from moving",
        &[
            (
                "load_rps",
                "integer",
                "Load of the whole mesh that was reckoned with, requests per second",
            ),
            (
                "unmoved_rps",
                "integer",
                "How much of it stays where it should not, requests per second",
            ),
        ],
    ),
    (
        "OrderDone",
        "The order is part of the committed plan",
        &[
            ("done", "string", "What was done, and what followed from it"),
            ("plan", "Plan", "The plan"),
        ],
    ),
    (
        "FailoverStatus",
        "The plan, its overrides and guards",
        &[
            (
                "answered_by",
                "string",
                "The agent that answers, region/name",
            ),
            ("answered_ms", "time", "When, its clock"),
            (
                "leader",
                "Leader?",
                "The leader; null while an election is due",
            ),
            (
                "max_out",
                "integer",
                "Regions that automation may have out at once",
            ),
            ("taken_out", "[string]", "Those that it has out"),
            (
                "automatic_refused",
                "string?",
                "Why automatic failover is refused; null if it is not",
            ),
            ("plan", "Plan?", "The committed plan; null before the first"),
            (
                "verdicts",
                "[RegionVerdict]",
                "The verdict on every region, whatever the plan made of it",
            ),
            traffic::FROZEN,
        ],
    ),
    (
        "Members",
        "Who votes in the register and gets traffic",
        &[
            (
                "answered_by",
                "string",
                "The agent that answers, region/name",
            ),
            (
                "register",
                "string?",
                "Which register; null before the first plan",
            ),
            (
                "seq",
                "integer?",
                "Number of the plan that names them; null before the first",
            ),
            ("majority", "integer", "Votes that decide"),
            (
                "automatic_refused",
                "string?",
                "Why automatic failover is refused; null if it is not",
            ),
            (
                "members",
                "[Member]",
                "Every member, and every region of the answering agent's configuration",
            ),
        ],
    ),
    (
        "Member",
        "One member, or one region that could be one",
        &[
            ("member", "string", "The region, or witness"),
            ("is_member", "boolean", "Whether it is a member"),
            (
                "is_witness",
                "boolean",
                "Whether it is the witness: a store and no region",
            ),
            (
                "is_configured",
                "boolean",
                "Whether the answering agent's configuration has it",
            ),
            (
                "vote",
                "string",
                "counts; joining: a member whose acceptor lost its state or was not heard yet; \
                    none",
            ),
            (
                "acceptor",
                "string?",
                "The incarnation of its acceptor whose votes count; null without one",
            ),
            (
                "agents_alive",
                "integer",
                "Agents of it that live, as far as the answering agent knows",
            ),
            ("share", "number", "Its share of the traffic, 0 to 1"),
        ],
    ),
    (
        "FailoverHistory",
        "The committed plans that an agent saw",
        &[
            (
                "answered_by",
                "string",
                "The agent whose memory this is, region/name",
            ),
            ("plans", "[PastPlan]", "Oldest first; at most 1000"),
        ],
    ),
    (
        "PastPlan",
        "A plan that was",
        &[
            ("seen_ms", "time", "When the agent learned of it"),
            ("plan", "Plan", "The plan"),
        ],
    ),
    (
        "RegionExplanation",
        "Who saw what of a region, and why it stands where it does",
        &[
            (
                "answered_by",
                "string",
                "The agent that answers, region/name",
            ),
            ("answered_ms", "time", "When, its clock"),
            (
                "region",
                "Region",
                "Verdict, votes, observations, its part of the plan",
            ),
            (
                "own_reports",
                "[OwnReport]",
                "What its own agents report of it",
            ),
            (
                "thresholds",
                "[string]",
                "What observers judge it by, as configured, in words",
            ),
            ("traffic_state", "string", "Where it stands, in words"),
            (
                "overrides",
                "[string]",
                "What operators ordered that matters for it",
            ),
            (
                "guards",
                "[string]",
                "What the guards did or would do about it",
            ),
            (
                "cool_down",
                "[string]",
                "Each condition of its gate; empty unless it is in it",
            ),
            (
                "ramp",
                "[string]",
                "Each condition of its ramp step; empty unless it is on the ramp",
            ),
            (
                "reasons",
                "[PastReason]",
                "The last plans that say something of it, oldest first",
            ),
        ],
    ),
    (
        "OwnReport",
        "What an agent reports of its own region",
        &[
            ("agent", "string", "region/name"),
            (
                "condition",
                "condition?",
                "What it reports; null: it says nothing yet",
            ),
            (
                "address",
                "string?",
                "The one address that it speaks for; null: for the region as a whole",
            ),
            ("age_ms", "age", "How long ago the answering agent heard it"),
        ],
    ),
    (
        "PastReason",
        "Why a plan was made",
        &[
            (
                "seen_ms",
                "time",
                "When the answering agent learned of the plan",
            ),
            ("seq", "integer", "Its number"),
            ("reason", "string", "Why it differed from the one before"),
        ],
    ),
    (
        "WhatIf",
        "The plan that would be made; nothing was changed",
        &[
            (
                "would_change",
                "boolean",
                "Whether another plan would be made at all",
            ),
            ("reason", "string", "Why it would differ"),
            (
                "limited",
                "[string]",
                "Regions that would keep a part of their share although they look failed",
            ),
            (
                "shortfall",
                "Shortfall?",
                "What could not be moved for want of capacity; null if all could",
            ),
            ("regions", "[PlannedRegion]", "Every region's part of it"),
            (
                "before",
                "[PlannedRegion]",
                "Every region's part of the plan that stands",
            ),
        ],
    ),
    (
        "PlannedRegion",
        "One region's part of the plan",
        &[
            ("region", "string", "The region"),
            (
                "weight_bp",
                "integer",
                "Its weight, basis points of a full share",
            ),
            ("share", "number", "Its share of the traffic, 0 to 1"),
            (
                "traffic_state",
                "string",
                "serving, reduced, limited, out, gated or ramping",
            ),
            (
                "since_ms",
                "time?",
                "Since when; null while it serves or is reduced",
            ),
            (
                "ramp_percent",
                "integer?",
                "While ramping: the step's percentage",
            ),
            ("addresses", "[string]", "What DNS answers for it"),
            ("flaps", "integer", "How often it failed lately"),
            (
                "failed_ms",
                "time?",
                "When it last failed; null if it never did",
            ),
        ],
    ),
    (
        "Ballot",
        "A right to propose plans",
        &[
            ("number", "integer", "Its number"),
            ("agent", "string", "Whose it is"),
        ],
    ),
    (
        "Leader",
        "The leader",
        &[
            ("agent", "string", "The leading agent"),
            ("ballot", "integer", "Its ballot's number"),
        ],
    ),
    (
        "Regions",
        "Every region",
        &[("regions", "[Region]", "Every region of the configuration")],
    ),
    (
        "Region",
        "One region",
        &[
            ("region", "string", "Its name"),
            ("cloud", "string", "The cloud that it is in"),
            (
                "endpoint",
                "string",
                "host:port where its agents are reached",
            ),
            (
                "serving_url",
                "string",
                "Where its models are served; what observers probe",
            ),
            ("verdict", "condition", "The verdict on it"),
            (
                "verdict_since_ms",
                "time",
                "Since when; 0 while nothing is known",
            ),
            ("verdict_reason", "string", "Why"),
            ("votes", "[Vote]", "What each observing region says"),
            (
                "observations",
                "[Observation]",
                "What each observing agent saw last",
            ),
            (
                "weight_bp",
                "integer",
                "Its weight in the plan, basis points of a full share",
            ),
            ("share", "number", "Its share of the traffic, 0 to 1"),
            (
                "traffic_state",
                "string",
                "serving, reduced, limited, out, gated, ramping; unplanned before the first plan; \
                    not a member: of the register",
            ),
            (
                "ramp_percent",
                "integer?",
                "While ramping: the step's percentage",
            ),
            (
                "ramp_starts_ms",
                "time?",
                "While it cools down: when its ramp begins at the earliest",
            ),
            (
                "full_share_ms",
                "time?",
                "On its way back: when it has its full share at the earliest",
            ),
            ("addresses", "[string]", "What DNS answers for it"),
            (
                "address_verdicts",
                "[AddressVerdict]",
                "The verdict on each of its addresses",
            ),
            ("flaps", "integer", "How often it failed lately"),
            (
                "load_rps",
                "integer?",
                "What it serves, requests per second; null where nobody measures",
            ),
            (
                "capacity_rps",
                "integer?",
                "What it can serve at most, requests per second, as plans reckon; null: nothing \
                    known",
            ),
            (
                "measured_capacity_rps",
                "integer?",
                "The same by measurement, whether or not that counts",
            ),
        ],
    ),
    (
        "Vote",
        "What one observing region says",
        &[
            ("region", "string", "The observing region"),
            ("condition", "condition", "What it concludes"),
        ],
    ),
    (
        "Observation",
        "What one observing agent saw of a region's endpoint",
        &[
            ("observer", "string", "The observing agent"),
            ("condition", "condition", "What it concludes"),
            ("evidence", "string", "Its last probe in words"),
            ("since_ms", "time", "Since when it concludes so, its clock"),
            (
                "round_trip_us",
                "integer?",
                "Time of its last successful probe, microseconds",
            ),
            (
                "addresses",
                "[AddressSeen]",
                "What it saw of each address; empty while it abstains",
            ),
            ("age_ms", "age", "How long ago the answering agent heard it"),
        ],
    ),
    (
        "Agent",
        "One agent",
        &[
            ("agent", "string", "region/name"),
            ("alive", "boolean", "Whether the others hold it for alive"),
            ("version", "string", "Version of its binary"),
            ("uptime_ms", "age", "How long it runs; 0 once it is gone"),
            ("api_url", "string", "Where its API answers"),
            ("cloud", "string", "The cloud that it is in"),
            (
                "round_trip_us",
                "integer?",
                "Round trip from the answering agent, microseconds; null without a direct \
                    connection",
            ),
            (
                "age_ms",
                "age",
                "How long ago the answering agent last heard news of it",
            ),
            (
                "serving_ready",
                "boolean",
                "Whether it serves every model that it should",
            ),
            (
                "requests_total",
                "integer",
                "Inferences that it answered since it started",
            ),
            ("holdings", "Holdings", "What its region holds, as it says"),
            (
                "status_ages_ms",
                "{age}",
                "How long ago the answering agent heard each of its facts, by the fact's name",
            ),
            ("links", "[Link]", "Whom it is connected to, as it says"),
            (
                "unreachable",
                "[string]",
                "Regions that it has no connection to, as it says",
            ),
        ],
    ),
    (
        "AddressVerdict",
        "The verdict on one address of a region",
        &[
            ("address", "string", "The address"),
            ("verdict", "condition", "The verdict on it"),
            ("since_ms", "time", "Since when"),
            ("reason", "string", "Why"),
            ("answered", "boolean", "Whether DNS answers it"),
        ],
    ),
    (
        "AddressSeen",
        "What one observer saw of one address",
        &[
            (
                "address",
                "string?",
                "The address; null where the endpoint is probed by its name",
            ),
            ("condition", "condition", "What the observer concludes"),
            (
                "evidence",
                "string",
                "Its last probe in words, and why it is gray if it is",
            ),
            ("since_ms", "time", "Since when it concludes so, its clock"),
            (
                "probed_ms",
                "integer",
                "When it probed last, its clock; 0 if never",
            ),
            (
                "round_trip_us",
                "integer?",
                "Time of its last successful probe, microseconds",
            ),
            (
                "quantile_us",
                "integer?",
                "health.gray.quantile_percent of recent probes took at most this, microseconds",
            ),
            (
                "error_bp",
                "integer?",
                "Part of recent probes that failed, basis points",
            ),
            (
                "inference",
                "boolean?",
                "Whether the last synthetic inference passed",
            ),
        ],
    ),
    (
        "Link",
        "One connection",
        &[
            ("agent", "string", "The agent at the other end"),
            (
                "round_trip_us",
                "integer",
                "Smoothed round-trip time, microseconds",
            ),
        ],
    ),
    (
        "Holdings",
        "What a region holds, in numbers",
        &[
            ("versions", "integer", "Versions held"),
            (
                "missing",
                "integer",
                "Versions known from peers that it lacks",
            ),
            (
                "lag_ms",
                "age",
                "How long the oldest of them, or an unknown catalogue, has been missing",
            ),
            (
                "unknown",
                "[string]",
                "Living regions of which it is not known what they hold",
            ),
        ],
    ),
    (
        "Done",
        "It was done",
        &[("done", "string", "What was done")],
    ),
    (
        "Healthz",
        "How the actors do",
        &[
            (
                "healthy",
                "boolean",
                "Whether restarting the process would not help",
            ),
            ("actors", "{Actor}", "Every actor by its name"),
        ],
    ),
    (
        "Actor",
        "One actor",
        &[
            ("running", "boolean", "Whether it runs now"),
            ("restarts", "integer", "How often it was started again"),
            ("last_error", "string?", "Why it last ended"),
        ],
    ),
    (
        "Readyz",
        "Whether the agent can answer for the mesh",
        &[
            ("ready", "boolean", "Whether every check holds"),
            (
                "checks",
                "{string}",
                "actors, gossip, mesh, plan, store, catalogues, stopping: ok, or what is wrong",
            ),
        ],
    ),
    (
        "Verdict",
        "The verdict on a region",
        &[
            ("region", "string", "The region"),
            ("verdict", "condition", "The verdict"),
            ("reason", "string", "Why"),
        ],
    ),
    (
        "Error",
        "Why a request was not carried out",
        &[
            ("error", "string", "What was wrong"),
            ("hint", "string~", "What to do"),
            (
                "code",
                "string~",
                "A word for programs, where errors of one status are to be told apart",
            ),
        ],
    ),
    (
        "EventList",
        "What an agent noticed",
        &[
            (
                "answered_by",
                "string",
                "The agent that answers, region/name",
            ),
            ("next", "string", "Give it as `since` to go on from here"),
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
                "Tells it from all others; the same from whichever agent it comes",
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
            ("fields", "{string}", "The particulars, for programs"),
            (
                "reported_by",
                "string?",
                "The only agent that can know of it, region/name; null where every agent does",
            ),
        ],
    ),
    (
        "AlertList",
        "What is the case and somebody should know",
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
        "A condition that holds for a while",
        &[
            (
                "labels",
                "{string}",
                "What tells it from others, as Alertmanager gets it",
            ),
            ("summary", "string", "In one sentence"),
            ("description", "string", "The particulars"),
            (
                "state",
                "string",
                "firing, or ended within the last five minutes",
            ),
            ("starts_ms", "time", "Since when it holds"),
            (
                "ended_ms",
                "time?",
                "Since when it does not hold any more; null while it holds",
            ),
        ],
    ),
];

const PLAN_BRIEF: &[Field] = &[
    ("seq", "integer", "Its number, counted over all leaders"),
    ("ballot", "Ballot", "The ballot that it was committed under"),
    ("reason", "string", "Why it differs from the one before"),
    ("made_ms", "time", "When it was made, its leader's clock"),
    (
        "age_ms",
        "age",
        "How long ago that is by the answering agent's clock",
    ),
    traffic::ALL_FAILED,
    traffic::YIELDED,
];

/// `#/components/schemas`.
pub(super) fn schemas() -> Value {
    let mut all = Map::new();
    for (name, about, fields) in OBJECTS
        .iter()
        .chain(REQUESTS)
        .chain(traffic::OBJECTS)
        .chain(models::OBJECTS)
        .chain(cost::OBJECTS)
    {
        let properties: Map<String, Value> = fields
            .iter()
            .map(|(name, kind, meaning)| ((*name).into(), property(kind, meaning)))
            .collect();
        let required: Vec<_> = fields
            .iter()
            .filter(|(_, kind, _)| !kind.ends_with('~'))
            .map(|(name, ..)| *name)
            .collect();

        let object = json!({
            "type": "object",
            "description": about,
            "properties": properties,
            "required": required,
            "additionalProperties": false,
        });

        all.insert((*name).into(), object);
    }

    all.insert(
        "OpenApi".into(),
        json!({ "type": "object", "description": "An OpenAPI 3.1 document" }),
    );

    Value::Object(all)
}

fn property(kind: &str, meaning: &str) -> Value {
    let kind = kind.trim_end_matches('~');
    let mut schema = match kind.strip_suffix('?') {
        Some(kind) => json!({ "anyOf": [of(kind), { "type": "null" }] }),
        None => of(kind),
    };

    schema["description"] = meaning.into();
    schema
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_a_field_is_known() {
        for (name, _, fields) in OBJECTS.iter().chain(REQUESTS) {
            for (field, kind, _) in *fields {
                let schema = of(kind.trim_end_matches(['?', '~']));
                assert!(
                    schema != json!({}),
                    "{name}.{field} is of the kind {kind}, which there is not"
                );
            }
        }
    }

    #[test]
    fn every_reference_leads_to_an_object() {
        let all = schemas();
        for (_, _, fields) in OBJECTS
            .iter()
            .chain(REQUESTS)
            .chain(traffic::OBJECTS)
            .chain(models::OBJECTS)
            .chain(cost::OBJECTS)
        {
            for (field, kind, _) in *fields {
                let kind = kind.trim_matches(['[', ']', '{', '}', '?', '~']);
                if kind.starts_with(char::is_uppercase) {
                    assert!(
                        all[kind].is_object(),
                        "{field} is of type {kind}, which there is not"
                    );
                }
            }
        }
    }
}
