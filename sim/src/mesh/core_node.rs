//! An agent: its real core, and what its actors do around it: calls to acceptors, voters and
//! leaders, and DNS answers by what the core decides.
//!
//! - `settings`: the core's configuration
//! - `perform`: effects of the core
//! - `calls`: questions of peers, and answers of peers and stores

mod calls;
mod perform;
mod settings;
mod types;

use super::{
    keys::{Key, Keys},
    models::routes::NearestFirst,
    node::{Disk, DnsSnapshot, Node, NodeConfig, NodeEffect, NodeInput, Ticket},
};
use rand::rngs::StdRng;
use regionmesh_core::{
    Core,
    agent::{Effect, Input},
    gossip, health,
    leader::{self, LeaderView, certificate},
    now::Now,
    planning::freeze::LocalAnswer,
    replication,
};
use regionmesh_protocol::{identity::AgentId, plan::CommittedPlan, status::StatusEntry};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};
use types::{Asker, Waiting};

/// A process that did not run for this long has stalled.
const STALL: Duration = Duration::from_secs(2);
/// The round trip that links report, microseconds. Only replication reads it.
const ROUND_TRIP_US: u64 = 50_000;

/// See the module.
pub(crate) struct CoreNode {
    config: NodeConfig,
    key: Arc<Key>,
    /// None before the first input.
    core: Option<Core>,
    links: BTreeMap<AgentId, u64>,
    leader: LeaderView,
    highest: u64,
    dns: Dns,
    waiting: BTreeMap<Ticket, Waiting>,
    next_ticket: Ticket,
    /// Who gave the orders that the core has not answered.
    orders: BTreeMap<u64, Asker>,
    ran: Option<Instant>,
}

/// What the DNS server answers by.
#[derive(Debug, Default)]
struct Dns {
    plan: Option<Arc<CommittedPlan>>,
    local: Option<Arc<LocalAnswer>>,
    /// Whether the plan can be acted on.
    is_current: bool,
}

/// What one input of the world comes with, and where its effects go.
struct Turn<'a> {
    now: Now,
    rng: &'a mut StdRng,
    out: &'a mut Vec<NodeEffect>,
    /// Inputs for the core that follow from its effects.
    inputs: VecDeque<Input>,
}

impl Turn<'_> {
    fn leader(&mut self, input: leader::Input) {
        self.inputs.push_back(Input::Leader(Box::new(input)));
    }

    fn gossip(&mut self, input: gossip::Input) {
        self.inputs.push_back(Input::Gossip(input));
    }
}

impl Node for CoreNode {
    fn handle(&mut self, input: NodeInput, now: Now, rng: &mut StdRng, out: &mut Vec<NodeEffect>) {
        let turn = &mut Turn {
            now,
            rng,
            out,
            inputs: VecDeque::new(),
        };

        self.notice_stall(turn);
        match input {
            NodeInput::Start(disk) => self.start(disk, turn),
            NodeInput::Wake => turn.inputs.push_back(Input::Wake),
            NodeInput::LinkUp(peer) => {
                self.links.insert(peer.clone(), ROUND_TRIP_US);
                turn.gossip(gossip::Input::LinkUp(peer));
                self.report_links(turn);
            }
            NodeInput::LinkDown(peer) => {
                self.links.remove(&peer);
                turn.gossip(gossip::Input::LinkDown(peer));
                self.report_links(turn);
            }
            NodeInput::Datagram { from, payload } => {
                turn.gossip(gossip::Input::Datagram { from, payload });
            }
            NodeInput::Asked {
                from,
                question,
                ticket,
            } => self.asked(from, question, ticket, turn),
            NodeInput::Answered { ticket, answer } => self.call_ended(ticket, answer, turn),
            NodeInput::Applied { ticket, answer } => {
                self.applied(ticket, answer.ok().map(|answer| *answer), turn);
            }
            NodeInput::Judge(proposal) => {
                turn.leader(leader::Input::Proposed(
                    proposal,
                    regionmesh_core::Ticket(0),
                ));
            }
            NodeInput::Probed(finished) => {
                let input = health::Input::ProbeFinished(*finished);
                turn.inputs.push_back(Input::Health(input));
            }
            NodeInput::Ordered { ticket, order } => self.ordered(*order, ticket, turn),
            NodeInput::Replication(input) => turn.inputs.push_back(Input::Replication(*input)),
        }

        self.run(turn);
    }
}

