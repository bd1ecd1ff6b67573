//! One agent whose key is stolen: it does what it should, and lies besides.

use super::{
    core_node::CoreNode,
    forge::{FORGED, Forger, Lie},
    node::{
        Acceptor, Answer, Node, NodeConfig, NodeEffect, NodeInput, Notice, Peer, Question, Ticket,
    },
};
use rand::{RngExt, rngs::StdRng};
use regionmesh_core::now::Now;
use regionmesh_protocol::{
    identity::{AgentId, RegionName},
    plan::{CommittedPlan, FULL_WEIGHT_BP},
    register::{
        acceptor::{AcceptorAnswer, AcceptorReply, AcceptorRequest},
        ballot::{Ballot, STEP_MAX, Stamp},
        certificate::Acceptance,
    },
    status::{LeaderStatus, StatusEntry},
    wire::{PeerReply, PeerRequest},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

/// Pause between the thief's candidatures, so that others lead in between.
const CAMPAIGN_PAUSE: Duration = Duration::from_secs(15);
/// Tickets of its own questions, whose answers it ignores.
const OWN_TICKETS: u64 = 1 << 62;

/// An agent with a thief beside it.
struct Liar {
    honest: CoreNode,
    forger: Forger,
    id: AgentId,
    regions: Vec<RegionName>,
    /// The number of the highest ballot that it has lied about.
    highest: u64,
    lies: u64,
    campaign: Option<Campaign>,
    /// When the last campaign began.
    begun: Option<Instant>,
}

/// The thief's own candidature, for a forged plan.
struct Campaign {
    forged: CommittedPlan,
    lie: Lie,
    /// Questions to the acceptors of these regions.
    asked: BTreeMap<Ticket, RegionName>,
    promised: BTreeSet<RegionName>,
    acceptances: Vec<Acceptance>,
}

/// The core of a process that starts: honest, unless it is the mesh's lying agent.
pub(crate) fn build(config: NodeConfig) -> Box<dyn Node> {
    if !config.is_liar {
        return Box::new(CoreNode::new(config));
    }

    let regions = config.regions.iter().map(|region| region.name.clone());
    Box::new(Liar {
        forger: Forger::new(config.id.region.clone(), config.recovery.percent_at(0)),
        id: config.id.clone(),
        regions: regions.collect(),
        honest: CoreNode::new(config),
        highest: 0,
        lies: 0,
        campaign: None,
        begun: None,
    })
}

impl Node for Liar {
    fn handle(&mut self, input: NodeInput, now: Now, rng: &mut StdRng, out: &mut Vec<NodeEffect>) {
        match &input {
            NodeInput::Answered { ticket, answer } if *ticket >= OWN_TICKETS => {
                let reply = match answer {
                    Ok(Answer::Reply(reply)) => Some(&**reply),
                    _ => None,
                };
                if let Some(PeerReply::Acceptor(answer)) = reply {
                    self.acceptor_answered(*ticket, answer, now, rng, out);
                }
                return;
            }
            NodeInput::Applied { ticket, answer } if *ticket >= OWN_TICKETS => {
                if let Ok(answer) = answer {
                    self.acceptor_answered(*ticket, answer, now, rng, out);
                }
                return;
            }
            NodeInput::Asked {
                question, ticket, ..
            } if rng.random_ratio(1, 2) => {
                if let Some(answer) = self.forged_promise(question, rng) {
                    let ticket = *ticket;
                    return out.push(NodeEffect::Answer { ticket, answer });
                }
            }
            _ => {}
        }

        let lies = matches!(input, NodeInput::Wake) && rng.random_ratio(1, 40);
        self.honest.handle(input, now, rng, out);
        if let Some(known) = self.honest.plan() {
            self.forger.learn(&known.plan);
        }
        if !lies {
            return;
        }

        match rng.random_range(0..5) {
            0 => {
                let ballot = self.ballot(rng);
                let entry = StatusEntry::Leader(LeaderStatus {
                    leading: Some(ballot.clone()),
                    highest: Some(ballot),
                });
                self.honest.publish(entry, now, rng, out);
            }
            1 => {
                let ballot = self.ballot(rng);
                if let Some(entry) = self.forged_plan(ballot) {
                    self.honest.publish(entry, now, rng, out);
                }
            }
            2 => self.campaign(now, rng, out),
            _ => {
                let ballot = self.ballot(rng);
                out.push(self.prepare(ballot, rng));
            }
        }
    }
}

impl Liar {
    /// A ballot that no agent should believe.
    fn ballot(&mut self, rng: &mut StdRng) -> Ballot {
        self.lies += 1;
        let number = match rng.random_range(0..4) {
            0 => u64::MAX,
            1 => self.highest.saturating_add(STEP_MAX),
            2 => self.highest.saturating_add(1),
            _ => rng.random(),
        };
        if number < u64::MAX / 2 {
            self.highest = self.highest.max(number);
        }

        Ballot {
            number,
            agent: self.id.clone(),
            boot: self.lies,
        }
    }

    /// The plan that follows, with all traffic to its own region, which no acceptor was asked for.
    fn forged_plan(&self, ballot: Ballot) -> Option<StatusEntry> {
        let mut forged = self.honest.plan()?.clone();
        for (name, part) in &mut forged.plan.regions {
            part.weight_bp = match *name == self.id.region {
                true => FULL_WEIGHT_BP,
                false => 0,
            };
        }

        forged.plan.reason = FORGED.into();
        forged.stamp = Stamp {
            ballot: match self.lies.is_multiple_of(2) {
                true => ballot,
                // As if the present leader had made it.
                false => forged.stamp.ballot,
            },
            seq: forged.stamp.seq + 1,
        };
        Some(StatusEntry::Plan(forged))
    }

    /// Asks an acceptor for a promise.
    fn prepare(&self, ballot: Ballot, rng: &mut StdRng) -> NodeEffect {
        let region = self.regions[rng.random_range(0..self.regions.len())].clone();
        let request = PeerRequest::Acceptor(AcceptorRequest::Prepare(ballot));

        NodeEffect::Ask {
            to: Peer::Region(region),
            question: Question::Request(Box::new(request)),
            ticket: OWN_TICKETS + self.lies,
            timeout_ms: 1_000,
        }
    }

    /// Seeks the promises of all acceptors for a forged plan.
    fn campaign(&mut self, now: Now, rng: &mut StdRng, out: &mut Vec<NodeEffect>) {
        // Of two regions and a witness, one region and the witness are a majority.
        if self.regions.len() < 3 {
            return;
        }
        let is_early = |at: Instant| now.monotonic.saturating_duration_since(at) < CAMPAIGN_PAUSE;
        if self.begun.is_some_and(is_early) {
            return;
        }
        let Some(known) = self.honest.plan() else {
            return;
        };

        let mut forged = known.clone();
        let Some(lie) = self.forger.forge(&mut forged.plan, now.unix_ms, rng) else {
            return;
        };

        self.lies += 1;
        let number = self.honest.highest().max(forged.stamp.ballot.number) + 1;
        forged.stamp = Stamp {
            ballot: Ballot {
                number,
                agent: self.id.clone(),
                boot: self.lies,
            },
            seq: forged.stamp.seq + 1,
        };

        let request = AcceptorRequest::Prepare(forged.stamp.ballot.clone());
        self.begun = Some(now.monotonic);
        self.campaign = Some(Campaign {
            forged,
            lie,
            asked: BTreeMap::new(),
            promised: BTreeSet::new(),
            acceptances: Vec::new(),
        });
        for region in self.regions.clone() {
            self.ask(region, request.clone(), out);
        }
    }

    fn ask(&mut self, to: RegionName, request: AcceptorRequest, out: &mut Vec<NodeEffect>) {
        self.lies += 1;
        let ticket = OWN_TICKETS + self.lies;
        if let Some(campaign) = &mut self.campaign {
            campaign.asked.insert(ticket, to.clone());
        }

        out.push(if to == self.id.region {
            NodeEffect::Apply {
                ticket,
                acceptor: Acceptor::Own,
                request: Box::new(request),
            }
        } else {
            NodeEffect::Ask {
                to: Peer::Region(to),
                question: Question::Request(Box::new(PeerRequest::Acceptor(request))),
                ticket,
                timeout_ms: 1_000,
            }
        });
    }

    /// Asks an acceptor that promised to accept the forged plan, and publishes the plan with the
    /// signatures of those that did.
    fn acceptor_answered(
        &mut self,
        ticket: Ticket,
        answer: &AcceptorAnswer,
        now: Now,
        rng: &mut StdRng,
        out: &mut Vec<NodeEffect>,
    ) {
        let majority = self.regions.len() / 2 + 1;
        let Some(campaign) = &mut self.campaign else {
            return;
        };
        let Some(region) = campaign.asked.remove(&ticket) else {
            return;
        };

        match &answer.reply {
            AcceptorReply::Promised { ballot, .. } if *ballot == campaign.forged.stamp.ballot => {
                campaign.promised.insert(region.clone());
                if campaign.promised.len() == majority {
                    let notice = Notice::ThiefElected(ballot.clone(), campaign.lie);
                    out.push(NodeEffect::Notice(notice));
                }

                let forged = campaign.forged.clone();
                let request = AcceptorRequest::Accept(forged.stamp, forged.plan);
                self.ask(region, request, out);
            }
            AcceptorReply::Accepted(stamp) if *stamp == campaign.forged.stamp => {
                campaign.acceptances.extend(answer.acceptance.clone());
                let mut forged = campaign.forged.clone();
                forged.certificate = campaign.acceptances.iter().cloned().collect();
                self.honest
                    .publish(StatusEntry::Plan(forged), now, rng, out);
            }
            _ => {}
        }
    }

    /// The promise of its region's acceptor, with a value that no leader proposed.
    fn forged_promise(&mut self, question: &Question, rng: &mut StdRng) -> Option<Answer> {
        let Question::Request(request) = question else {
            return None;
        };
        if self.regions.len() < 3 {
            return None;
        }
        let PeerRequest::Acceptor(AcceptorRequest::Prepare(ballot)) = &**request else {
            return None;
        };

        let known = self.honest.plan()?;
        let incarnation = (*known.plan.members.acceptors.get(&self.id.region)?)?;
        let mut forged = known.clone();
        let made_ms = known.plan.made_ms;
        self.forger.forge(&mut forged.plan, made_ms, rng)?;
        self.lies += 1;
        forged.stamp = Stamp {
            ballot: Ballot {
                number: ballot.number.saturating_sub(1),
                agent: self.id.clone(),
                boot: self.lies,
            },
            seq: forged.stamp.seq + 1,
        };

        let reply = AcceptorReply::Promised {
            ballot: ballot.clone(),
            accepted: Some((forged.stamp, forged.plan)),
        };
        Some(Answer::Reply(Box::new(PeerReply::Acceptor(
            AcceptorAnswer {
                incarnation,
                reply,
                acceptance: None,
            },
        ))))
    }
}
