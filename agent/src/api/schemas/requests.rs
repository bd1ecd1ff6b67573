//! What the bodies of requests consist of. Lengths and patterns: [`super::rules`].

use super::object::{Field, Object};

const BY: Field = (
    "by",
    "author",
    "The author of the order; optional if the token has a name, which takes precedence",
);
const WHY: Field = ("why", "why~", "Why");
const FORCE: Field = (
    "force",
    "boolean~",
    "Replace another operator's order; drain the last region that can serve in name only",
);
const IMMEDIATE: Field = (
    "immediate",
    "boolean~",
    "Promote a region that is out without cool-down and ramp",
);
const FOR: Field = (
    "for_ms",
    "for-ms?~",
    "For how long, milliseconds; at most 30 days; an hour if not given",
);

pub(crate) const REQUESTS: &[Object] = &[
    (
        "OrderBody",
        "An operator's order for a region or the whole mesh",
        &[
            (
                "region",
                "region?~",
                "The region; without it the whole mesh",
            ),
            BY,
            WHY,
            FOR,
            FORCE,
            IMMEDIATE,
        ],
    ),
    (
        "RegionOrderBody",
        "An operator's order for a region",
        &[
            ("region", "region", "The region"),
            BY,
            WHY,
            FOR,
            FORCE,
            IMMEDIATE,
        ],
    ),
    (
        "MemberBody",
        "A member to add or to remove",
        &[
            ("region", "region", "The region, or witness"),
            BY,
            WHY,
            (
                "force",
                "boolean~",
                "Even if it has traffic (remove), or if automatic failover is refused \
                    afterwards",
            ),
        ],
    ),
    (
        "NewNameBody",
        "A member to rename",
        &[
            ("region", "region", "The region"),
            ("to", "region", "Its new name"),
            BY,
            WHY,
        ],
    ),
    (
        "Assumptions",
        "Verdicts to assume",
        &[(
            "assume",
            "assumed~",
            "The verdict that is to be assumed of each region named",
        )],
    ),
    (
        "BeginUpload",
        "The description of a version, sent before its files",
        &[
            ("publisher", "text~", "Who publishes"),
            ("metadata", "metadata~", "Arbitrary key/value pairs"),
        ],
    ),
    (
        "Promote",
        "An alias to set",
        &[
            (
                "alias",
                "new-version",
                "The alias that will name the version",
            ),
            ("by", "text~", "Who promotes"),
            (
                "force",
                "boolean~",
                "Even if no majority of regions can serve the version",
            ),
            (
                "wait_ms",
                "promotion-wait~",
                "How long to wait until a majority can, milliseconds; 0 if not given",
            ),
        ],
    ),
];
