//! Problems: faults of one agent or its surroundings that only that agent can know of, such as an
//! unavailable store or a model that it can't serve. Each agent publishes its own on the status
//! board; the change detector derives events and alerts from them, so that any agent can report the
//! problems of all.

use crate::event::Severity;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::{Display, EnumMessage, IntoStaticStr, VariantArray};

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
#[derive(Display, EnumMessage, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "kebab-case")]
pub enum ProblemKind {
    /// The region's store, or the witness, fails.
    #[strum(message = "the object store is unavailable")]
    StoreUnavailable,
    /// The agent can't learn what other regions hold.
    #[strum(message = "the catalogue of other regions can't be read")]
    CatalogueUnknown,
    /// A model that should be served can't be served.
    #[strum(message = "a model can't be served")]
    ModelUnservable,
    /// A version crashed the process and is not loaded again.
    #[strum(message = "a model version is quarantined because it crashed the server")]
    ModelQuarantined,
    /// The agent's clock differs from the others'.
    #[strum(message = "the clock differs from the rest of the mesh")]
    ClockSkew,
    /// Requests or entries of a peer were refused.
    #[strum(message = "requests of a peer were refused")]
    PeerRefused,
    /// An acceptor of the register claims what no majority can have decided, so its vote does not
    /// count.
    #[strum(message = "an acceptor of the register is damaged or forged and has no vote")]
    AcceptorImplausible,
    /// The plan names a region or an address that is not in the agent's configuration.
    #[strum(message = "the plan names a region or an address that is not in the configuration")]
    PlanAddressUnknown,
}

impl ProblemKind {
    /// Every kind.
    pub const ALL: &'static [Self] = Self::VARIANTS;

    /// The word for it, as in JSON and metric labels.
    pub fn as_str(self) -> &'static str {
        self.into()
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
        self.get_message().unwrap_or_default()
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
