//! The simulated mesh: agents, network, stores, endpoints, users, and the faults of all of them.

use super::{
    endpoint::{Endpoint, Resolver},
    event::{Event, Process},
    fault::{EndpointState, Fault},
    laws::Laws,
    links::Links,
    machine::Machine,
    network::Network,
    node::{NodeConfig, NodeEffect, RegionConfig},
    queue::Queue,
    reach::Reach,
    shape::Shape,
    slots::SlotEffect,
    sometimes::Reached,
    store::Store,
    streams::{Purpose, stream},
    trace::Trace,
};
use rand::rngs::StdRng;
use regionmesh_protocol::identity::{AgentId, IdentityError, MeshName, RegionName};
use std::{collections::BTreeSet, net::Ipv4Addr, time::Instant};

/// True time at the beginning of each run, Unix milliseconds.
pub(crate) const EPOCH_MS: u64 = 1_700_000_000_000;
/// Resolvers, whose users are spread over the regions.
const RESOLVERS: usize = 4;

/// The simulated mesh.
pub(crate) struct World {
    pub(crate) shape: Shape,
    pub(crate) names: Vec<RegionName>,
    pub(crate) mesh: MeshName,
    pub(crate) now_ms: u64,
    /// The monotonic clock's time 0; only differences matter.
    pub(crate) base: Instant,
    pub(crate) queue: Queue,
    pub(crate) trace: Trace,
    pub(crate) reached: Reached,
    pub(crate) machines: Vec<Machine>,
    pub(crate) network: Network,
    pub(crate) links: Links,
    /// One for each region, and the witness.
    pub(crate) stores: Vec<Store>,
    pub(crate) endpoints: Vec<Endpoint>,
    /// From where they are reached.
    pub(crate) reach: Reach,
    pub(crate) resolvers: Vec<Resolver>,
    pub(crate) users: StdRng,
    pub(crate) faults: Vec<Fault>,
    pub(crate) laws: Laws,
    /// Faults that disturb agents at present.
    pub(crate) active: BTreeSet<usize>,
    /// When the last of them ended.
    pub(crate) quiet_since_ms: u64,
    /// When some agent led last.
    pub(crate) led_ms: u64,
    pub(crate) healed_ms: Option<u64>,
    pub(crate) is_over: bool,
    /// Emptied and used again.
    pub(crate) effects: Vec<NodeEffect>,
    pub(crate) slot_effects: Vec<SlotEffect>,
}

impl World {
    /// A mesh whose agents are about to start, and that meets `faults`.
    pub(crate) fn new(
        shape: Shape,
        faults: Vec<Fault>,
        with_timeline: bool,
    ) -> Result<Self, IdentityError> {
        let names: Vec<RegionName> = (0..shape.regions)
            .map(|region| RegionName::new(format!("r{region}")))
            .collect::<Result<_, _>>()?;
        let machines = (0..shape.agents())
            .map(|agent| machine(&shape, agent))
            .collect::<Result<Vec<_>, _>>()?;
        let stores = 0..(shape.regions + usize::from(shape.has_witness)) as u64;
        let stores = stores.map(|store| {
            let objects = stream(shape.seed, Purpose::Models, store + 1);
            Store::new(stream(shape.seed, Purpose::Store, store), objects)
        });
        let endpoint = Endpoint {
            state: EndpointState::Up,
            since_ms: 0,
            fault: None,
        };
        let resolvers = (0..RESOLVERS).map(|resolver| Resolver {
            region: resolver % shape.regions,
            answer: None,
        });

        let mut world = Self {
            names,
            mesh: MeshName::new("sim.example")?,
            now_ms: 0,
            base: Instant::now(),
            queue: Queue::default(),
            trace: Trace::new(with_timeline),
            reached: Reached::default(),
            network: Network::new(&shape),
            links: Links::new(shape.agents()),
            stores: stores.collect(),
            endpoints: vec![endpoint; shape.regions],
            reach: Reach::new(shape.regions),
            resolvers: resolvers.collect(),
            users: stream(shape.seed, Purpose::Users, 0),
            machines,
            faults,
            laws: Laws::default(),
            active: BTreeSet::new(),
            quiet_since_ms: 0,
            led_ms: 0,
            healed_ms: None,
            is_over: false,
            effects: Vec::new(),
            slot_effects: Vec::new(),
            shape,
        };

        world.schedule();
        Ok(world)
    }

    pub(crate) fn after(&mut self, delay_ms: u64, event: Event) {
        self.queue.push(self.now_ms + delay_ms, event);
    }

    pub(crate) fn process(&self, agent: usize) -> Process {
        Process {
            agent,
            life: self.machines[agent].life,
        }
    }

    /// Whether this process still runs.
    pub(crate) fn runs(&self, process: Process) -> bool {
        let machine = &self.machines[process.agent];
        machine.is_up() && machine.life == process.life
    }

    pub(crate) fn agent_named(&self, id: &AgentId) -> Option<usize> {
        self.machines.iter().position(|machine| machine.id == *id)
    }

    pub(crate) fn region_named(&self, name: &RegionName) -> Option<usize> {
        self.names.iter().position(|known| known == name)
    }

    pub(crate) fn node_config(&self, agent: usize) -> NodeConfig {
        let region = |(index, name): (usize, &RegionName)| RegionConfig {
            name: name.clone(),
            address: Ipv4Addr::new(192, 0, 2, index as u8 + 1).into(),
            priority: index as u16,
        };

        NodeConfig {
            mesh: self.mesh.clone(),
            id: self.machines[agent].id.clone(),
            regions: self.names.iter().enumerate().map(region).collect(),
            has_witness: self.shape.has_witness,
            strategy: self.shape.strategy,
            recovery: self.shape.recovery.clone(),
            max_out: self.shape.max_out,
            ttl_ms: self.shape.ttl_ms,
            rescan_ms: self.shape.rescan_ms,
            is_liar: self.shape.liar == Some(agent) && self.healed_ms.is_none(),
        }
    }
}

fn machine(shape: &Shape, agent: usize) -> Result<Machine, IdentityError> {
    let region = shape.region_of(agent);
    let id: AgentId = format!("r{region}/a{}", agent / shape.regions).parse()?;
    let rng = stream(shape.seed, Purpose::Node, agent as u64);
    Ok(Machine::new(id, region, rng))
}
