//! Three regions with one agent each, their endpoints, acceptors and empty stores, and the network
//! between them. Time is virtual.

use super::{
    super::*,
    settings::{REGIONS, START_MS, id, settings},
};
use crate::{
    gossip::BoardView,
    health::{FinishedProbe, Probe, probe::ProbeResult, verdict::RegionVerdict},
    leader::{LeaderView, PlanClock, certificate::sign_answer},
    replication::{Cleaned, Scan},
    testing::{Key, Toy},
    ticket::Ticket,
};
use rand::{SeedableRng, rngs::StdRng};
use regionmesh_protocol::{
    identity::{AgentId, RegionName},
    models::catalogue::Catalogue,
    register::{
        acceptor::{AcceptorAnswer, AcceptorRequest, AcceptorState},
        ballot::{Ballot, Bounds},
        members::Incarnation,
        prevote::PreVoteRequest,
    },
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

const ONE_WAY: Duration = Duration::from_millis(20);
/// A probe, or a task with the store.
const LOCAL: Duration = Duration::from_millis(1);

pub(super) struct Node {
    id: AgentId,
    core: Core,
    acceptor: AcceptorState,
    bounds: Bounds,
    alarm: Option<Instant>,
    /// Whether its region's endpoint answers probes.
    pub(super) is_serving: bool,
    /// Whether the agent runs.
    pub(super) is_up: bool,
    pub(super) board: Arc<BoardView>,
    pub(super) verdicts: Arc<BTreeMap<RegionName, RegionVerdict>>,
    pub(super) plan: Option<Arc<CommittedPlan>>,
    pub(super) plan_clock: Option<PlanClock>,
    pub(super) leader: LeaderView,
    pub(super) is_current: bool,
    pub(super) has_catalogues: bool,
}

enum Event {
    Wake,
    Input(Input),
    Probe(Probe),
    Call {
        to: usize,
        request: Box<AcceptorRequest>,
        /// The round, if it is a read.
        round: Option<u64>,
    },
    AskVote {
        to: usize,
        ballot: Ballot,
    },
}

/// Who waits for the answer to a ticket.
enum Asked {
    Exchange { by: usize, at: Instant },
    Vote { by: usize, ballot: Ballot },
}

pub(super) struct World {
    begin: Instant,
    pub(super) now: Instant,
    pub(super) nodes: Vec<Node>,
    events: BTreeMap<(Instant, u64), (usize, Event)>,
    scheduled: u64,
    asked: BTreeMap<u64, Asked>,
    tickets: u64,
    rng: StdRng,
    /// Every effect in words, by time and agent.
    pub(super) log: Vec<String>,
}

impl World {
    /// Starts three agents, connected to each other.
    pub(super) fn start(seed: u64, begin: Instant) -> Self {
        let mut world = Self {
            begin,
            now: begin,
            nodes: Vec::new(),
            events: BTreeMap::new(),
            scheduled: 0,
            asked: BTreeMap::new(),
            tickets: 0,
            rng: StdRng::seed_from_u64(seed),
            log: Vec::new(),
        };

        for name in REGIONS {
            let node = world.node(name);
            world.nodes.push(node);
        }
        for index in 0..REGIONS.len() {
            world.input(index, Input::Wake);
            world.link(index);
        }

        world
    }

    fn node(&mut self, name: &str) -> Node {
        let id = id(name);
        let now = self.now();
        let keys = Keys {
            signer: Arc::new(Key(id.clone(), 0)),
            verifier: Arc::new(Toy),
            orders: Arc::new(Toy),
        };
        let core = Core::new(settings(name), None, None, keys, now, &mut self.rng);

        Node {
            id,
            core,
            acceptor: AcceptorState::begin(Incarnation(self.rng.next_u64())),
            bounds: Bounds::default(),
            alarm: None,
            is_serving: true,
            is_up: true,
            board: Arc::default(),
            verdicts: Arc::default(),
            plan: None,
            plan_clock: None,
            leader: LeaderView::default(),
            is_current: false,
            has_catalogues: false,
        }
    }

    /// Connects an agent to all others.
    pub(super) fn link(&mut self, index: usize) {
        let own = self.nodes[index].id.clone();
        let others = REGIONS.map(id).into_iter().filter(|other| *other != own);
        let links = others.map(|other| (other, 40_000)).collect();
        self.input(index, Input::Links(Arc::new(links)));
    }

    pub(super) fn index(&self, region: &RegionName) -> usize {
        let is_there = |node: &Node| node.id.region == *region;
        self.nodes.iter().position(is_there).unwrap()
    }

    pub(super) fn now(&self) -> Now {
        let passed = self.now.saturating_duration_since(self.begin).as_millis();
        Now {
            monotonic: self.now,
            unix_ms: START_MS + u64::try_from(passed).unwrap(),
        }
    }

    fn schedule(&mut self, at: Instant, of: usize, event: Event) {
        self.scheduled += 1;
        let at = at.max(self.now);
        self.events.insert((at, self.scheduled), (of, event));
    }

    fn answer(&mut self, after: Duration, to: usize, input: Input) {
        self.schedule(self.now + after, to, Event::Input(input));
    }

    fn ticket(&mut self, asked: Asked) -> u64 {
        self.tickets += 1;
        self.asked.insert(self.tickets, asked);
        self.tickets
    }

    pub(super) fn input(&mut self, index: usize, input: Input) {
        let now = self.now();
        let mut effects = Vec::new();
        let core = &mut self.nodes[index].core;
        core.handle(input, now, &mut self.rng, &mut effects);

        for effect in effects {
            let at = self.now - self.begin;
            self.log.push(format!("{at:?} {index} {effect:?}"));
            self.perform(index, effect);
        }
    }

    /// Passes time until `is_so`, at most `longest`; returns how long it took.
    pub(super) fn until(
        &mut self,
        what: &str,
        longest: Duration,
        is_so: impl Fn(&Self) -> bool,
    ) -> Duration {
        let begin = self.now;
        while !is_so(self) {
            self.step();
            assert!(self.now <= begin + longest, "waited in vain: {what}");
        }

        self.now - begin
    }

    pub(super) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.events.keys().next().unwrap().0 <= end {
            self.step();
        }
    }

    /// Lets the next event happen.
    fn step(&mut self) {
        let ((at, _), (of, event)) = self.events.pop_first().unwrap();
        self.now = at;
        if self.nodes[of].is_up {
            self.happen(of, event);
        }
    }

    fn happen(&mut self, of: usize, event: Event) {
        match event {
            Event::Wake => {
                if self.nodes[of].alarm == Some(self.now) {
                    self.nodes[of].alarm = None;
                    self.input(of, Input::Wake);
                }
            }
            Event::Input(input) => self.input(of, input),
            Event::Probe(probe) => self.probe(of, probe),
            Event::Call { to, request, round } => {
                let from = self.nodes[to].id.region.clone();
                let answer = self.call(of, to, &request);
                let input = match round {
                    None => leader::Input::AcceptorAnswered { from, answer },
                    Some(round) => leader::Input::AcceptorRead {
                        round,
                        from,
                        answer,
                    },
                };
                self.answer(ONE_WAY, of, Input::Leader(Box::new(input)));
            }
            Event::AskVote { to, ballot } if self.nodes[to].is_up => {
                let asked = Asked::Vote {
                    by: of,
                    ballot: ballot.clone(),
                };
                let ticket = Ticket(self.ticket(asked));
                let request = PreVoteRequest { ballot };
                self.input(
                    to,
                    Input::Leader(Box::new(leader::Input::VoteAsked(request, ticket))),
                );
            }
            Event::AskVote { to, ballot } => {
                let input = leader::Input::Voted {
                    from: self.nodes[to].id.region.clone(),
                    ballot,
                    vote: Err("not connected".into()),
                };
                self.answer(ONE_WAY, of, Input::Leader(Box::new(input)));
            }
        }
    }

    fn probe(&mut self, of: usize, probe: Probe) {
        let is_serving = self.nodes[self.index(&probe.region)].is_serving;
        let result = if is_serving {
            ProbeResult::Success {
                round_trip_us: 700,
                evidence: "200 in 0.7 ms".into(),
            }
        } else {
            ProbeResult::DefiniteFailure("connection refused".into())
        };

        let finished = FinishedProbe {
            region: probe.region,
            index: probe.index,
            is_inference: probe.is_inference,
            result,
            started: self.now,
            ended: self.now + LOCAL,
        };
        let input = health::Input::ProbeFinished(finished);
        self.answer(LOCAL, of, Input::Health(input));
    }

    /// Asks an acceptor: one's own in its store, others through their agent.
    fn call(
        &mut self,
        from: usize,
        to: usize,
        request: &AcceptorRequest,
    ) -> Result<AcceptorAnswer, String> {
        let node = &mut self.nodes[to];
        if !node.is_up {
            return Err("not connected".into());
        }

        let (reply, changed) = node.acceptor.apply_within(request, &node.bounds);
        node.acceptor = changed.unwrap_or(node.acceptor.clone());
        let incarnation = node.acceptor.incarnation;
        let id = node.id.clone();

        let heard = leader::Input::of_asked(request, &reply);
        if let Some(heard) = heard.filter(|_| from != to) {
            self.input(to, Input::Leader(Box::new(heard)));
        }

        let answer = AcceptorAnswer {
            incarnation,
            reply,
            acceptance: None,
        };
        let mesh = settings(id.region.as_str()).gossip.mesh;
        sign_answer(&mesh, &id, &Key(id.clone(), 0), request, answer)
    }

    fn perform(&mut self, index: usize, effect: Effect) {
        match effect {
            Effect::WakeAt(at) => {
                let before = self.nodes[index].alarm.replace(at);
                assert!(at >= self.now, "agent {index} wakes in the past");
                assert_ne!(before, Some(at), "agent {index} repeats its alarm");
                self.schedule(at, index, Event::Wake);
            }
            // Its regions have at most three agents.
            Effect::Gateways(_) => {}
            Effect::Gossip(effect) => self.perform_gossip(index, effect),
            Effect::Health(health::Effect::Probe(probe)) => {
                self.schedule(probe.at, index, Event::Probe(probe));
            }
            Effect::Health(health::Effect::Verdicts(verdicts)) => {
                self.nodes[index].verdicts = verdicts;
            }
            Effect::Health(health::Effect::CheckCanaries(_) | health::Effect::Notice(_)) => {}
            Effect::Leader(effect) => self.perform_leader(index, effect),
            Effect::Replication(effect) => self.perform_replication(index, effect),
            Effect::Health(health::Effect::Publish(_) | health::Effect::OwnView(_)) => {
                panic!("left the core: {effect:?}")
            }
        }
    }

    fn perform_gossip(&mut self, index: usize, effect: gossip::Effect) {
        let from = self.nodes[index].id.clone();
        match effect {
            gossip::Effect::SendDatagram { to, payload } => {
                let to = self.index(&to.region);
                let input = gossip::Input::Datagram { from, payload };
                self.answer(ONE_WAY, to, Input::Gossip(input));
            }
            gossip::Effect::BeginExchange { with, request } => {
                let asked = Asked::Exchange {
                    by: index,
                    at: self.now,
                };
                let input = gossip::Input::ExchangeAsked {
                    from,
                    request,
                    ticket: Ticket(self.ticket(asked)),
                };
                let with = self.index(&with.region);
                self.answer(ONE_WAY, with, Input::Gossip(input));
            }
            gossip::Effect::Reply(ticket, answer) => {
                let Some(Asked::Exchange { by, at }) = self.asked.remove(&ticket.0) else {
                    panic!("{ticket:?} is not an exchange");
                };
                let input = gossip::Input::ExchangeEnded {
                    with: from,
                    span: (at, self.now + ONE_WAY),
                    answer: Ok(answer),
                };
                self.answer(ONE_WAY, by, Input::Gossip(input));
            }
            gossip::Effect::Board(board) => self.nodes[index].board = board,
            gossip::Effect::Notice(_) => {}
            inner => panic!("left the core: {inner:?}"),
        }
    }

    fn perform_leader(&mut self, index: usize, effect: leader::Effect) {
        let at = self.now + ONE_WAY;
        match effect {
            leader::Effect::CallAcceptor { to, request } => {
                let to = self.index(&to);
                let round = None;
                let request = Box::new(request);
                self.schedule(at, index, Event::Call { to, request, round });
            }
            leader::Effect::ReadAcceptor { round, to } => {
                let to = self.index(&to);
                let call = Event::Call {
                    to,
                    request: Box::new(AcceptorRequest::Read),
                    round: Some(round),
                };
                self.schedule(at, index, call);
            }
            leader::Effect::AskVote { to, ballot } => {
                let to = self.index(&to);
                self.schedule(at, index, Event::AskVote { to, ballot });
            }
            leader::Effect::VoteReply(ticket, vote) => {
                let Some(Asked::Vote { by, ballot }) = self.asked.remove(&ticket.0) else {
                    panic!("{ticket:?} is not a vote");
                };
                let input = leader::Input::Voted {
                    from: self.nodes[index].id.region.clone(),
                    ballot,
                    vote: Ok(vote),
                };
                self.answer(ONE_WAY, by, Input::Leader(Box::new(input)));
            }
            leader::Effect::JudgeCost { .. } => {
                let input = leader::Input::CostTarget(None);
                self.answer(LOCAL, index, Input::Leader(Box::new(input)));
            }
            leader::Effect::AdoptPlan(plan) => self.nodes[index].plan = Some(plan),
            leader::Effect::PlanClock(clock) => self.nodes[index].plan_clock = Some(clock),
            leader::Effect::WithdrawPlan => self.nodes[index].plan = None,
            leader::Effect::LeaderView(view) => self.nodes[index].leader = view,
            leader::Effect::Current => self.nodes[index].is_current = true,
            leader::Effect::Bounds(bounds) => self.nodes[index].bounds = *bounds,
            leader::Effect::Publish(_) => panic!("left the core: {effect:?}"),
            _ => {}
        }
    }

    fn perform_replication(&mut self, index: usize, effect: replication::Effect) {
        let catalogue = Catalogue::default();
        let (after, input) = match effect {
            replication::Effect::Scan => {
                let scanned = replication::Input::Scanned(Ok(Scan::default()));
                (LOCAL, scanned)
            }
            replication::Effect::ReadCatalogue { region, .. } => {
                let read = (catalogue.digest().unwrap(), Arc::new(catalogue));
                (
                    ONE_WAY * 2,
                    replication::Input::PeerCatalogue(region, Ok(read)),
                )
            }
            replication::Effect::CleanUp(_) => {
                let cleaned = replication::Input::Cleaned(Ok(Cleaned::default()));
                (LOCAL, cleaned)
            }
            replication::Effect::FindLosses(_) => {
                let found = replication::Input::LossesFound(Ok(Vec::new()));
                (LOCAL, found)
            }
            replication::Effect::HasCatalogues => {
                self.nodes[index].has_catalogues = true;
                return;
            }
            replication::Effect::Publish(_) => panic!("left the core: {effect:?}"),
            _ => return,
        };

        self.answer(after, index, Input::Replication(input));
    }
}
