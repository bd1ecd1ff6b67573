//! An agent made of core's rules, until core composes them itself: elections, the proposer, probes,
//! verdicts, plans, orders, members. Its gossip is the simplest that works: it exchanges its whole
//! status with one linked peer after another, and relays nothing but the plan.

mod answers;
mod campaign;
mod lead;
mod members;
mod status;
mod types;

use super::node::{
    Acceptor, Answer, Disk, DnsSnapshot, Node, NodeConfig, NodeEffect, NodeInput, Notice, Peer,
    Question, Ticket,
};
use rand::{RngExt, rngs::StdRng};
use regionmesh_core::{
    health::{
        probe::{ProbePolicy, ProbeTracker},
        verdict::{Opinion, RegionVerdict, region_verdict},
    },
    leader::{
        election::{Election, ElectionSettings},
        proposer::{Proposer, ProposerSettings},
    },
    now::Now,
};
use regionmesh_protocol::{
    identity::{AgentId, IdentityError, RegionName},
    plan::{CommittedPlan, Order, PlanTime},
    register::{
        ballot::{Bounds, Reach, Stamp, WITNESS},
        members::{Members, configured},
    },
};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};
use types::{Asker, Change, Seen, Status, Waiting};

/// Time between two ticks.
const TICK: Duration = Duration::from_millis(100);
/// Pause between two exchanges with the same peer, if there is no news.
const EXCHANGE_MS: u64 = 2_000;
/// A peer's opinions count for this long.
const FRESH_MS: u64 = 3_000;
/// Without a leader, how often the acceptors are asked how far they are.
const READ_MS: u64 = 1_000;
/// Pause between two signs of life.
const HEARTBEAT_MS: u64 = 500;
const HEARTBEAT: &[u8] = b"alive";
/// How long a call may take.
const CALL_MS: u64 = 2_000;

/// The defaults of `[health]`.
const PROBES: ProbePolicy = ProbePolicy {
    failures: 3,
    evidence_ms: 300,
    interval_ms: 500,
    confirm_interval_ms: 100,
    successes: 3,
    suspect_ms: 2_000,
    silent_ms: 8_000,
    gap_ms: 1_750,
};

/// One region as this agent probes it.
#[derive(Debug)]
struct Probing {
    tracker: ProbeTracker,
    due_ms: u64,
    is_under_way: bool,
}

/// See the module.
pub(crate) struct Agent {
    config: NodeConfig,
    /// The acceptors that a new register begins with.
    configured: BTreeSet<RegionName>,
    started: Option<Instant>,
    election: Election,
    proposer: Proposer,
    linked: BTreeSet<AgentId>,
    /// When an exchange with each linked peer is due.
    exchange_due_ms: BTreeMap<AgentId, u64>,
    board: BTreeMap<AgentId, Seen>,
    heartbeat_due_ms: u64,
    known: Option<Arc<CommittedPlan>>,
    time: PlanTime,
    probes: BTreeMap<RegionName, Probing>,
    verdicts: BTreeMap<RegionName, RegionVerdict>,
    is_judging_due: bool,
    waiting: BTreeMap<Ticket, Waiting>,
    next_ticket: Ticket,
    /// Calls to each acceptor that have not ended.
    calls: BTreeMap<RegionName, usize>,
    orders: VecDeque<(Order, Asker)>,
    ordered: Option<Asker>,
    change: Option<Change>,
    planned_ms: u64,
    read_ms: u64,
    bounds: (Reach, Option<Stamp>),
}

/// What one input comes with, and where its effects go.
struct Turn<'a> {
    now: Now,
    /// Since the start of the process.
    now_ms: u64,
    rng: &'a mut StdRng,
    out: &'a mut Vec<NodeEffect>,
}

impl Turn<'_> {
    fn random(&mut self) -> u64 {
        self.rng.random()
    }

    fn notice(&mut self, notice: Notice) {
        self.out.push(NodeEffect::Notice(notice));
    }
}

/// Makes an agent; a [`super::node::Build`].
pub(crate) fn build(config: &NodeConfig) -> Box<dyn Node> {
    Box::new(Agent::new(config.clone()))
}

impl Agent {
    fn new(config: NodeConfig) -> Self {
        let names = config.regions.iter().map(|region| region.name.clone());
        let configured = acceptors(names, config.has_witness).unwrap_or_default();
        let probe = |region: &super::node::RegionConfig| {
            let probing = Probing {
                tracker: ProbeTracker::new(0),
                due_ms: 0,
                is_under_way: false,
            };
            (region.name.clone(), probing)
        };

        Self {
            configured,
            started: None,
            election: Election::new(ElectionSettings::default(), config.id.clone(), 0),
            proposer: Proposer::new(ProposerSettings::default()),
            linked: BTreeSet::new(),
            exchange_due_ms: BTreeMap::new(),
            board: BTreeMap::new(),
            heartbeat_due_ms: 0,
            known: None,
            time: PlanTime::default(),
            probes: config.regions.iter().map(probe).collect(),
            verdicts: BTreeMap::new(),
            is_judging_due: true,
            waiting: BTreeMap::new(),
            next_ticket: 0,
            calls: BTreeMap::new(),
            orders: VecDeque::new(),
            ordered: None,
            change: None,
            planned_ms: 0,
            read_ms: 0,
            bounds: (Reach::default(), None),
            config,
        }
    }
}

