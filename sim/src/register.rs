//! The register and its elections among agents that crash, over a network that drops, repeats, delays and partitions.
//!
//! Acceptors are modelled down to their slots: an agent works on the slot that it last saw, its put-if-absent takes time,
//! its reply may get lost, and two agents of a region race for the next slot. Checked all along: one stamp carries one
//! value; what a proposer calls committed a majority has; the committed plans form one chain, each made from
//! the one before, so that no election ever loses a plan. At the end, with the network healed: exactly one leader.

use crate::random::Random;
use regionmesh_protocol::{
    election::{Election, ElectionEffect, ElectionSettings, KnownLeader, PreVoteReply, PreVoteRequest, Sight},
    identity::{AgentId, RegionName},
    plan::Plan,
    proposer::{Effect, Proposer, ProposerSettings, StepDown},
    register::{AcceptorReply, AcceptorRequest, AcceptorState, Ballot, RegisterValue, Stamp, has_majority},
};
use std::collections::{BTreeMap, BTreeSet};

const TICK_MS: u64 = 100;
const DEAD_AFTER_MS: u64 = 2_000;
/// A healed mesh must be led within this time.
const HEALING_MS: u64 = 30_000;

/// What one run is like.
#[derive(Debug, Clone, Copy)]
pub struct Scenario {
    /// Decides everything.
    pub seed: u64,
    /// Regions, each with one acceptor.
    pub regions: usize,
    /// Agents in each region.
    pub agents_per_region: usize,
    /// How long faults go on, milliseconds.
    pub faults_ms: u64,
}

/// What a run came to.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// Values that a majority accepted.
    pub committed: usize,
    /// Elections won.
    pub elections: usize,
    /// From the healing of the network to one leader and a new plan, milliseconds.
    pub healed_after_ms: u64,
}

/// A law that did not hold; names the seed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// The run's seed.
    pub seed: u64,
    /// What happened.
    pub what: String,
}

#[derive(Debug, Clone)]
enum Event {
    Tick { agent: usize, life: u64 },
    Request { from: usize, life: u64, region: usize, request: AcceptorRequest },
    Put { by: usize, life: u64, base: usize, next: Box<AcceptorState>, reply: Box<AcceptorReply>, asked: Box<Asked> },
    Reply { to: usize, life: u64, region: usize, reply: AcceptorReply },
    AskVote { from: usize, life: u64, region: usize, ballot: Ballot },
    Vote { to: usize, life: u64, region: usize, ballot: Ballot, vote: PreVoteReply },
    Fault,
}

#[derive(Debug, Clone)]
struct Asked {
    request: AcceptorRequest,
    from: usize,
    from_life: u64,
}

#[derive(Debug)]
struct Agent {
    id: AgentId,
    region: usize,
    life: u64,
    is_up: bool,
    seen_slot: usize,
    election: Election,
    proposer: Proposer,
    /// Of each other agent: under which ballot it said that it leads, and when it was last heard.
    board: BTreeMap<usize, (Option<Ballot>, u64)>,
}

/// The simulated mesh.
#[derive(Debug)]
pub struct World {
    scenario: Scenario,
    random: Random,
    now_ms: u64,
    order: u64,
    events: BTreeMap<(u64, u64), Event>,
    names: Vec<RegionName>,
    members: BTreeSet<RegionName>,
    slots: Vec<Vec<AcceptorState>>,
    agents: Vec<Agent>,
    cut: BTreeSet<(usize, usize)>,
    are_faults_on: bool,
    plans: u64,
    accepted: BTreeMap<Stamp, (RegisterValue, BTreeSet<RegionName>)>,
    elections: usize,
    last_commit_ms: u64,
    broken: Option<String>,
}

/// Plays one scenario to its end.
pub fn run(scenario: Scenario) -> Result<Outcome, Broken> {
    let broken = |what: String| Broken { seed: scenario.seed, what };
    let mut world = World::new(scenario).map_err(broken)?;
    world.play().map_err(broken)
}

fn name<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{text:?} is not a name"))
}

