//! Objects of the mesh: regions, agents, and what they see of each other.

use super::{object::Object, traffic};

pub(crate) const OBJECTS: &[Object] = &[
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
                "Problems that agents report about themselves, the most urgent first",
            ),
            ("orders", "[Override]", "The operators' orders in force"),
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
    (
        "Leader",
        "The leader",
        &[
            ("agent", "string", "The leading agent"),
            ("ballot", "integer", "Its ballot's number"),
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
                "serving, reduced, limited, out, cooling-down, ramping; unplanned before the first \
                    plan; not a member: of the register",
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
                "What it serves, requests per second; null if it is not measured",
            ),
            (
                "capacity_rps",
                "integer?",
                "What it can serve at most, requests per second, as plans assume; null if \
                    unknown",
            ),
            (
                "measured_capacity_rps",
                "integer?",
                "Its measured capacity, requests per second, whether or not plans use it",
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
        "Agent",
        "One agent",
        &[
            ("agent", "string", "region/name"),
            (
                "alive",
                "boolean",
                "Whether the other agents consider it alive",
            ),
            ("version", "string", "Version of its binary"),
            (
                "uptime_ms",
                "age",
                "How long it has been running; 0 once it is dead",
            ),
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
            (
                "holdings",
                "Holdings",
                "What its region holds, as it reports",
            ),
            (
                "status_ages_ms",
                "{age}",
                "How long ago the answering agent heard each of its status entries, by kind",
            ),
            (
                "links",
                "[Link]",
                "The agents that it is connected to, as it reports",
            ),
            (
                "unreachable",
                "[string]",
                "Regions that it has no connection to, as it reports",
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
                "Live regions whose holdings are not known",
            ),
        ],
    ),
];
