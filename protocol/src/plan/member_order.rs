//! Orders about the register's members.

use crate::{
    identity::{AgentId, RegionName},
    register::members::MembersError,
};
use serde::{Deserialize, Serialize};

/// What an operator orders for a member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MemberOrder {
    /// It becomes a member, once its acceptor has caught up.
    Add {
        /// Even if automatic failover is refused from then on.
        force: bool,
    },
    /// It is no longer a member, whether or not it can be reached.
    Remove {
        /// Even with traffic on it, and if automatic failover is refused from then on.
        force: bool,
    },
    /// It has another name from now on.
    Rename { to: RegionName },
}

/// Why a membership change is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum MemberOrderError {
    /// The rules for members don't allow it.
    #[error(transparent)]
    Members(#[from] MembersError),
    /// No region was named.
    #[error("a change of members needs the name of a region or of the witness")]
    NoName,
    /// Not an order about overrides.
    #[error("a change of members is not an override")]
    NoOverride,
    /// The leader has no configuration for it.
    #[error(
        "{region} is not in the configuration of the leader, {leader}; add it to `regions` in \
         every agent's file (or `[witness]`, if it is the witness), restart the agents one by one, \
         then retry"
    )]
    NotConfigured { region: RegionName, leader: AgentId },
    /// It has traffic.
    #[error(
        "{region} has {percent} % of the traffic; drain it first, or --force: its users are moved \
         at once"
    )]
    HasTraffic { region: RegionName, percent: u8 },
    /// Too few voters would be left.
    #[error(
        "there would be {members} acceptors, but only {answering} of the present voters answer, \
         which is no majority; bring back or remove another member first"
    )]
    NoMajorityLeft {
        /// How many of those that vote now answer.
        answering: usize,
        /// How many there would be.
        members: usize,
    },
    /// Automatic failover would be refused.
    #[error("after this change {0}; use --force to accept that")]
    NotAutomatic(String),
    /// The acceptor belongs to another register.
    #[error("{region} can't join: {why}")]
    Votes {
        region: RegionName,
        /// The register that it votes in.
        why: String,
    },
}