impl World {
    fn new(scenario: Scenario) -> Result<Self, String> {
        let names: Vec<RegionName> =
            (0..scenario.regions).map(|region| name(&format!("r{region}"))).collect::<Result<_, _>>()?;
        let mut world = Self {
            scenario,
            random: Random::new(scenario.seed),
            now_ms: 0,
            order: 0,
            events: BTreeMap::new(),
            members: names.iter().cloned().collect(),
            names,
            slots: vec![Vec::new(); scenario.regions],
            agents: Vec::new(),
            cut: BTreeSet::new(),
            are_faults_on: true,
            plans: 0,
            accepted: BTreeMap::new(),
            elections: 0,
            last_commit_ms: 0,
            broken: None,
        };
        for index in 0..scenario.regions * scenario.agents_per_region {
            let region = index % scenario.regions;
            let id: AgentId = name(&format!("r{region}/a{index}"))?;
            world.agents.push(Agent {
                region,
                life: 0,
                is_up: false,
                seen_slot: 0,
                election: Election::new(ElectionSettings::default(), id.clone(), 0),
                proposer: Proposer::new(ProposerSettings::default()),
                board: BTreeMap::new(),
                id,
            });
            world.boot(index);
        }
        world.at(0, Event::Fault);
        Ok(world)
    }

    fn play(&mut self) -> Result<Outcome, String> {
        let healed_ms = self.scenario.faults_ms;
        while let Some(((time_ms, _), event)) = self.events.pop_first() {
            self.now_ms = time_ms;
            if self.are_faults_on && time_ms >= healed_ms {
                self.heal();
            }
            self.step(event);
            if let Some(what) = self.broken.take() {
                return Err(what);
            }
            if !self.are_faults_on && self.last_commit_ms > healed_ms && self.is_led() {
                let committed = self.check_chain()?;
                let healed_after_ms = self.now_ms - healed_ms;
                return Ok(Outcome { committed, elections: self.elections, healed_after_ms });
            }
            if time_ms > healed_ms + HEALING_MS {
                return Err(format!("no single leader and no new plan {HEALING_MS} ms after the network was healed"));
            }
        }
        Err("nothing happens any more".into())
    }

    fn at(&mut self, delay_ms: u64, event: Event) {
        self.order += 1;
        self.events.insert((self.now_ms + delay_ms, self.order), event);
    }

    fn boot(&mut self, index: usize) {
        let boot = self.random.draw();
        let Some(agent) = self.agents.get_mut(index) else { return };
        agent.life += 1;
        agent.is_up = true;
        agent.seen_slot = 0;
        agent.election = Election::new(ElectionSettings::default(), agent.id.clone(), boot);
        agent.proposer = Proposer::new(ProposerSettings::default());
        agent.board.clear();
        let life = agent.life;
        self.at(0, Event::Tick { agent: index, life });
    }

    fn heal(&mut self) {
        self.are_faults_on = false;
        self.cut.clear();
        let down: Vec<usize> = (0..self.agents.len()).filter(|index| !self.agents[*index].is_up).collect();
        down.into_iter().for_each(|index| self.boot(index));
    }

    fn is_led(&self) -> bool {
        let leaders: Vec<_> = self.agents.iter().filter_map(|agent| agent.proposer.leading()).collect();
        let [leader] = leaders[..] else { return false };
        self.agents.iter().enumerate().all(|(index, agent)| {
            agent.id == leader.agent || self.known_leader(index).is_some_and(|known| known.ballot == *leader)
        })
    }

