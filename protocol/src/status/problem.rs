//! Problems: faults of one agent or its surroundings that only that agent can know of, such as an
//! unavailable store or a model that it can't serve. Each agent publishes its own on the status
//! board; the change detector derives events and alerts from them, so that any agent can report the
//! problems of all.

use crate::event::Severity;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Most problems that an agent publishes; further ones are omitted.
pub const PROBLEMS_MAX: usize = 32;
/// Longest subject, characters.
pub const SUBJECT_MAX: usize = 200;
/// Longest detail, characters.
pub const DETAIL_MAX: usize = 500;

/// The kinds of problems.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum ProblemKind {
    /// The region's store, or the witness, fails.
    StoreUnavailable,
    /// The agent can't learn what other regions hold.
    CatalogueUnknown,
    /// A model that should be served can't be served.
    ModelUnservable,
    /// A version crashed the process and is not loaded again.
    ModelQuarantined,
    /// The agent's clock differs from the others'.
    ClockSkew,
    /// Requests or entries of a peer were refused.
    PeerRefused,
    /// An acceptor of the register claims what no majority can have decided, so its vote does not
    /// count.
    AcceptorImplausible,
    /// The plan names a region or an address that is not in the agent's configuration.
    PlanAddressUnknown,
}

impl ProblemKind {
    /// Every kind.
    pub const ALL: [Self; 8] = [
        Self::StoreUnavailable,
        Self::CatalogueUnknown,
        Self::ModelUnservable,
        Self::ModelQuarantined,
        Self::ClockSkew,
        Self::PeerRefused,
        Self::AcceptorImplausible,
        Self::PlanAddressUnknown,
    ];

    /// The word for it, as in JSON and metric labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::StoreUnavailable => "store-unavailable",
            Self::CatalogueUnknown => "catalogue-unknown",
            Self::ModelUnservable => "model-unservable",
            Self::ModelQuarantined => "model-quarantined",
            Self::ClockSkew => "clock-skew",
            Self::PeerRefused => "peer-refused",
            Self::AcceptorImplausible => "acceptor-implausible",
            Self::PlanAddressUnknown => "plan-address-unknown",
        }
    }

    /// The name of its alert.
    pub fn alert_name(self) -> &'static str {
        match self {
            Self::StoreUnavailable => "RegionMeshStoreUnavailable",
            Self::CatalogueUnknown => "RegionMeshCatalogueUnknown",
            Self::ModelUnservable => "RegionMeshModelUnservable",
            Self::ModelQuarantined => "RegionMeshModelQuarantined",
            Self::ClockSkew => "RegionMeshClockSkew",
            Self::PeerRefused => "RegionMeshPeerRefused",
            Self::AcceptorImplausible => "RegionMeshAcceptorImplausible",
            Self::PlanAddressUnknown => "RegionMeshPlanAddressUnknown",
        }
    }

    /// How urgent it is.
    pub fn severity(self) -> Severity {
        match self {
            Self::StoreUnavailable
            | Self::CatalogueUnknown
            | Self::ModelUnservable
            | Self::AcceptorImplausible => Severity::Critical,
            Self::ModelQuarantined
            | Self::ClockSkew
            | Self::PeerRefused
            | Self::PlanAddressUnknown => Severity::Warning,
        }
    }

    /// The problem in one clause.
    pub fn summary(self) -> &'static str {
        match self {
            Self::StoreUnavailable => "the object store is unavailable",
            Self::CatalogueUnknown => "the catalogue of other regions can't be read",
            Self::ModelUnservable => "a model can't be served",
            Self::ModelQuarantined => {
                "a model version is quarantined because it crashed the server"
            }
            Self::ClockSkew => "the clock differs from the rest of the mesh",
            Self::PeerRefused => "requests of a peer were refused",
            Self::AcceptorImplausible => {
                "an acceptor of the register is damaged or forged and has no vote"
            }
            Self::PlanAddressUnknown => {
                "the plan names a region or an address that is not in the configuration"
            }
        }
    }
}

impl fmt::Display for ProblemKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One problem of one agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    pub kind: ProblemKind,
    /// What it is about, such as a store or a model version; kind and subject identify the problem.
    pub subject: String,
    /// What was seen, and what to do.
    pub detail: String,
    /// When it began, the agent's clock, Unix milliseconds.
    pub since_ms: u64,
}

#[cfg(test)]
mod tests;
