//! What the bodies of requests consist of. Lengths and patterns: [`super::rules`].

use super::{Field, Object};

const BY: Field = ("by", "by~", "Who orders");
const WHY: Field = ("why", "why~", "Why");
const FOR: Field = ("for_ms", "for-ms?~", "For how long, milliseconds; at most 30 days; an hour if not given");

/// Every object of requests.
pub(super) const REQUESTS: &[Object] = &[
    (
        "OrderBody",
        "An operator's order for a region or the whole mesh",
        &[("region", "region?~", "The region; without it the whole mesh"), BY, WHY, FOR],
    ),
    ("RegionOrderBody", "An operator's order for a region", &[("region", "region", "The region"), BY, WHY, FOR]),
    (
        "MemberBody",
        "A member to add or to remove",
        &[
            ("region", "region", "The region, or witness"),
            BY,
            WHY,
            ("force", "boolean~", "Also with traffic on it (remove), or if automatic failover is refused from then on"),
        ],
    ),
    (
        "NewNameBody",
        "A member to rename",
        &[("region", "region", "The region"), ("to", "region", "Its new name"), BY, WHY],
    ),
    (
        "Assumptions",
        "Verdicts to assume",
        &[("assume", "assumed~", "The verdict that is to be assumed of each region named")],
    ),
    (
        "BeginUpload",
        "What is said of a version before its files",
        &[("publisher", "text~", "Who publishes"), ("metadata", "metadata~", "Free key/value pairs")],
    ),
    (
        "Promote",
        "An alias to set",
        &[("alias", "new-version", "The alias that shall name the version"), ("by", "text~", "Who promotes")],
    ),
];