    fn step(&mut self, event: Event) {
        match event {
            Event::Tick { agent, life } => self.tick(agent, life),
            Event::Fault => self.fault(),
            Event::Request { from, life, region, request } => {
                let Some(by) = self.some_agent(region) else { return };
                self.accept(by, Asked { request, from, from_life: life });
            }
            Event::Put { by, life, base, next, reply, asked } => self.put(by, life, base, *next, *reply, *asked),
            Event::Reply { to, life, region, reply } if self.is_life(to, life) => {
                if let AcceptorReply::Refused { promised } = &reply {
                    self.agents[to].election.observe(promised);
                }
                let effects = self.agents[to].proposer.answered(&self.names[region], reply, self.now_ms);
                self.carry_out(to, effects);
            }
            Event::AskVote { from, life, region, ballot } => {
                let Some(by) = self.some_agent(region) else { return };
                let (sight, request) = (self.sight(by), PreVoteRequest { ballot: ballot.clone() });
                let vote = self.agents[by].election.vote(&request, &sight, self.now_ms);
                self.send(region, self.agents[from].region, Event::Vote { to: from, life, region, ballot, vote });
            }
            Event::Vote { to, life, region, ballot, vote } if self.is_life(to, life) => {
                let (sight, random) = (self.sight(to), self.random.draw());
                let (from, now_ms) = (self.names[region].clone(), self.now_ms);
                let effect = self.agents[to].election.voted(&from, &ballot, Some(&vote), &sight, now_ms, random);
                self.carry_out_election(to, effect);
            }
            Event::Reply { .. } | Event::Vote { .. } => {}
        }
    }

    fn is_life(&self, agent: usize, life: u64) -> bool {
        self.agents[agent].is_up && self.agents[agent].life == life
    }

    fn some_agent(&mut self, region: usize) -> Option<usize> {
        let up: Vec<usize> =
            (0..self.agents.len()).filter(|i| self.agents[*i].region == region && self.agents[*i].is_up).collect();
        let choice = self.random.below(up.len() as u64);
        up.get(choice as usize).copied()
    }

    /// One message between regions: perhaps lost, repeated, late.
    fn send(&mut self, from: usize, to: usize, event: Event) {
        let mut copies = 1;
        if self.are_faults_on && from != to {
            if self.cut.contains(&(from, to)) || self.random.chance(8) {
                return;
            }
            copies += u64::from(self.random.chance(5));
        }
        for _ in 0..copies {
            let is_late = self.are_faults_on && self.random.chance(5);
            let delay_ms = 1 + self.random.below(if is_late { 4_000 } else { 80 });
            self.at(delay_ms, event.clone());
        }
    }

    fn fault(&mut self) {
        if !self.are_faults_on {
            return;
        }
        let victim = self.random.below(self.agents.len() as u64) as usize;
        let pair = (self.random.below(self.names.len() as u64), self.random.below(self.names.len() as u64));
        let (from, to) = (pair.0 as usize, pair.1 as usize);
        match self.random.below(8) {
            0 | 1 => self.agents[victim].is_up = false,
            2 | 3 if !self.agents[victim].is_up => self.boot(victim),
            4 => {
                self.cut.insert((from, to));
                if self.random.chance(70) {
                    self.cut.insert((to, from));
                }
            }
            5 => {
                // A whole region is cut off.
                let others = (0..self.names.len()).filter(|other| *other != from);
                self.cut.extend(others.flat_map(|other| [(from, other), (other, from)]));
            }
            _ => self.cut.clear(),
        }
        let delay_ms = 100 + self.random.below(1_500);
        self.at(delay_ms, Event::Fault);
    }

    fn tick(&mut self, index: usize, life: u64) {
        if !self.is_life(index, life) {
            return;
        }
        self.gossip(index);
        let now_ms = self.now_ms;
        if let Some(ballot) = self.known_leader(index).filter(|leader| leader.is_alive).map(|leader| leader.ballot) {
            let effects = self.agents[index].proposer.outranked(ballot);
            self.carry_out(index, effects);
        }
        let effects = self.agents[index].proposer.tick(now_ms);
        self.carry_out(index, effects);
        let (sight, random) = (self.sight(index), self.random.draw());
        let effect = self.agents[index].election.tick(&sight, now_ms, random);
        self.carry_out_election(index, effect);
        if self.agents[index].proposer.leading().is_some() && self.random.chance(30) {
            self.make_plan(index);
        }
        self.at(TICK_MS, Event::Tick { agent: index, life });
    }

