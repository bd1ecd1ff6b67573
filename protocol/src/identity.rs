//! Names of meshes, regions and agents, and the SPIFFE ID that binds them to a certificate.
//!
//! `spiffe://<mesh>/region/<region>/agent/<agent>` (SPIFFE-ID specification §2). A name is parsed
//! once, at the boundary, and is valid from then on: it is safe in a path, a DNS label, a metric
//! label and a log line.

use serde::{
    Deserialize, Serialize,
    de::{self, Visitor},
};
use std::{fmt, marker::PhantomData, str::FromStr};

/// Longest region or agent name, bytes: a region is a DNS label (RFC 1035 §2.3.4).
pub const NAME_MAX: usize = 63;
/// Longest mesh name (a SPIFFE trust domain), bytes.
pub(crate) const MESH_NAME_MAX: usize = 255;

/// Why a name or SPIFFE ID was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// Empty, too long, or with a character or shape that is not allowed.
    #[error("{kind} name {name:?} is not valid: {why}")]
    Name {
        /// What was being named: mesh, region, agent, model or version.
        kind: &'static str,
        /// The name as given, cut to 80 characters.
        name: String,
        /// The rule that it breaks.
        why: &'static str,
    },
    /// Not of the form `spiffe://<mesh>/region/<region>/agent/<agent>`.
    #[error(
        "{0:?} is not a RegionMesh identity; expected spiffe://<mesh>/region/<region>/agent/<agent>"
    )]
    Spiffe(String),
}

fn check_label(kind: &'static str, name: &str) -> Result<(), IdentityError> {
    let fail = |why| {
        Err(IdentityError::Name {
            kind,
            name: name.chars().take(80).collect(),
            why,
        })
    };

    if name.is_empty() || name.len() > NAME_MAX {
        return fail("must have 1 to 63 characters");
    }

    if !name
        .bytes()
        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    {
        return fail("only a-z, 0-9 and '-' are allowed");
    }

    if name.starts_with('-') || name.ends_with('-') {
        return fail("must not begin or end with '-'");
    }
    Ok(())
}

fn check_mesh(kind: &'static str, name: &str) -> Result<(), IdentityError> {
    if name.len() > MESH_NAME_MAX {
        let name = name.chars().take(80).collect();
        return Err(IdentityError::Name {
            kind,
            name,
            why: "must have at most 255 characters",
        });
    }

    name.split('.')
        .try_for_each(|label| check_label(kind, label))
}

macro_rules! name_type {
    ($(#[$doc:meta])* $type:ident, $kind:literal, $check:path) => {
        $(#[$doc])*
        ///
        /// Names are compared and copied all the time: copies share the text.
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        pub struct $type(std::sync::Arc<str>);

        impl $type {
            /// Parses a name; see the type for what is allowed.
            pub fn new(name: impl Into<String>) -> Result<Self, $crate::identity::IdentityError> {
                name.into().parse()
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl Ord for $type {
            fn cmp(&self, other: &Self) -> std::cmp::Ordering {
                if std::sync::Arc::ptr_eq(&self.0, &other.0) {
                    return std::cmp::Ordering::Equal;
                }
                self.0.cmp(&other.0)
            }
        }

        impl PartialOrd for $type {
            fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
                Some(self.cmp(other))
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::str::FromStr for $type {
            type Err = $crate::identity::IdentityError;
            fn from_str(name: &str) -> Result<Self, Self::Err> {
                $check($kind, name)?;
                Ok(Self(name.into()))
            }
        }

        impl TryFrom<String> for $type {
            type Error = $crate::identity::IdentityError;
            fn try_from(name: String) -> Result<Self, Self::Error> {
                name.parse()
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> String {
                name.as_str().to_owned()
            }
        }

        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_str(&self.0)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                from.deserialize_str($crate::identity::Parse(std::marker::PhantomData))
            }
        }
    };
}

pub(crate) use name_type;

/// Parses a text that is read: as it is, without a copy of its own.
pub(crate) struct Parse<T>(pub(crate) PhantomData<T>);

impl<T: FromStr<Err = IdentityError>> Visitor<'_> for Parse<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<T, E> {
        name.parse().map_err(E::custom)
    }
}

name_type!(
    /// A mesh: a SPIFFE trust domain, dot-separated labels of `a-z0-9-`, for example
    /// `prod.example.org`.
    MeshName, "mesh", check_mesh
);
name_type!(
    /// A region: one label of `a-z0-9-`, for example `us-west-2`.
    RegionName, "region", check_label
);
name_type!(
    /// An agent within its region: one label of `a-z0-9-`, for example `node-3`.
    AgentName, "agent", check_label
);

/// An agent: its region and its name there. Comes from a certificate, never from a claim.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AgentId {
    /// The region that the agent runs in.
    pub region: RegionName,
    /// Its name within the region.
    pub agent: AgentName,
}

impl AgentId {
    /// The SPIFFE ID that this agent's certificate carries in its URI SAN.
    pub fn spiffe_id(&self, mesh: &MeshName) -> String {
        format!(
            "spiffe://{mesh}/region/{}/agent/{}",
            self.region, self.agent
        )
    }
}

impl fmt::Display for AgentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.region, self.agent)
    }
}

impl FromStr for AgentId {
    type Err = IdentityError;
    /// Parses `<region>/<agent>`.
    fn from_str(text: &str) -> Result<Self, IdentityError> {
        let (region, agent) = text
            .split_once('/')
            .ok_or_else(|| IdentityError::Spiffe(text.chars().take(80).collect()))?;
        Ok(Self {
            region: region.parse()?,
            agent: agent.parse()?,
        })
    }
}

/// Reads a SPIFFE ID into the mesh and the agent that it names.
pub fn parse_spiffe_id(uri: &str) -> Result<(MeshName, AgentId), IdentityError> {
    let malformed = || IdentityError::Spiffe(uri.chars().take(160).collect());
    let path = uri.strip_prefix("spiffe://").ok_or_else(malformed)?;
    match path.split('/').collect::<Vec<_>>()[..] {
        [mesh, "region", region, "agent", agent] => Ok((
            mesh.parse()?,
            AgentId {
                region: region.parse()?,
                agent: agent.parse()?,
            },
        )),
        _ => Err(malformed()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