impl CoreNode {
    pub(crate) fn new(config: NodeConfig) -> Self {
        Self {
            key: Arc::new(Key::of(&config.id)),
            config,
            core: None,
            links: BTreeMap::new(),
            leader: LeaderView::default(),
            highest: 0,
            dns: Dns::default(),
            waiting: BTreeMap::new(),
            next_ticket: 0,
            orders: BTreeMap::new(),
            ran: None,
        }
    }

    /// The plan that it knows.
    pub(crate) fn plan(&self) -> Option<&CommittedPlan> {
        self.dns.plan.as_deref()
    }

    /// The number of the highest ballot that it believes in.
    pub(crate) fn highest(&self) -> u64 {
        self.highest
    }

    /// Publishes an entry that its core did not make, signed with its key: what a thief can do.
    pub(crate) fn publish(
        &mut self,
        entry: StatusEntry,
        now: Now,
        rng: &mut StdRng,
        out: &mut Vec<NodeEffect>,
    ) {
        let publish = gossip::Input::Publish(Box::new(entry));
        let mut turn = Turn {
            now,
            rng,
            out,
            inputs: VecDeque::from([Input::Gossip(publish)]),
        };
        self.run(&mut turn);
    }

    fn start(&mut self, disk: Disk, turn: &mut Turn<'_>) {
        let saved = disk.plan.as_deref().cloned();
        let settings = settings::settings(&self.config, turn.now.unix_ms);
        let id = &self.config.id;
        // Disks are lost or outdated here, never forged: what is there was saved with a signature.
        let confirmation = saved
            .as_ref()
            .and_then(|plan| certificate::confirm(&self.config.mesh, id, &*self.key, plan).ok());
        let keys = regionmesh_core::Keys {
            signer: self.key.clone(),
            verifier: Arc::new(Keys),
            orders: Arc::new(Keys),
        };
        let core = Core::new(settings, saved, confirmation, keys, turn.now, turn.rng);

        self.core = Some(core);
        let routes = replication::Input::Routes(Arc::new(NearestFirst));
        turn.inputs.push_back(Input::Replication(routes));
        turn.inputs.push_back(Input::Wake);
    }

    /// As the DNS server does: after a stall it does not answer until the plan is confirmed.
    fn notice_stall(&mut self, turn: &mut Turn<'_>) {
        let before = self.ran.replace(turn.now.monotonic);
        let paused = before.map(|before| turn.now.monotonic.saturating_duration_since(before));
        if paused.is_some_and(|paused| paused >= STALL) {
            self.dns.is_current = false;
            self.serve(turn);
            turn.inputs.push_back(Input::Resumed);
        }
    }

    fn report_links(&self, turn: &mut Turn<'_>) {
        let links = Arc::new(self.links.clone());
        turn.inputs.push_back(Input::Links(links));
    }

    /// Hands the inputs to the core and carries out what it decides.
    fn run(&mut self, turn: &mut Turn<'_>) {
        let mut effects: Vec<Effect> = Vec::new();
        while let Some(input) = turn.inputs.pop_front() {
            let Some(core) = self.core.as_mut() else {
                return;
            };
            core.handle(input, turn.now, turn.rng, &mut effects);
            for effect in effects.drain(..) {
                self.perform(effect, turn);
            }
        }
    }

    /// Gives the DNS server the plan to answer by.
    fn serve(&self, turn: &mut Turn<'_>) {
        let plan = self.dns.plan.clone().filter(|_| self.dns.is_current);
        let snapshot = plan.map(|plan| DnsSnapshot {
            plan,
            local: self.dns.local.clone(),
        });
        turn.out.push(NodeEffect::Serve(snapshot));
    }
}
