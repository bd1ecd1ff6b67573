//! Questions and answers: peers' to this agent, and this agent's to peers and stores.

use super::{
    CoreNode, Turn,
    types::{Asker, Waiting},
};
use crate::mesh::{
    keys::{Keys, operators_mac},
    node::{Acceptor, Answer, CallError, NodeConfig, NodeEffect, Peer, Question, Ticket},
};
use rand::RngExt;
use regionmesh_core::{
    gossip::{self, ExchangeError},
    leader::{self, certificate, election::witness_vote},
};
use regionmesh_protocol::{
    identity::{AgentId, RegionName},
    plan::{CommittedPlan, Order},
    register::{
        acceptor::{AcceptorAnswer, AcceptorReply, AcceptorRequest},
        ballot::{Ballot, WITNESS},
        prevote::PreVoteRequest,
    },
    wire::{OrderRefusal, PeerReply, PeerRequest},
};

/// How long a call to an acceptor or a voter may take.
const CALL_MS: u64 = 2_000;
/// How long the leader may take for an order.
const ORDER_MS: u64 = 10_000;

impl CoreNode {
    pub(super) fn wait(&mut self, waiting: Waiting) -> Ticket {
        self.next_ticket += 1;
        self.waiting.insert(self.next_ticket, waiting);
        self.next_ticket
    }

    pub(super) fn asked(
        &mut self,
        from: AgentId,
        question: Question,
        ticket: Ticket,
        turn: &mut Turn<'_>,
    ) {
        let request = match question {
            Question::Exchange(payload) => {
                return turn.gossip(gossip::Input::ExchangeAsked {
                    from,
                    request: payload,
                    ticket: regionmesh_core::Ticket(ticket),
                });
            }
            Question::Request(request) => request,
            Question::Bulk(_) => {
                return reply(ticket, PeerReply::Failed("not simulated".into()), turn);
            }
        };

        if let Some(refusal) = request.others_ballot(&from) {
            return reply(ticket, PeerReply::Refused(refusal), turn);
        }
        match *request {
            PeerRequest::Acceptor(request) => self.acceptor_asked(request, ticket, turn),
            PeerRequest::PreVote(request) => {
                turn.leader(leader::Input::VoteAsked(
                    request,
                    regionmesh_core::Ticket(ticket),
                ));
            }
            PeerRequest::Order { order, .. } => self.order(order, Asker::Peer(ticket), turn),
            _ => reply(ticket, PeerReply::Failed("not simulated".into()), turn),
        }
    }

    fn acceptor_asked(&mut self, request: AcceptorRequest, ticket: Ticket, turn: &mut Turn<'_>) {
        let own = self.wait(Waiting::Peer(ticket, Box::new(request.clone())));
        apply(own, Acceptor::Own, request, turn);
    }

    pub(super) fn call_acceptor(
        &mut self,
        to: RegionName,
        request: AcceptorRequest,
        waiting: Waiting,
        turn: &mut Turn<'_>,
    ) {
        let ticket = self.wait(waiting);
        let near = if to == self.config.id.region {
            Some(Acceptor::Own)
        } else if to.as_str() == WITNESS {
            Some(Acceptor::Witness)
        } else {
            None
        };

        match near {
            None => ask(to, PeerRequest::Acceptor(request), ticket, turn),
            Some(acceptor) => apply(ticket, acceptor, request, turn),
        }
    }

    pub(super) fn ask_vote(&mut self, to: RegionName, ballot: Ballot, turn: &mut Turn<'_>) {
        if to.as_str() == WITNESS {
            let waiting = Waiting::WitnessVote(to.clone(), ballot);
            return self.call_acceptor(to, AcceptorRequest::Read, waiting, turn);
        }

        let ticket = self.wait(Waiting::Vote(to.clone(), ballot.clone()));
        let request = PeerRequest::PreVote(PreVoteRequest { ballot });
        ask(to, request, ticket, turn);
    }

