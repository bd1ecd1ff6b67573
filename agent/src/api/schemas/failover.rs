//! Objects of the plan, orders, and the members of the register.

use super::{
    object::{Field, Object},
    traffic,
};

pub(crate) const OBJECTS: &[Object] = &[
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
            ("overrides", "[Override]", "The operators' orders in force"),
            (
                "shortfall",
                "Shortfall?",
                "Load that could not be moved because capacity is missing; null if all could",
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
                "serving, reduced, limited, out, cooling-down or ramping",
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
        "Override",
        "An order in force",
        &[
            ("region", "string?", "The region; null: the whole mesh"),
            ("kind", "string", "drain, hold or promote"),
            ("by", "string", "Who ordered it, as given"),
            ("why", "string", "Why, as given"),
            (
                "immediate",
                "boolean",
                "Whether a promoted region skips cool-down and ramp",
            ),
            ("set_ms", "time", "When, the answering agent's clock"),
            (
                "expires_ms",
                "time",
                "When it expires, the answering agent's clock",
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
                "Load of the whole mesh that the plan assumes, requests per second",
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
            ("done", "string", "What was done, and its effects"),
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
                "Most regions that automation may take out together",
            ),
            ("taken_out", "[string]", "The regions that it has taken out"),
            (
                "automatic_refused",
                "string?",
                "Why automatic failover is refused; null if it is not",
            ),
            ("plan", "Plan?", "The committed plan; null before the first"),
            (
                "verdicts",
                "[RegionVerdict]",
                "The verdict on every region, whether or not the plan follows it",
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
                "The agent that answers, region/name",
            ),
            ("plans", "[PastPlan]", "Oldest first; at most 1000"),
        ],
    ),
    (
        "PastPlan",
        "A past plan",
        &[
            ("seen_ms", "time", "When the agent learned of it"),
            ("plan", "Plan", "The plan"),
        ],
    ),
    (
        "RegionExplanation",
        "What each observer saw of a region, and why it has its traffic state",
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
            ("traffic_state", "string", "Its traffic state, in words"),
            (
                "overrides",
                "[string]",
                "The operators' orders that affect it",
            ),
            (
                "guards",
                "[string]",
                "What the guards did or would do about it",
            ),
            (
                "cool_down",
                "[string]",
                "Each condition of its cool-down; empty unless it is cooling down",
            ),
            (
                "ramp",
                "[string]",
                "Each condition of its ramp step; empty unless it is ramping",
            ),
            (
                "reasons",
                "[PastReason]",
                "The last plans that mention it, oldest first",
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
                "What it reports; null if it has not reported yet",
            ),
            (
                "address",
                "string?",
                "The address that the report is about; null: the region as a whole",
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
                "Regions that would keep a part of their share although they seem to have failed",
            ),
            (
                "shortfall",
                "Shortfall?",
                "Load that could not be moved because capacity is missing; null if all could",
            ),
            ("regions", "[PlannedRegion]", "Every region's part of it"),
            (
                "before",
                "[PlannedRegion]",
                "Every region's part of the current plan",
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
