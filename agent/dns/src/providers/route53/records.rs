//! The subset of Route 53's record sets that we write. Pure.

use serde::Serialize;
use std::fmt;

/// One record set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct RecordSet {
    /// Its name: lower case, with a dot at the end.
    pub(crate) name: String,
    /// `A`, `AAAA`, `TXT`, ...
    #[serde(rename = "type")]
    pub(crate) record_type: String,
    /// How it is chosen among sets of the same name and type.
    pub(crate) routing: Routing,
    /// Time to live, seconds; none for an alias.
    pub(crate) ttl_s: Option<u32>,
    /// Its values, as in a zone file: texts in quotes.
    pub(crate) values: Vec<String>,
    /// The health check that decides whether it is answered.
    pub(crate) health_check: Option<String>,
    /// Whether it has parts that we never write (an alias target, a location): then it can't be
    /// matched exactly, and so not be deleted.
    #[serde(skip)]
    pub(crate) has_other_parts: bool,
}

/// How a record set is chosen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "policy")]
pub(crate) enum Routing {
    /// It is the only one.
    Simple,
    /// By weight.
    Weighted {
        /// Set identifier.
        id: String,
        /// 0 to 255.
        weight: u8,
    },
    /// The primary while it is healthy, else the secondary.
    Failover {
        /// Set identifier.
        id: String,
        /// Whether it is the primary.
        is_primary: bool,
    },
    /// The one whose region is nearest to the client.
    Latency {
        /// Set identifier.
        id: String,
        /// AWS region.
        region: String,
    },
    /// A policy that we never write.
    Other {
        /// Set identifier.
        id: String,
    },
}

impl Routing {
    /// The set identifier; none for a simple record set.
    pub(crate) fn identifier(&self) -> Option<&str> {
        match self {
            Self::Simple => None,
            Self::Weighted { id, .. }
            | Self::Failover { id, .. }
            | Self::Latency { id, .. }
            | Self::Other { id } => Some(id),
        }
    }

    /// Whether sets of both policies may share a name and a type.
    pub(crate) fn is_same_policy(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
            && !matches!(self, Self::Simple)
    }

    /// Whether both can't coexist although the policies agree: two primaries, or one AWS region
    /// twice.
    pub(crate) fn takes_the_place_of(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::Failover {
                    is_primary: one, ..
                },
                Self::Failover {
                    is_primary: two, ..
                },
            ) => one == two,
            (Self::Latency { region: one, .. }, Self::Latency { region: two, .. }) => one == two,
            _ => false,
        }
    }

    /// Whether a set can become the other in place: only its weight differs.
    pub(crate) fn differs_by_weight_at_most(&self, other: &Self) -> bool {
        self == other
            || matches!(
                (self, other),
                (Self::Weighted { id: one, .. }, Self::Weighted { id: two, .. }) if one == two
            )
    }
}

impl fmt::Display for Routing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Simple => f.write_str("simple"),
            Self::Weighted { weight, .. } => write!(f, "weight {weight}"),
            Self::Failover {
                is_primary: true, ..
            } => f.write_str("primary"),
            Self::Failover {
                is_primary: false, ..
            } => f.write_str("secondary"),
            Self::Latency { region, .. } => write!(f, "latency {region}"),
            Self::Other { .. } => f.write_str("another policy"),
        }
    }
}

impl RecordSet {
    /// The key that identifies it in its zone.
    pub(crate) fn key(&self) -> (&str, &str, Option<&str>) {
        (&self.name, &self.record_type, self.routing.identifier())
    }

    /// Whether both have the same content; the order of values does not matter.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let sorted = |set: &Self| {
            let mut values = set.values.clone();
            values.sort_unstable();
            values
        };

        self.key() == other.key()
            && self.routing == other.routing
            && self.ttl_s == other.ttl_s
            && self.health_check == other.health_check
            && self.has_other_parts == other.has_other_parts
            && sorted(self) == sorted(other)
    }

    /// Its content as one readable line, without name, type and identifier.
    pub(crate) fn content(&self) -> String {
        let mut text = format!("{} → {}", self.routing, self.values.join(" "));
        if self.has_other_parts {
            text += " (with an alias target, a location or another part that is not RegionMesh's)";
        }
        if let Some(ttl_s) = self.ttl_s {
            text += &format!(", TTL {ttl_s}");
        }
        if let Some(check) = &self.health_check {
            text += &format!(", health check {check}");
        }

        text
    }
}

impl fmt::Display for RecordSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.record_type)?;
        self.routing
            .identifier()
            .map_or(Ok(()), |id| write!(f, " [{id}]"))
    }
}
