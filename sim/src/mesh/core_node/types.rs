//! What an agent waits for.

use crate::mesh::node::Ticket;
use regionmesh_protocol::{
    identity::{AgentId, RegionName},
    register::{acceptor::AcceptorRequest, ballot::Ballot},
};
use std::time::Instant;

/// What the answer to a question is for.
#[derive(Debug)]
pub(super) enum Waiting {
    /// With whom, and since when.
    Exchange(AgentId, Instant),
    /// For our proposer.
    Acceptor(RegionName, Box<AcceptorRequest>),
    /// The acceptor's state for this round.
    Read(RegionName, u64),
    Vote(RegionName, Ballot),
    /// The witness's state stands for its vote.
    WitnessVote(RegionName, Ballot),
    /// A peer asked our acceptor.
    Peer(Ticket, Box<AcceptorRequest>),
    /// The leader has our operator's order.
    Order(Ticket),
}

/// Who gave an order.
#[derive(Debug, Clone, Copy)]
pub(super) enum Asker {
    Operator(Ticket),
    Peer(Ticket),
}
