//! Callers that wait for a reply.

use ractor::RpcReplyPort;
use regionmesh_core::{Ticket, planning::judging::Objection};
use regionmesh_protocol::{
    plan::CommittedPlan, register::prevote::PreVoteReply, wire::OrderRefusal,
};
use std::collections::BTreeMap;

/// The outcome of an order.
type Ordered = Result<CommittedPlan, OrderRefusal>;

/// What there is against a plan.
type Judged = Result<(), Objection>;

/// Where replies go, by ticket.
#[derive(Default)]
pub(super) struct Replies {
    last: u64,
    exchanges: BTreeMap<Ticket, RpcReplyPort<Vec<u8>>>,
    votes: BTreeMap<Ticket, RpcReplyPort<PreVoteReply>>,
    orders: BTreeMap<Ticket, RpcReplyPort<Ordered>>,
    judgements: BTreeMap<Ticket, RpcReplyPort<Judged>>,
}

impl Replies {
    fn ticket(&mut self) -> Ticket {
        self.last += 1;
        Ticket(self.last)
    }

    pub(super) fn wait_for_exchange(&mut self, reply: RpcReplyPort<Vec<u8>>) -> Ticket {
        let ticket = self.ticket();
        self.exchanges.insert(ticket, reply);
        ticket
    }

    pub(super) fn wait_for_vote(&mut self, reply: RpcReplyPort<PreVoteReply>) -> Ticket {
        let ticket = self.ticket();
        self.votes.insert(ticket, reply);
        ticket
    }

    pub(super) fn wait_for_order(&mut self, reply: RpcReplyPort<Ordered>) -> Ticket {
        let ticket = self.ticket();
        self.orders.insert(ticket, reply);
        ticket
    }

    pub(super) fn wait_for_judgement(&mut self, reply: RpcReplyPort<Judged>) -> Ticket {
        let ticket = self.ticket();
        self.judgements.insert(ticket, reply);
        ticket
    }

    pub(super) fn send_judgement(&mut self, ticket: Ticket, judged: Judged) {
        send(self.judgements.remove(&ticket), judged);
    }

    pub(super) fn send_exchange(&mut self, ticket: Ticket, answer: Vec<u8>) {
        send(self.exchanges.remove(&ticket), answer);
    }

    pub(super) fn send_vote(&mut self, ticket: Ticket, vote: PreVoteReply) {
        send(self.votes.remove(&ticket), vote);
    }

    pub(super) fn send_ordered(&mut self, ticket: Ticket, ordered: Ordered) {
        send(self.orders.remove(&ticket), ordered);
    }
}

fn send<T: Send + 'static>(to: Option<RpcReplyPort<T>>, reply: T) {
    if let Some(to) = to {
        // The caller may have given up.
        let _ = to.send(reply);
    }
}
