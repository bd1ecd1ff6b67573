//! Questions and answers: peers' to this agent, and this agent's to peers and stores.

use super::{
    Agent, Turn,
    types::{Asker, Waiting},
};
use crate::mesh::node::{Answer, NodeEffect, Question, Ticket};
use regionmesh_protocol::{
    identity::AgentId,
    plan::{CommittedPlan, Order},
    register::{
        acceptor::{AcceptorAnswer, AcceptorReply, AcceptorRequest},
        ballot::Ballot,
        prevote::PreVoteReply,
    },
    wire::{OrderRefusal, PeerRefusal, PeerReply, PeerRequest},
};
use std::sync::Arc;

impl Agent {
    pub(super) fn asked(
        &mut self,
        from: AgentId,
        question: Question,
        ticket: Ticket,
        turn: &mut Turn<'_>,
    ) {
        let request = match question {
            Question::Exchange(payload) => {
                self.absorb(from.clone(), &payload, turn);
                if let Some(status) = self.status_for(&from, turn) {
                    self.answer(ticket, Answer::Exchange(status), turn);
                }
                return;
            }
            Question::Request(request) => request,
        };

        match PeerRequest::clone(&request) {
            PeerRequest::Acceptor(request) => self.acceptor_asked(from, request, ticket, turn),
            PeerRequest::PreVote(request) => {
                let view = self.view(turn);
                let vote = self.election.vote(&request, &view, turn.now_ms);
                if request.ballot.number > self.election.known().allowance().number {
                    self.read_acceptors(turn);
                }
                self.reply(ticket, PeerReply::PreVote(vote), turn);
            }
            PeerRequest::Order { order, .. } => self.enqueue(order, Asker::Peer(ticket), turn),
            _ => self.reply(ticket, PeerReply::Failed("not known here".into()), turn),
        }
    }

    fn reply(&self, ticket: Ticket, reply: PeerReply, turn: &mut Turn<'_>) {
        self.answer(ticket, Answer::Reply(Arc::new(reply)), turn);
    }

    fn acceptor_asked(
        &mut self,
        caller: AgentId,
        request: AcceptorRequest,
        ticket: Ticket,
        turn: &mut Turn<'_>,
    ) {
        // A leader repeats its predecessor's value to acceptors that join.
        let is_join = matches!(request, AcceptorRequest::Join(..));
        let ballot = request.ballot().cloned();
        if let Some(ballot) = ballot.clone()
            && ballot.agent != caller
            && !is_join
        {
            let refusal = PeerRefusal::OthersBallot { caller, ballot };
            return self.reply(ticket, PeerReply::Refused(refusal), turn);
        }

        let own = self.wait(Waiting::Peer(ticket, ballot));
        turn.out.push(NodeEffect::Apply {
            ticket: own,
            acceptor: crate::mesh::node::Acceptor::Own,
            request: Box::new(request),
        });
    }

    /// A call to a peer has ended; none: without an answer.
    pub(super) fn call_ended(
        &mut self,
        ticket: Ticket,
        answer: Option<Answer>,
        turn: &mut Turn<'_>,
    ) {
        let Some(waiting) = self.waiting.remove(&ticket) else {
            return;
        };
        let reply = match (&waiting, answer) {
            (Waiting::Exchange(peer), Some(Answer::Exchange(payload))) => {
                return self.absorb(peer.clone(), &payload, turn);
            }
            (_, Some(Answer::Reply(reply))) => Some(PeerReply::clone(&reply)),
            _ => None,
        };

        match (waiting, reply) {
            (Waiting::Acceptor(name), Some(PeerReply::Acceptor(answer))) => {
                self.acceptor_answered(&name, Some(answer), turn);
            }
            (Waiting::Acceptor(name), _) => self.acceptor_answered(&name, None, turn),
            (Waiting::Vote(region, ballot), Some(PeerReply::PreVote(vote))) => {
                self.voted(&region, &ballot, Some(&vote), turn);
            }
            (Waiting::Vote(region, ballot), _) => self.voted(&region, &ballot, None, turn),
            (Waiting::Order(ticket), Some(PeerReply::Order(outcome))) => {
                end_order(ticket, outcome, turn);
            }
            (Waiting::Order(ticket), _) => {
                let why = "the leader did not answer".into();
                end_order(ticket, Err(OrderRefusal::Unknown(why)), turn);
            }
            _ => {}
        }
    }

