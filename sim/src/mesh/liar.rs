//! One agent whose key is stolen: it does what it should, and lies besides.

use super::{
    core_node::CoreNode,
    node::{Node, NodeConfig, NodeEffect, NodeInput, Peer, Question},
};
use rand::{RngExt, rngs::StdRng};
use regionmesh_core::now::Now;
use regionmesh_protocol::{
    identity::{AgentId, RegionName},
    plan::FULL_WEIGHT_BP,
    register::{
        acceptor::AcceptorRequest,
        ballot::{Ballot, STEP_MAX, Stamp},
    },
    status::{LeaderStatus, StatusEntry},
    wire::PeerRequest,
};

/// Tickets of its own questions, whose answers it ignores.
const OWN_TICKETS: u64 = 1 << 62;

/// An agent with a thief beside it.
struct Liar {
    honest: CoreNode,
    id: AgentId,
    regions: Vec<RegionName>,
    /// The number of the highest ballot that it has lied about.
    highest: u64,
    lies: u64,
}

/// The core of a process that starts: honest, unless it is the mesh's lying agent.
pub(crate) fn build(config: NodeConfig) -> Box<dyn Node> {
    if !config.is_liar {
        return Box::new(CoreNode::new(config));
    }

    let regions = config.regions.iter().map(|region| region.name.clone());
    Box::new(Liar {
        id: config.id.clone(),
        regions: regions.collect(),
        honest: CoreNode::new(config),
        highest: 0,
        lies: 0,
    })
}

impl Node for Liar {
    fn handle(&mut self, input: NodeInput, now: Now, rng: &mut StdRng, out: &mut Vec<NodeEffect>) {
        if let NodeInput::Answered { ticket, .. } = &input
            && *ticket >= OWN_TICKETS
        {
            return;
        }

        let lies = matches!(input, NodeInput::Wake) && rng.random_ratio(1, 40);
        self.honest.handle(input, now, rng, out);
        if !lies {
            return;
        }

        let ballot = self.ballot(rng);
        match rng.random_range(0..4) {
            0 => {
                let entry = StatusEntry::Leader(LeaderStatus {
                    leading: Some(ballot.clone()),
                    highest: Some(ballot),
                });
                self.honest.publish(entry, now, rng, out);
            }
            1 => {
                if let Some(entry) = self.forged_plan(ballot) {
                    self.honest.publish(entry, now, rng, out);
                }
            }
            _ => out.push(self.prepare(ballot, rng)),
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

        forged.plan.reason = "forged".into();
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
}
