//! What operators order of the register's members.

use crate::{
    identity::{AgentId, RegionName},
    register::members::MembersError,
};
use serde::{Deserialize, Serialize};

/// What is to become of a member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MemberOrder {
    /// It becomes a member, once its acceptor has caught up.
    Add {
        /// Also if automatic failover is refused from then on.
        force: bool,
    },
    /// It is a member no longer; whether it can be reached is of no matter.
    Remove {
        /// Also with traffic on it, and if automatic failover is refused from then on.
        force: bool,
    },
    /// It has another name from now on.
    Rename { to: RegionName },
}

/// Why the members can't be changed so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum MemberOrderError {
    /// The members themselves do not allow it.
    #[error(transparent)]
    Members(#[from] MembersError),
    /// No region was named.
    #[error("a change of members needs the name of a region or of the witness")]
    NoName,
    /// Not an order about overrides.
    #[error("a change of members is not an override")]
    NoOverride,
    /// The leader knows no way to it.
    #[error(
        "{region} is not in the configuration of the leader, {leader}; add it to `regions` in every \
         agent's file (or `[witness]`, if it is the witness), restart the agents one by one, then \
         retry"
    )]
    NotConfigured { region: RegionName, leader: AgentId },
    /// Users are there.
    #[error(
        "{region} has {percent} % of the traffic; drain it first, or --force: its users are moved \
         at once"
    )]
    HasTraffic { region: RegionName, percent: u8 },
    /// Too few would decide.
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
    /// The acceptor is another register's.
    #[error("{region} can't join: {why}")]
    Votes {
        region: RegionName,
        /// What it votes in.
        why: String,
    },
}