    fn gossip(&mut self, index: usize) {
        let region = self.agents[index].region;
        for other in 0..self.agents.len() {
            let theirs = &self.agents[other];
            let is_heard = other != index && theirs.is_up && !self.cut.contains(&(theirs.region, region));
            if !is_heard || self.random.chance(30) {
                continue;
            }
            let (leading, highest) = (theirs.proposer.leading().cloned(), theirs.election.highest().cloned());
            let agent = &mut self.agents[index];
            if let Some(highest) = highest {
                agent.election.observe(&highest);
            }
            agent.board.insert(other, (leading, self.now_ms));
        }
    }

    fn known_leader(&self, index: usize) -> Option<KnownLeader> {
        let known = self.agents[index].board.values().filter_map(|(leading, at_ms)| {
            let is_alive = self.now_ms.saturating_sub(*at_ms) < DEAD_AFTER_MS;
            leading.clone().map(|ballot| KnownLeader { ballot, is_alive })
        });
        known.max_by(|a, b| a.ballot.cmp(&b.ballot))
    }

    fn sight(&self, index: usize) -> Sight {
        Sight { leader: self.known_leader(index), failed: BTreeSet::new(), members: self.members.clone() }
    }

    /// A plan made from the last that its maker knows to be committed: `<number> after <that one's number>`.
    fn make_plan(&mut self, index: usize) {
        self.plans += 1;
        let proposer = &mut self.agents[index].proposer;
        // A plan that waits behind another is not made from it; the agent, too, plans only when nothing is under way.
        if !proposer.is_ready() {
            return;
        }
        let parent = proposer.decided().map_or("0", |(_, value)| plan_number(&value.plan));
        let plan = Plan { reason: format!("{} after {parent}", self.plans), ..Plan::default() };
        let value = RegisterValue { members: self.members.clone(), plan };
        match proposer.commit(value, self.now_ms) {
            Ok(effects) => self.carry_out(index, effects),
            Err(error) => self.broken = Some(error.to_string()),
        }
    }

    fn carry_out_election(&mut self, index: usize, effect: Option<ElectionEffect>) {
        match effect {
            None => {}
            Some(ElectionEffect::AskVotes(ballot, regions)) => {
                let (life, from) = (self.agents[index].life, self.agents[index].region);
                let asked = |region: &usize| regions.contains(&self.names[*region]);
                let asked: Vec<usize> = (0..self.names.len()).filter(asked).collect();
                for region in asked {
                    self.send(from, region, Event::AskVote { from: index, life, region, ballot: ballot.clone() });
                }
            }
            Some(ElectionEffect::Stand(ballot)) => {
                match self.agents[index].proposer.prepare(ballot, self.members.clone(), self.now_ms) {
                    Ok(effects) => self.carry_out(index, effects),
                    Err(error) => self.broken = Some(error.to_string()),
                }
            }
        }
    }

