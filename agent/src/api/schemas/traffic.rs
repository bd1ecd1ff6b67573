//! Objects and fields about traffic that does not go as planned or ordered.

use super::object::{Field, Object};

pub(crate) const FROZEN: Field = (
    "frozen",
    "Frozen?",
    "Why the plan can't change; null if it can",
);
pub(crate) const ALL_FAILED: Field = (
    "all_failed_ms",
    "integer?",
    "Since when every region has been failed, its leader's clock; null while one serves",
);
pub(crate) const YIELDED: Field = (
    "yielded",
    "[Yielded]",
    "Orders without effect: obeying them would leave users on a region that can't serve",
);

pub(crate) const OBJECTS: &[Object] = &[
    (
        "Frozen",
        "Why the plan can't change",
        &[
            (
                "since_ms",
                "time",
                "Since when no leader is known, the answering agent's clock",
            ),
            (
                "reachable",
                "integer",
                "Regions of the register that can be reached, the agent's own included",
            ),
            ("members", "integer", "All of them"),
            (
                "left_out",
                "[string]",
                "Regions that the agent's DNS leaves out, as they refuse its own probes",
            ),
            ("detail", "string", "What is the matter"),
        ],
    ),
    (
        "Yielded",
        "An order without effect",
        &[
            ("order", "string", "The order in words: what, who, why"),
            (
                "region",
                "string",
                "The region that is planned for as if the order did not exist",
            ),
            ("since_ms", "time", "Since when, its leader's clock"),
        ],
    ),
    (
        "RegionVerdict",
        "The verdict on a region",
        &[
            ("region", "string", "The region"),
            ("verdict", "condition", "The verdict"),
            ("since_ms", "time", "Since when; 0 while nothing is known"),
            ("reason", "string", "Why"),
        ],
    ),
];
