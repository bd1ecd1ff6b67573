//! Carries out the effects of the core.

use super::{CoreNode, Turn, calls::reply, types::Waiting};
use crate::mesh::node::{Answer, NodeEffect, Notice, Peer, Question};
use regionmesh_core::{
    agent::Effect,
    gossip, health,
    leader::{self, ElectionNotice, RegisterNotice},
    replication,
};
use regionmesh_protocol::{register::acceptor::AcceptorRequest, wire::PeerReply};

/// How long a board exchange may take.
const EXCHANGE_MS: u64 = 5_000;
/// Clocks that differ by less are not worth a line of a timeline.
const CLOCK_NEWS_MS: i64 = 1_000;

impl CoreNode {
    pub(super) fn perform(&mut self, effect: Effect, turn: &mut Turn<'_>) {
        match effect {
            Effect::WakeAt(at) => turn.out.push(NodeEffect::WakeAt(at)),
            Effect::Gateways(gateways) => turn.out.push(NodeEffect::Gateway(gateways.is_own)),
            Effect::Gossip(effect) => self.perform_gossip(effect, turn),
            Effect::Health(effect) => perform_health(effect, turn),
            Effect::Leader(effect) => self.perform_leader(effect, turn),
            Effect::Replication(effect) => perform_replication(effect, turn),
        }
    }

    fn perform_gossip(&mut self, effect: gossip::Effect, turn: &mut Turn<'_>) {
        match effect {
            gossip::Effect::SendDatagram { to, payload } => {
                turn.out.push(NodeEffect::Datagram { to, payload });
            }
            gossip::Effect::BeginExchange { with, request } => {
                let asked = turn.now.monotonic;
                let ticket = self.wait(Waiting::Exchange(with.clone(), asked));
                turn.out.push(NodeEffect::Ask {
                    to: Peer::Agent(with),
                    question: Question::Exchange(request),
                    ticket,
                    timeout_ms: EXCHANGE_MS,
                });
            }
            gossip::Effect::Reply(ticket, answer) => turn.out.push(NodeEffect::Answer {
                ticket: ticket.0,
                answer: Answer::Exchange(answer),
            }),
            gossip::Effect::Notice(notice) if is_news(&notice) => {
                let notice = Notice::Gossip(notice.into());
                turn.out.push(NodeEffect::Notice(notice));
            }
            // What the core passes on within itself, and what only metrics show.
            _ => {}
        }
    }

    fn perform_leader(&mut self, effect: leader::Effect, turn: &mut Turn<'_>) {
        match effect {
            leader::Effect::CallAcceptor { to, request } => {
                let waiting = Waiting::Acceptor(to.clone(), Box::new(request.clone()));
                self.call_acceptor(to, request, waiting, turn);
            }
            leader::Effect::ReadAcceptor { round, to } => {
                let waiting = Waiting::Read(to.clone(), round);
                self.call_acceptor(to, AcceptorRequest::Read, waiting, turn);
            }
            leader::Effect::AskVote { to, ballot } => self.ask_vote(to, ballot, turn),
            leader::Effect::Judged(_, judged) => turn.out.push(NodeEffect::Judged(judged)),
            leader::Effect::VoteReply(ticket, vote) => {
                reply(ticket.0, PeerReply::PreVote(vote), turn);
            }
            leader::Effect::OrderReply(ticket, outcome) => {
                if let Some(asker) = self.orders.remove(&ticket.0) {
                    self.end_order(asker, *outcome, turn);
                }
            }
            leader::Effect::JudgeCost { .. } => turn.leader(leader::Input::CostTarget(None)),
            leader::Effect::AdoptPlan(plan) => {
                self.dns.plan = Some(plan.clone());
                turn.out.push(NodeEffect::Save(plan));
                self.serve(turn);
            }
            leader::Effect::WithdrawPlan => {
                self.dns.plan = None;
                self.serve(turn);
            }
            leader::Effect::Freeze(freeze) => {
                self.dns.local = freeze.and_then(|freeze| freeze.local.clone());
                self.serve(turn);
            }
            leader::Effect::Current => {
                self.dns.is_current = true;
                self.serve(turn);
            }
            leader::Effect::LeaderView(view) => self.leader = view,
            leader::Effect::Bounds(bounds) => turn.out.push(NodeEffect::SetBounds(bounds)),
            leader::Effect::Notice(notice) => {
                if let leader::Notice::Election(ElectionNotice::Highest(highest)) = &notice {
                    self.highest = highest.as_ref().map_or(0, |ballot| ballot.number);
                }
                let notice = leader_notice(notice);
                turn.out.extend(notice.map(NodeEffect::Notice));
            }
            leader::Effect::Refuse { peer, reason, what } => {
                let notice = Notice::Refused(peer, reason, what);
                turn.out.push(NodeEffect::Notice(notice));
            }
            // What the core passes on within itself, and what only people read.
            _ => {}
        }
    }
}

fn leader_notice(notice: leader::Notice) -> Option<Notice> {
    Some(match notice {
        leader::Notice::Election(ElectionNotice::Elected(ballot)) => Notice::Elected(ballot),
        leader::Notice::Election(ElectionNotice::SteppedDown { ballot, reason }) => {
            Notice::SteppedDown(ballot, reason)
        }
        leader::Notice::Register(RegisterNotice::Committed { stamp, .. }) => {
            Notice::Committed(stamp)
        }
        leader::Notice::Election(ElectionNotice::Highest(_))
        | leader::Notice::LeftOut { is_news: false, .. } => return None,
        leader::Notice::ClockAhead(ahead_ms) if ahead_ms.abs() < CLOCK_NEWS_MS => return None,
        notice => Notice::Leader(Box::new(notice)),
    })
}

/// Whether it is more than the daily round.
fn is_news(notice: &gossip::Notice) -> bool {
    !matches!(
        notice,
        gossip::Notice::Sizes { .. } | gossip::Notice::Exchanged | gossip::Notice::ExchangeAnswered
    )
}

fn perform_health(effect: health::Effect, turn: &mut Turn<'_>) {
    match effect {
        health::Effect::Probe(probe) => turn.out.push(NodeEffect::Probe(Box::new(probe))),
        health::Effect::Notice(health::Notice::Verdict { region, after, .. }) => {
            let notice = Notice::Verdict(region, after);
            turn.out.push(NodeEffect::Notice(notice));
        }
        health::Effect::Verdicts(verdicts) => {
            let votes_on_itself = verdicts
                .iter()
                .find(|(region, verdict)| verdict.votes.iter().any(|(from, _)| from == *region));
            if let Some((region, _)) = votes_on_itself {
                let notice = Notice::OwnVote(region.clone());
                turn.out.push(NodeEffect::Notice(notice));
            }
        }
        _ => {}
    }
}

/// The world does the work; what only people read of its progress stays here.
fn perform_replication(effect: replication::Effect, turn: &mut Turn<'_>) {
    match effect {
        replication::Effect::Notice(replication::Notice::Lag { .. })
        | replication::Effect::Problem(_)
        | replication::Effect::Publish(_)
        | replication::Effect::Replaced(_)
        | replication::Effect::HasCatalogues => {}
        effect => turn.out.push(NodeEffect::Replication(Box::new(effect))),
    }
}