    fn carry_out(&mut self, index: usize, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Send { to, request } => {
                    let Some(region) = self.names.iter().position(|name| *name == to) else { continue };
                    let (life, from) = (self.agents[index].life, self.agents[index].region);
                    self.send(from, region, Event::Request { from: index, life, region, request });
                }
                Effect::Elected(ballot) => {
                    self.elections += 1;
                    self.agents[index].election.elected(&ballot);
                }
                Effect::Committed(stamp, value) => {
                    self.last_commit_ms = self.now_ms;
                    let has_it = self
                        .accepted
                        .get(&stamp)
                        .is_some_and(|(accepted, regions)| *accepted == value && has_majority(&self.members, regions));
                    if !has_it {
                        self.broken = Some(format!("{stamp} was called committed, and no majority has it"));
                    }
                }
                Effect::SteppedDown(_, reason) => {
                    let by = if let StepDown::Outranked(by) = &reason { Some(by) } else { None };
                    let random = self.random.draw();
                    self.agents[index].election.stepped_down(by, self.now_ms, random);
                }
            }
        }
    }

    /// An agent's acceptor judges a request by the slot that it last saw, and puts the next.
    fn accept(&mut self, by: usize, asked: Asked) {
        let region = self.agents[by].region;
        loop {
            let base = self.agents[by].seen_slot;
            let slots = &self.slots[region];
            let state = base.checked_sub(1).and_then(|last| slots.get(last)).cloned().unwrap_or_default();
            let (reply, next) = state.apply(&asked.request);
            match next {
                Some(next) => {
                    let delay_ms = 1 + self.random.below(40);
                    let life = self.agents[by].life;
                    let (next, reply, asked) = (Box::new(next), Box::new(reply), Box::new(asked));
                    return self.at(delay_ms, Event::Put { by, life, base, next, reply, asked });
                }
                None if base == slots.len() => return self.reply(by, &asked, reply),
                None => self.agents[by].seen_slot = slots.len(),
            }
        }
    }

    fn put(&mut self, by: usize, life: u64, base: usize, next: AcceptorState, reply: AcceptorReply, asked: Asked) {
        let region = self.agents[by].region;
        let is_first = self.slots[region].len() == base && !(self.are_faults_on && self.random.chance(3));
        if is_first {
            self.note_accepted(region, &next);
            self.slots[region].push(next);
        }
        // A writer that died meanwhile tells nobody; what it put stands.
        if !self.is_life(by, life) {
            return;
        }
        if is_first {
            self.agents[by].seen_slot = base + 1;
            // A lost reply is resolved by reading back, which takes time, and others may move on meanwhile.
            if self.are_faults_on && self.random.chance(10) {
                return self.accept(by, asked);
            }
            self.reply(by, &asked, reply);
        } else {
            let newest = self.slots[region].len();
            let agent = &mut self.agents[by];
            agent.seen_slot = newest.min(agent.seen_slot.max(base) + 1);
            self.accept(by, asked);
        }
    }

    fn reply(&mut self, by: usize, asked: &Asked, reply: AcceptorReply) {
        let proposer = match &asked.request {
            AcceptorRequest::Prepare(ballot) => Some(ballot),
            AcceptorRequest::Accept(stamp, _) => Some(&stamp.ballot),
            AcceptorRequest::Read => None,
        };
        if let Some(ballot) = proposer.filter(|_| !matches!(reply, AcceptorReply::Refused { .. })) {
            self.agents[by].election.heard(ballot, self.now_ms);
        }
        let (region, to_region) = (self.agents[by].region, self.agents[asked.from].region);
        let event = Event::Reply { to: asked.from, life: asked.from_life, region, reply };
        self.send(region, to_region, event);
    }

    fn note_accepted(&mut self, region: usize, state: &AcceptorState) {
        let Some((stamp, value)) = &state.accepted else { return };
        let (first, regions) = self.accepted.entry(stamp.clone()).or_insert_with(|| (value.clone(), BTreeSet::new()));
        regions.insert(self.names[region].clone());
        if first != value {
            self.broken = Some(format!("{stamp} carries {:?} and {:?}", first.plan.reason, value.plan.reason));
        }
    }

    /// Every committed value is the one before it, committed again, or was made from it.
    fn check_chain(&self) -> Result<usize, String> {
        let mut committed = 0;
        let mut last: Option<(&Stamp, &Plan)> = None;
        for (stamp, (value, regions)) in &self.accepted {
            if !has_majority(&self.members, regions) {
                continue;
            }
            committed += 1;
            let parent = value.plan.reason.rsplit(' ').next().unwrap_or_default();
            let is_next = match last {
                None => parent == "0",
                Some((last_stamp, plan)) => {
                    stamp.seq > last_stamp.seq && (value.plan == *plan || parent == plan_number(plan))
                }
            };
            if !is_next {
                return Err(format!("{stamp} ({}) does not follow {last:?}", value.plan.reason));
            }
            last = Some((stamp, &value.plan));
        }
        Ok(committed)
    }
}

fn plan_number(plan: &Plan) -> &str {
    plan.reason.split(' ').next().unwrap_or_default()
}
