//! One agent whose key is stolen: it does what it should, and lies besides.

use super::{
    core_node,
    node::{Node, NodeConfig, NodeEffect, NodeInput, Peer, Question},
};
use rand::{RngExt, rngs::StdRng};
use regionmesh_core::now::Now;
use regionmesh_protocol::{
    identity::{AgentId, RegionName},
    register::{
        acceptor::AcceptorRequest,
        ballot::{Ballot, STEP_MAX},
    },
    wire::PeerRequest,
};
use std::sync::Arc;

/// Tickets of its own questions, whose answers it ignores.
const OWN_TICKETS: u64 = 1 << 62;

/// An agent with a thief beside it.
struct Liar {
    honest: Box<dyn Node>,
    id: AgentId,
    regions: Vec<RegionName>,
    /// The number of the highest ballot that it has lied about.
    highest: u64,
    lies: u64,
}

/// Makes the lying agent of a mesh, and honest ones; a [`super::node::Build`].
pub(crate) fn build(config: &NodeConfig) -> Box<dyn Node> {
    let honest = core_node::build(config);
    if !config.is_liar {
        return honest;
    }

    let regions = config.regions.iter().map(|region| region.name.clone());
    Box::new(Liar {
        honest,
        id: config.id.clone(),
        regions: regions.collect(),
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
        if lies {
            out.push(self.lie(rng));
        }
    }
}

impl Liar {
    /// Asks an acceptor for a ballot that nobody should believe.
    fn lie(&mut self, rng: &mut StdRng) -> NodeEffect {
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

        let ballot = Ballot {
            number,
            agent: self.id.clone(),
            boot: self.lies,
        };
        let region = self.regions[rng.random_range(0..self.regions.len())].clone();
        let request = PeerRequest::Acceptor(AcceptorRequest::Prepare(ballot));

        NodeEffect::Ask {
            to: Peer::Region(region),
            question: Question::Request(Arc::new(request)),
            ticket: OWN_TICKETS + self.lies,
            timeout_ms: 1_000,
        }
    }
}
