//! The register: one value that a majority of regions agrees on (CASPaxos, Rystsov 2018).

use crate::{
    identity::{AgentId, RegionName},
    plan::Plan,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// A right to propose. Ordered by number; the rest makes two candidates' ballots differ.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Ballot {
    /// At most one above the highest seen.
    pub number: u64,
    /// Who proposes.
    pub agent: AgentId,
    /// Drawn at the agent's start, so that a restarted agent never repeats a ballot.
    pub boot: u64,
}

/// A value's place in the order of values: the leader's ballot, then the value's number under it.
///
/// A leader commits many values under one ballot (its promises stay good until a higher ballot takes them); `seq`
/// grows by one with each value and across leaders, so `(ballot, seq)` is what CASPaxos calls a ballot: no two
/// values ever share it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Stamp {
    /// The leader's ballot.
    pub ballot: Ballot,
    /// The value's number, counted from 1 over all leaders.
    pub seq: u64,
}

/// What the register holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisterValue {
    /// The acceptors that decide about the *next* value: region names, and `witness` where there is one.
    pub members: BTreeSet<RegionName>,
    /// The plan.
    pub plan: Plan,
}

/// What an acceptor keeps in its region's store.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcceptorState {
    /// No lower ballot is answered any more.
    pub promised: Option<Ballot>,
    /// The last value accepted.
    pub accepted: Option<(Stamp, RegisterValue)>,
}

/// What a proposer asks of an acceptor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum AcceptorRequest {
    /// Promise this ballot and tell what was accepted.
    Prepare(Ballot),
    /// Accept this value, unless a higher ballot was promised or a later stamp accepted.
    Accept(Stamp, RegisterValue),
    /// Tell what is promised and accepted; changes nothing.
    Read,
}

/// What an acceptor answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum AcceptorReply {
    /// The ballot is promised; here is what was accepted before.
    Promised {
        /// The ballot promised.
        ballot: Ballot,
        /// The last value accepted, if any.
        accepted: Option<(Stamp, RegisterValue)>,
    },
    /// The value is accepted and durable.
    Accepted(Stamp),
    /// Refused: a higher ballot was promised, or a later stamp accepted.
    Refused {
        /// The ballot that outranks the request's.
        promised: Ballot,
    },
    /// The answer to [`AcceptorRequest::Read`].
    State(AcceptorState),
}