    /// A request to an acceptor near us has ended; none: its store failed.
    pub(super) fn applied(
        &mut self,
        ticket: Ticket,
        answer: Option<AcceptorAnswer>,
        turn: &mut Turn<'_>,
    ) {
        match self.waiting.remove(&ticket) {
            Some(Waiting::Acceptor(name)) => self.acceptor_answered(&name, answer, turn),
            Some(Waiting::WitnessVote(name, ballot)) => {
                let vote = answer.and_then(|answer| witness_vote(answer.reply, &ballot));
                self.voted(&name, &ballot, vote.as_ref(), turn);
            }
            Some(Waiting::Peer(peer, ballot)) => {
                self.note_asked(answer.as_ref(), ballot.as_ref(), turn);
                let reply = match answer {
                    Some(answer) => PeerReply::Acceptor(answer),
                    None => PeerReply::Failed("the store failed".into()),
                };
                self.reply(peer, reply, turn);
            }
            _ => {}
        }
    }

    /// What a peer's request to our acceptor says about the peer.
    fn note_asked(
        &mut self,
        answer: Option<&AcceptorAnswer>,
        ballot: Option<&Ballot>,
        turn: &mut Turn<'_>,
    ) {
        match answer.map(|answer| &answer.reply) {
            None | Some(AcceptorReply::Refused { .. }) => {}
            Some(AcceptorReply::TooFar(_) | AcceptorReply::Undecided(_)) => {
                self.read_acceptors(turn);
            }
            Some(_) => {
                if let Some(ballot) = ballot {
                    self.election.heard(ballot, turn.now_ms);
                }
            }
        }
    }

    /// An operator gives an order to this agent.
    pub(super) fn ordered_here(&mut self, order: Order, ticket: Ticket, turn: &mut Turn<'_>) {
        if self.proposer.leading().is_some() {
            return self.enqueue(order, Asker::Operator(ticket), turn);
        }
        let Some(leader) = self.known_leader(turn).filter(|leader| leader.is_alive) else {
            let refusal = OrderRefusal::NotNow("no leader is known".into());
            return end_order(ticket, Err(refusal), turn);
        };

        let own = self.wait(Waiting::Order(ticket));
        let request = PeerRequest::Order {
            order,
            hops_left: 0,
        };
        turn.out.push(NodeEffect::Ask {
            to: crate::mesh::node::Peer::Agent(leader.ballot.agent),
            question: Question::Request(Arc::new(request)),
            ticket: own,
            timeout_ms: 10_000,
        });
    }

    /// Tells whoever gave an order how it ended.
    pub(super) fn end_order(
        &self,
        asker: Asker,
        outcome: Result<CommittedPlan, OrderRefusal>,
        turn: &mut Turn<'_>,
    ) {
        match asker {
            Asker::Operator(ticket) => end_order(ticket, outcome, turn),
            Asker::Peer(ticket) => self.reply(ticket, PeerReply::Order(outcome), turn),
        }
    }
}

fn end_order(ticket: Ticket, outcome: Result<CommittedPlan, OrderRefusal>, turn: &mut Turn<'_>) {
    let outcome = Box::new(outcome);
    turn.out.push(NodeEffect::OrderEnded { ticket, outcome });
}

/// A store observes nothing: it shows that it can be reached, and which ballot it promised.
fn witness_vote(reply: AcceptorReply, ballot: &Ballot) -> Option<PreVoteReply> {
    let AcceptorReply::State(state) = reply else {
        return None;
    };
    let highest = state.highest().cloned();
    Some(PreVoteReply {
        is_granted: highest.as_ref() < Some(ballot),
        highest,
        reason: "the witness promised a higher ballot".into(),
    })
}