fn acceptors(
    names: impl Iterator<Item = RegionName>,
    has_witness: bool,
) -> Result<BTreeSet<RegionName>, IdentityError> {
    configured(names, has_witness)
}

impl Node for Agent {
    fn handle(&mut self, input: NodeInput, now: Now, rng: &mut StdRng, out: &mut Vec<NodeEffect>) {
        let started = *self.started.get_or_insert(now.monotonic);
        let now_ms = now.monotonic.duration_since(started).as_millis() as u64;
        let turn = &mut Turn {
            now,
            now_ms,
            rng,
            out,
        };

        match input {
            NodeInput::Start(disk) => self.start(disk, turn),
            NodeInput::Wake => self.tick(turn),
            NodeInput::LinkUp(peer) => {
                self.exchange_due_ms.insert(peer.clone(), now_ms);
                self.linked.insert(peer);
            }
            NodeInput::LinkDown(peer) => {
                self.exchange_due_ms.remove(&peer);
                self.linked.remove(&peer);
            }
            NodeInput::Datagram { from, payload } => {
                if *payload == *HEARTBEAT
                    && let Some(seen) = self.board.get_mut(&from)
                {
                    seen.at_ms = now_ms;
                }
            }
            NodeInput::Asked {
                from,
                question,
                ticket,
            } => self.asked(from, question, ticket, turn),
            NodeInput::Answered { ticket, answer } => {
                self.call_ended(ticket, answer.ok(), turn);
            }
            NodeInput::Applied { ticket, answer } => {
                self.applied(ticket, answer.ok().map(|answer| *answer), turn)
            }
            NodeInput::Probed { region, result } => {
                if let Some(probing) = self.probes.get_mut(&region) {
                    probing.is_under_way = false;
                    let changed = probing.tracker.record(result, now_ms, &PROBES);
                    let pause_ms = match probing.tracker.is_confirming(&PROBES) {
                        true => PROBES.confirm_interval_ms,
                        false => PROBES.interval_ms,
                    };
                    probing.due_ms = now_ms + pause_ms;
                    if changed.is_some() {
                        self.is_judging_due = true;
                        self.hurry_exchanges(now_ms);
                    }
                }
            }
            NodeInput::Ordered { ticket, order } => self.ordered_here(*order, ticket, turn),
        }
    }
}

impl Agent {
    fn start(&mut self, disk: Disk, turn: &mut Turn<'_>) {
        let boot = turn.random();
        self.election = Election::new(ElectionSettings::default(), self.config.id.clone(), boot);
        if let Some(plan) = disk.plan {
            self.learn(plan, None, turn);
        }
        turn.out.push(NodeEffect::WakeAt(turn.now.monotonic + TICK));
    }

    fn tick(&mut self, turn: &mut Turn<'_>) {
        self.exchange(turn);
        self.send_heartbeats(turn);
        self.probe(turn);
        self.time.compare(turn.now_ms, turn.now.unix_ms);
        self.judge(turn);
        self.campaign(turn);
        self.plan_ahead(turn);
        self.set_bounds(turn);
        turn.out.push(NodeEffect::WakeAt(turn.now.monotonic + TICK));
    }

    /// Exchanges statuses with the linked peers whose turn it is.
    fn exchange(&mut self, turn: &mut Turn<'_>) {
        let due = self.exchange_due_ms.iter_mut();
        let due = due.filter(|(_, due_ms)| **due_ms <= turn.now_ms);
        let mut peers = Vec::new();
        for (peer, due_ms) in due {
            *due_ms = turn.now_ms + EXCHANGE_MS;
            peers.push(peer.clone());
        }

        for peer in peers {
            let Some(payload) = self.status_for(&peer, turn) else {
                continue;
            };
            let ticket = self.wait(Waiting::Exchange(peer.clone()));
            turn.out.push(NodeEffect::Ask {
                to: Peer::Agent(peer),
                question: Question::Exchange(payload),
                ticket,
                timeout_ms: CALL_MS,
            });
        }
    }

    /// Peers are to hear of a change at once.
    fn hurry_exchanges(&mut self, now_ms: u64) {
        for due_ms in self.exchange_due_ms.values_mut() {
            *due_ms = now_ms;
        }
    }

    /// Tells every known agent that this one lives.
    fn send_heartbeats(&mut self, turn: &mut Turn<'_>) {
        if self.heartbeat_due_ms > turn.now_ms {
            return;
        }

        self.heartbeat_due_ms = turn.now_ms + HEARTBEAT_MS;
        let payload: Arc<[u8]> = HEARTBEAT.into();
        for to in self.board.keys() {
            turn.out.push(NodeEffect::Datagram {
                to: to.clone(),
                payload: payload.clone(),
            });
        }
    }