    /// A call to a peer has ended.
    pub(super) fn call_ended(
        &mut self,
        ticket: Ticket,
        answer: Result<Answer, CallError>,
        turn: &mut Turn<'_>,
    ) {
        let Some(waiting) = self.waiting.remove(&ticket) else {
            return;
        };
        match (waiting, answer) {
            (Waiting::Exchange(with, asked), answer) => {
                let answer = match answer {
                    Ok(Answer::Exchange(payload)) => Ok(payload),
                    Ok(_) => Err(exchange_error("unexpected".into())),
                    Err(error) => Err(exchange_error(format!("{error:?}"))),
                };
                turn.gossip(gossip::Input::ExchangeEnded {
                    with,
                    span: (asked, turn.now.monotonic),
                    answer,
                });
            }
            (Waiting::Order(ticket), Ok(Answer::Reply(reply))) => {
                let outcome = match *reply {
                    PeerReply::Order(outcome) => outcome,
                    _ => Err(OrderRefusal::Unknown("an unexpected answer".into())),
                };
                end_operators_order(ticket, outcome, turn);
            }
            (Waiting::Order(ticket), _) => {
                let why = "the leader did not answer".into();
                end_operators_order(ticket, Err(OrderRefusal::Unknown(why)), turn);
            }
            (waiting, answer) => {
                let reply = match answer {
                    Ok(Answer::Reply(reply)) => self.checked(&waiting, *reply),
                    Ok(_) => Err("unexpected".into()),
                    Err(error) => Err(format!("{error:?}")),
                };
                replied(waiting, reply, turn);
            }
        }
    }

    /// A request to an acceptor near us has ended; none: its store failed.
    pub(super) fn applied(
        &mut self,
        ticket: Ticket,
        answer: Option<AcceptorAnswer>,
        turn: &mut Turn<'_>,
    ) {
        let Some(waiting) = self.waiting.remove(&ticket) else {
            return;
        };
        match waiting {
            Waiting::WitnessVote(from, ballot) => {
                let vote = match answer.map(|answer| answer.reply) {
                    Some(AcceptorReply::State(state)) => Ok(witness_vote(&state, &ballot)),
                    _ => Err("the witness can't be read".into()),
                };
                turn.leader(leader::Input::Voted { from, ballot, vote });
            }
            Waiting::Peer(peer, request) => {
                let reply_of = answer.as_ref().map(|answer| &answer.reply);
                let input = reply_of.and_then(|reply| leader::Input::of_asked(&request, reply));
                if let Some(input) = input {
                    turn.leader(input);
                }

                let answer = self.signed(&request, answer);
                let answer = answer.map_or_else(PeerReply::Failed, PeerReply::Acceptor);
                reply(peer, answer, turn);
            }
            Waiting::Acceptor(from, request) if from == self.config.id.region => {
                let answer = self.signed(&request, answer);
                let waiting = Waiting::Acceptor(from, request);
                replied(waiting, answer.map(PeerReply::Acceptor), turn);
            }
            waiting => {
                let answer = answer.ok_or("the store failed");
                let answer = answer.map(PeerReply::Acceptor).map_err(str::to_string);
                replied(waiting, answer, turn);
            }
        }
    }

    /// The answer of our region's acceptor, signed if it accepted a plan.
    fn signed(
        &self,
        request: &AcceptorRequest,
        answer: Option<AcceptorAnswer>,
    ) -> Result<AcceptorAnswer, String> {
        let id = &self.config.id;
        let answer = answer.ok_or("the store failed")?;
        certificate::sign_answer(&self.config.mesh, id, &*self.key, request, answer)
    }

    /// A reply of a peer, unless it is an acceptor's without a valid signature.
    fn checked(&self, waiting: &Waiting, reply: PeerReply) -> Result<PeerReply, String> {
        match (waiting, reply) {
            (Waiting::Acceptor(from, request), PeerReply::Acceptor(answer)) => {
                certificate::check_answer(&self.config.mesh, from, &Keys, request, answer)
                    .map(PeerReply::Acceptor)
            }
            (_, reply) => Ok(reply),
        }
    }

