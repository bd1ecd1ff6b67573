//! What happened, for logs and metrics.

use super::proposer::{NoJoin, StepDown};
use crate::planning::judging::Objection;
use regionmesh_protocol::{
    identity::RegionName,
    plan::Order,
    register::{
        ballot::{Ballot, Stamp},
        members::{Incarnation, MemberChange},
    },
};
use std::{net::IpAddr, time::Duration};

/// Something to log or to count.
#[derive(Debug, Clone, PartialEq)]
pub enum Notice {
    Election(ElectionNotice),
    Register(RegisterNotice),
    Order(OrderNotice),
    Plan(PlanNotice),
    /// This machine's clock was set, by this many milliseconds; negative: back.
    ClockSet(i64),
    /// How far this machine's clock is ahead of the majority's, milliseconds.
    ClockAhead(i64),
    /// The plan's times are shifted by this many milliseconds to match our clock.
    PlanShifted(i64),
    /// While the plan is frozen, DNS leaves out this region or answers it.
    LeftOut {
        region: RegionName,
        is_left_out: bool,
        /// Whether that changed.
        is_news: bool,
    },
}

/// Elections, and who leads.
#[derive(Debug, Clone, PartialEq)]
pub enum ElectionNotice {
    /// This agent gave its vote, or refused it.
    VoteAsked {
        ballot: Ballot,
        is_granted: bool,
        reason: String,
    },
    /// A region refused its vote.
    VoteRefused {
        from: RegionName,
        ballot: Ballot,
        reason: String,
    },
    /// A region could not be asked.
    NoVote {
        from: RegionName,
        ballot: Ballot,
        error: String,
    },
    AskingForVotes(Ballot),
    Campaigning(Ballot),
    CannotCampaign(String),
    Elected(Ballot),
    SteppedDown {
        ballot: Ballot,
        reason: StepDown,
    },
    /// The highest ballot known.
    Highest(Option<Ballot>),
}

/// Acceptors and members of the register.
#[derive(Debug, Clone, PartialEq)]
pub enum RegisterNotice {
    /// An acceptor did not answer.
    Silent {
        from: RegionName,
        error: String,
    },
    /// A proposal of this leader is committed.
    Committed {
        stamp: Stamp,
        reason: String,
        /// Time since it was proposed.
        duration: Option<Duration>,
    },
    NotProposed(String),
    /// This agent does not let its region's acceptor accept a leader's plan.
    Objected {
        stamp: Box<Stamp>,
        objection: Objection,
    },
    /// The agent of an acceptor objects to this leader's plan.
    Unjustified {
        from: RegionName,
        stamp: Box<Stamp>,
        why: String,
    },
    /// This leader's plan was given up after objections; another one is made.
    Dropped(Stamp),
    /// A value found in promises was passed over after objections.
    PassedOver(Stamp),
    /// The plan is committed again for newer signatures.
    Renewing(Stamp),
    NotRenewed(String),
    /// An acceptor has caught up and can become a member.
    CaughtUp {
        region: RegionName,
        incarnation: Incarnation,
    },
    /// A member without a vote could not join.
    NotJoined {
        region: RegionName,
        why: NoJoin,
    },
    /// The acceptor of this region lost its state.
    LostState(RegionName),
    /// This change is proposed.
    Changing(MemberChange),
    NotChanged(String),
    /// A new plan has other members than the one before.
    Members {
        members: Vec<RegionName>,
        without_vote: Vec<RegionName>,
    },
    /// They are not those of the configuration.
    NotAsConfigured {
        members: Vec<RegionName>,
        configured: Vec<RegionName>,
    },
    /// The number of members is even.
    Even(usize),
    /// Why automatic failover is refused.
    NotAutomatic(String),
}

/// Operators' orders.
#[derive(Debug, Clone, PartialEq)]
pub enum OrderNotice {
    Received(Box<Order>),
    /// Refused, and why.
    Refused(String),
    /// Answered with this outcome.
    Ended(OrderOutcome),
}

/// How an order ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum OrderOutcome {
    Committed,
    /// Before it was proposed.
    Refused,
    /// It was proposed; what became of it is not known.
    Unknown,
}

/// Plans of other agents, and what is known of this agent's own.
#[derive(Debug, Clone, PartialEq)]
pub enum PlanNotice {
    /// Learned from another agent.
    Adopted { stamp: Stamp, reason: String },
    /// No other region confirmed the plan within this time; it is used.
    Unconfirmed(Duration),
    /// The plan from the disk was never committed.
    Withdrawn { stamp: Stamp, reason: String },
    /// The plan from the disk has neither a valid certificate nor this agent's signature.
    Unproven(Stamp),
    /// The plan names addresses, or with none a region, that the configuration does not have.
    UnknownAddress {
        region: RegionName,
        addresses: Vec<IpAddr>,
        stamp: Stamp,
    },
    /// Why no traffic is moved for cost.
    NoCostShift(String),
}

impl From<ElectionNotice> for Notice {
    fn from(notice: ElectionNotice) -> Self {
        Self::Election(notice)
    }
}

impl From<RegisterNotice> for Notice {
    fn from(notice: RegisterNotice) -> Self {
        Self::Register(notice)
    }
}

impl From<OrderNotice> for Notice {
    fn from(notice: OrderNotice) -> Self {
        Self::Order(notice)
    }
}

impl From<PlanNotice> for Notice {
    fn from(notice: PlanNotice) -> Self {
        Self::Plan(notice)
    }
}
