//! To the core actor.

use ractor::RpcReplyPort;
use regionmesh_core::{agent::Input, gossip, planning::judging::Objection, slots::Proposal};
use regionmesh_protocol::{
    identity::AgentId,
    plan::{CommittedPlan, Order},
    register::prevote::{PreVoteReply, PreVoteRequest},
    status::StatusEntry,
    wire::OrderRefusal,
};

/// To the core actor.
#[derive(Debug)]
pub enum CoreMessage {
    /// Something happened outside, or what the core asked for ended.
    Input(Box<Input>),
    /// A SWIM packet came in; its region's certificate vouches for the sender's region only.
    Datagram { from: AgentId, payload: Vec<u8> },
    /// A peer opened a board exchange; the answer goes back on its stream.
    Exchange {
        /// The peer at the other end of the connection.
        from: AgentId,
        request: Vec<u8>,
        /// Where the answer goes.
        reply: RpcReplyPort<Vec<u8>>,
    },
    /// A candidate asks for our vote.
    PreVote(PreVoteRequest, RpcReplyPort<PreVoteReply>),
    /// An operator's order; answered once it is committed, or can't be.
    Order(
        Box<Order>,
        RpcReplyPort<Result<CommittedPlan, OrderRefusal>>,
    ),
    /// A leader asks our region's acceptor to accept a plan: what is there against it?
    Judge(Box<Proposal>, RpcReplyPort<Result<(), Objection>>),
    /// Its own: something is due.
    Wake,
    /// Its own: this agent wrote to the region's store.
    StoreChanged,
}

impl CoreMessage {
    pub fn input(input: impl Into<Input>) -> Self {
        Self::Input(Box::new(input.into()))
    }

    /// Put this status into our board entry of its kind.
    pub fn publish(status_entry: StatusEntry) -> Self {
        Self::input(gossip::Input::Publish(Box::new(status_entry)))
    }
}

// Local only: nothing is serialised.
impl ractor::Message for CoreMessage {}