    /// An operator gives an order to this agent, which passes it on to the leader.
    pub(super) fn ordered(&mut self, order: Order, ticket: Ticket, turn: &mut Turn<'_>) {
        let NodeConfig { mesh, id, .. } = &self.config;
        let nonce = turn.rng.random();
        let given_ms = turn.now.unix_ms;
        let sign = |message: &[u8]| Ok(operators_mac(message));
        let order = match order.proven(mesh, id.clone(), given_ms, nonce, sign) {
            Ok(order) => order,
            Err(why) => return end_operators_order(ticket, Err(OrderRefusal::NotNow(why)), turn),
        };
        if self.leader.is_self {
            return self.order(order, Asker::Operator(ticket), turn);
        }
        let Some(leader) = self.leader.ballot.clone() else {
            let refusal = OrderRefusal::NotNow("no leader is known".into());
            return end_operators_order(ticket, Err(refusal), turn);
        };

        let own = self.wait(Waiting::Order(ticket));
        let request = PeerRequest::Order {
            order,
            hops_left: 0,
        };
        turn.out.push(NodeEffect::Ask {
            to: Peer::Agent(leader.agent),
            question: Question::Request(Box::new(request)),
            ticket: own,
            timeout_ms: ORDER_MS,
        });
    }

    fn order(&mut self, order: Order, asker: Asker, turn: &mut Turn<'_>) {
        self.next_ticket += 1;
        let ticket = regionmesh_core::Ticket(self.next_ticket);
        self.orders.insert(ticket.0, asker);
        turn.leader(leader::Input::Order(Box::new(order), ticket));
    }

    /// Reports how an order ended to the one who gave it.
    pub(super) fn end_order(
        &self,
        asker: Asker,
        outcome: Result<CommittedPlan, OrderRefusal>,
        turn: &mut Turn<'_>,
    ) {
        match asker {
            Asker::Operator(ticket) => end_operators_order(ticket, outcome, turn),
            Asker::Peer(ticket) => reply(ticket, PeerReply::Order(outcome), turn),
        }
    }
}

/// An acceptor or voter has answered, or could not be asked.
fn replied(waiting: Waiting, reply: Result<PeerReply, String>, turn: &mut Turn<'_>) {
    if let Waiting::Vote(from, ballot) = waiting {
        let vote = match reply {
            Ok(PeerReply::PreVote(vote)) => Ok(vote),
            Ok(_) => Err("an unexpected answer".into()),
            Err(error) => Err(error),
        };
        return turn.leader(leader::Input::Voted { from, ballot, vote });
    }

    let answer = match reply {
        Ok(PeerReply::Acceptor(answer)) => Ok(answer),
        Ok(PeerReply::Failed(error)) => Err(error),
        Ok(PeerReply::Refused(why)) => Err(why.to_string()),
        Ok(_) => Err("an unexpected answer".into()),
        Err(error) => Err(error),
    };
    match waiting {
        Waiting::Acceptor(from, _) => turn.leader(leader::Input::AcceptorAnswered { from, answer }),
        Waiting::Read(from, round) => turn.leader(leader::Input::AcceptorRead {
            round,
            from,
            answer,
        }),
        _ => {}
    }
}

/// Asks an acceptor near us.
fn apply(ticket: Ticket, acceptor: Acceptor, request: AcceptorRequest, turn: &mut Turn<'_>) {
    turn.out.push(NodeEffect::Apply {
        ticket,
        acceptor,
        request: Box::new(request),
    });
}

fn ask(region: RegionName, request: PeerRequest, ticket: Ticket, turn: &mut Turn<'_>) {
    turn.out.push(NodeEffect::Ask {
        to: Peer::Region(region),
        question: Question::Request(Box::new(request)),
        ticket,
        timeout_ms: CALL_MS,
    });
}

pub(super) fn reply(ticket: Ticket, reply: PeerReply, turn: &mut Turn<'_>) {
    turn.out.push(NodeEffect::Answer {
        ticket,
        answer: Answer::Reply(Box::new(reply)),
    });
}

fn end_operators_order(
    ticket: Ticket,
    outcome: Result<CommittedPlan, OrderRefusal>,
    turn: &mut Turn<'_>,
) {
    let outcome = Box::new(outcome);
    turn.out.push(NodeEffect::OrderEnded { ticket, outcome });
}

fn exchange_error(error: String) -> ExchangeError {
    ExchangeError {
        outcome: "failed",
        error,
    }
}
