//! What an agent keeps about others and about what is under way.

use crate::mesh::node::Ticket;
use regionmesh_protocol::{
    codec,
    identity::{AgentId, RegionName},
    plan::{CommittedPlan, PlanAge},
    register::{
        ballot::{Ballot, Stamp},
        members::Incarnation,
    },
    status::condition::Condition,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc};

/// What the answer to a question is for.
#[derive(Debug)]
pub(super) enum Waiting {
    Exchange(AgentId),
    /// For our proposer.
    Acceptor(RegionName),
    Vote(RegionName, Ballot),
    /// The witness's state stands for its vote.
    WitnessVote(RegionName, Ballot),
    /// A peer asked our acceptor.
    Peer(Ticket, Option<Ballot>),
    /// The leader has our operator's order.
    Order(Ticket),
}

/// Who gave an order.
#[derive(Debug, Clone, Copy)]
pub(super) enum Asker {
    Operator(Ticket),
    Peer(Ticket),
}

/// An acceptor that joins.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) region: RegionName,
    pub(super) asker: Option<Asker>,
    pub(super) joined: Option<Incarnation>,
    pub(super) failed_ms: Option<u64>,
}

/// One agent's status.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Status {
    pub(super) leading: Option<Ballot>,
    pub(super) highest: Option<Ballot>,
    /// The last plan that it knows to be committed.
    pub(super) stamp: Option<Stamp>,
    /// That plan, unless the receiver is known to have it.
    pub(super) plan: Option<CommittedPlan>,
    pub(super) age: Option<PlanAge>,
    pub(super) opinions: BTreeMap<RegionName, Condition>,
}

/// A peer's status, and when it came.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) status: Status,
    pub(super) at_ms: u64,
}

impl Status {
    pub(super) fn encode(&self) -> Option<Arc<[u8]>> {
        codec::encode(self).ok().map(Arc::from)
    }
}