    fn wait(&mut self, waiting: Waiting) -> Ticket {
        self.next_ticket += 1;
        self.waiting.insert(self.next_ticket, waiting);
        self.next_ticket
    }

    fn probe(&mut self, turn: &mut Turn<'_>) {
        for (region, probing) in &mut self.probes {
            if !probing.is_under_way && probing.due_ms <= turn.now_ms {
                probing.is_under_way = true;
                turn.out.push(NodeEffect::Probe(region.clone()));
            }
        }
    }

    /// The verdicts, if an opinion may have changed.
    fn judge(&mut self, turn: &mut Turn<'_>) {
        if !std::mem::take(&mut self.is_judging_due) {
            return;
        }

        for region in &self.config.regions {
            let name = &region.name;
            let own = self.probes.get(name).map(|probing| Opinion {
                agent: &self.config.id,
                condition: probing.tracker.condition(),
                evidence: probing.tracker.evidence(),
                is_fresh: true,
            });
            let others = self.board.iter().filter_map(|(agent, seen)| {
                Some(Opinion {
                    agent,
                    condition: *seen.status.opinions.get(name)?,
                    evidence: "",
                    is_fresh: turn.now_ms - seen.at_ms < FRESH_MS,
                })
            });

            let opinions: Vec<Opinion<'_>> = own.into_iter().chain(others).collect();
            let before = self.verdicts.get(name);
            let verdict = region_verdict(name, &opinions, &[], before, turn.now.unix_ms);
            if before.is_none_or(|before| before.condition != verdict.condition) {
                self.planned_ms = 0;
                let notice = Notice::Verdict(name.clone(), verdict.condition);
                turn.out.push(NodeEffect::Notice(notice));
            }
            self.verdicts.insert(name.clone(), verdict);
        }
    }

    /// Adopts a committed plan that is later than the one known; `age_ms` if its age is known.
    fn learn(&mut self, plan: Arc<CommittedPlan>, age_ms: Option<u64>, turn: &mut Turn<'_>) {
        if self
            .known
            .as_ref()
            .is_some_and(|known| known.stamp >= plan.stamp)
        {
            return;
        }

        self.time
            .learned(plan.plan.made_ms, age_ms, turn.now_ms, turn.now.unix_ms);
        self.known = Some(plan.clone());
        self.hurry_exchanges(turn.now_ms);
        turn.out.push(NodeEffect::Save(plan.clone()));
        turn.out
            .push(NodeEffect::Serve(DnsSnapshot { plan, local: None }));
    }

    /// The register's members as far as known.
    fn members(&self) -> Option<&Members> {
        let known = self.known.as_ref().map(|known| &known.plan.members);
        self.proposer
            .members()
            .or(known)
            .filter(|members| !members.is_empty())
    }

    fn set_bounds(&mut self, turn: &mut Turn<'_>) {
        let allowance = self.election.known().allowance();
        let stamp = self.known.as_ref().map(|known| &known.stamp);
        if (allowance, stamp) == (self.bounds.0, self.bounds.1.as_ref()) {
            return;
        }

        self.bounds = (allowance, stamp.cloned());
        let decided = self
            .known
            .as_ref()
            .map(|known| (known.stamp.clone(), known.plan.clone()));
        turn.out.push(NodeEffect::SetBounds(Box::new(Bounds {
            allowance,
            decided,
        })));
    }

    fn status_for(&self, peer: &AgentId, turn: &Turn<'_>) -> Option<Arc<[u8]>> {
        let has = self
            .board
            .get(peer)
            .and_then(|seen| seen.status.stamp.as_ref());
        let lacks = self
            .known
            .as_ref()
            .filter(|known| has.is_none_or(|has| *has < known.stamp));

        let opinion =
            |(name, probing): (&RegionName, &Probing)| (name.clone(), probing.tracker.condition());
        let status = Status {
            leading: self.proposer.leading().cloned(),
            highest: self.election.highest().cloned(),
            stamp: self.known.as_ref().map(|known| known.stamp.clone()),
            plan: lacks.map(|known| CommittedPlan::clone(known)),
            age: self.time.age(turn.now_ms),
            opinions: self.probes.iter().map(opinion).collect(),
        };

        status.encode()
    }

    /// Where an acceptor is reached without a peer.
    fn near(&self, name: &RegionName) -> Option<Acceptor> {
        if *name == self.config.id.region {
            Some(Acceptor::Own)
        } else if name.as_str() == WITNESS {
            Some(Acceptor::Witness)
        } else {
            None
        }
    }

    fn answer(&self, ticket: Ticket, answer: Answer, turn: &mut Turn<'_>) {
        turn.out.push(NodeEffect::Answer { ticket, answer });
    }
}
