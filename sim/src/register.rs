//! The register and its elections among agents that crash, over a network that drops, repeats,
//! delays and partitions, while its members change and stores lose what they held.
//!
//! Acceptors are modelled down to their slots (see [`store`]): puts take time, replies get lost,
//! agents of a region race, old slots are compacted, and slots are deleted by whoever should not.
//! Leaders add, remove, rename and mend members.
//!
//! Checked all along: one stamp carries one value; what a proposer calls committed a majority of
//! those who decide has; the committed plans form one chain, each made from the one before, so that
//! no election and no change of members ever loses a plan. At the end, with the network healed:
//! exactly one leader, and a vote for every member.

mod attack;
mod laws;
mod store;

use crate::random::Random;
use regionmesh_core::leader::{
    election::{Election, ElectionEffect, ElectionSettings, ElectionView, KnownLeader},
    proposer::{Acceptors, Effect, Proposer, ProposerSettings, StepDown},
};
use regionmesh_protocol::{
    identity::{AgentId, RegionName},
    plan::Plan,
    register::{
        acceptor::{AcceptorAnswer, AcceptorRequest},
        ballot::{Ballot, Stamp},
        members::{Incarnation, MemberChange, Members, Mend},
        prevote::{PreVoteReply, PreVoteRequest},
    },
};
use std::collections::{BTreeMap, BTreeSet};
use store::{Asked, Slots, Step, StoreHandler};

const TICK_MS: u64 = 100;
const DEAD_AFTER_MS: u64 = 2_000;
/// A healed mesh must be led within this time.
const HEALING_MS: u64 = 30_000;

/// What one run is like.
#[derive(Debug, Clone, Copy)]
pub struct Scenario {
    /// Decides everything.
    pub seed: u64,
    /// Regions that the configuration names, each with one acceptor.
    pub regions: usize,
    /// Further regions that may become members.
    pub spare_regions: usize,
    /// Whether members change and stores lose slots.
    pub is_eventful: bool,
    /// Whether, once every member has its vote, somebody asks acceptors for ballots far beyond all
    /// others with an agent's key and tells of such ballots (odd seeds), or rewrites the first
    /// region's slots (even ones).
    pub is_attacked: bool,
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
    /// Committed changes of members: joins, suspensions, removals, renamings.
    pub member_changes: usize,
    /// Times that an acceptor lost its state.
    pub losses: usize,
    /// Whether more stores lost their slots at once than a register bears.
    pub is_stuck: bool,
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
    Tick {
        agent: usize,
        life: u64,
    },
    Request {
        from: usize,
        life: u64,
        to: RegionName,
        request: AcceptorRequest,
    },
    Store {
        by: usize,
        life: u64,
        step: Box<Step>,
    },
    Compact {
        region: usize,
        below: u64,
    },
    Reply {
        to: usize,
        life: u64,
        from: RegionName,
        answer: AcceptorAnswer,
    },
    AskVote {
        from: usize,
        life: u64,
        region: usize,
        ballot: Ballot,
    },
    Vote {
        to: usize,
        life: u64,
        region: usize,
        ballot: Ballot,
        vote: PreVoteReply,
    },
    Fault,
}

#[derive(Debug)]
struct Agent {
    id: AgentId,
    region: usize,
    life: u64,
    is_up: bool,
    handler: StoreHandler,
    election: Election,
    proposer: Proposer,
    /// The latest plan that it knows to be committed; on its disk.
    known: Option<(Stamp, Plan)>,
    /// Of each other agent: under which ballot it said that it leads, and when it was last heard.
    board: BTreeMap<usize, (Option<Ballot>, u64)>,
    /// The member that is joining, and as whom once it has.
    joining: Option<(RegionName, Option<Incarnation>)>,
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
    slots: Vec<Slots>,
    agents: Vec<Agent>,
    cut: BTreeSet<(usize, usize)>,
    are_faults_on: bool,
    plans: u64,
    accepted: BTreeMap<Stamp, (Plan, BTreeSet<Incarnation>)>,
    /// Who decides about a value, as its proposer asked them.
    deciders: BTreeMap<Stamp, Members>,
    /// The members that each value proposed names.
    proposed: BTreeMap<Stamp, Members>,
    /// The latest value that a proposer called committed.
    latest: Option<(Stamp, Plan)>,
    elections: usize,
    losses: usize,
    last_commit_ms: u64,
    broken: Option<String>,
}

/// Plays one scenario to its end.
pub fn run(scenario: Scenario) -> Result<Outcome, Broken> {
    let broken = |what: String| Broken {
        seed: scenario.seed,
        what,
    };
    let mut world = World::new(scenario).map_err(broken)?;

    world.play().map_err(broken)
}

fn name<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{text:?} is not a name"))
}

impl World {
    fn new(scenario: Scenario) -> Result<Self, String> {
        let regions = scenario.regions + scenario.spare_regions;
        let names: Vec<RegionName> = (0..regions)
            .map(|region| name(&format!("r{region}")))
            .collect::<Result<_, _>>()?;
        let mut world = Self {
            scenario,
            random: Random::new(scenario.seed),
            now_ms: 0,
            order: 0,
            events: BTreeMap::new(),
            names,
            slots: vec![Slots::default(); regions],
            agents: Vec::new(),
            cut: BTreeSet::new(),
            are_faults_on: true,
            plans: 0,
            accepted: BTreeMap::new(),
            deciders: BTreeMap::new(),
            proposed: BTreeMap::new(),
            latest: None,
            elections: 0,
            losses: 0,
            last_commit_ms: 0,
            broken: None,
        };

        for index in 0..regions * scenario.agents_per_region {
            let region = index % regions;
            let id: AgentId = name(&format!("r{region}/a{index}"))?;
            world.agents.push(Agent {
                region,
                life: 0,
                is_up: false,
                handler: StoreHandler::default(),
                election: Election::new(ElectionSettings::default(), id.clone(), 0),
                proposer: Proposer::new(ProposerSettings::default()),
                known: None,
                board: BTreeMap::new(),
                joining: None,
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

            if !self.are_faults_on
                && self.last_commit_ms > healed_ms
                && self.is_led()
                && self.is_mended()
            {
                let (committed, member_changes) = self.check_chain()?;
                self.check_slots()?;

                let healed_after_ms = self.now_ms - healed_ms;
                let elections = self.elections;
                let losses = self.losses;

                return Ok(Outcome {
                    committed,
                    elections,
                    member_changes,
                    losses,
                    is_stuck: false,
                    healed_after_ms,
                });
            }

            if time_ms > healed_ms + HEALING_MS {
                if !self.keeps_majority(None) {
                    // Two stores lost their slots before either could join again: nobody may decide
                    // any more.
                    let (committed, member_changes) = self.check_chain()?;
                    let elections = self.elections;
                    let losses = self.losses;

                    return Ok(Outcome {
                        committed,
                        elections,
                        member_changes,
                        losses,
                        is_stuck: true,
                        healed_after_ms: 0,
                    });
                }

                let latest = self
                    .latest
                    .as_ref()
                    .map(|(stamp, plan)| (stamp.to_string(), &plan.members));

                return Err(format!(
                    "no single leader, no new plan or no vote for some member {HEALING_MS} ms after the network was \
                     healed: {latest:?}"
                ));
            }
        }

        Err("nothing happens any more".into())
    }

    fn at(&mut self, delay_ms: u64, event: Event) {
        self.order += 1;
        self.events
            .insert((self.now_ms + delay_ms, self.order), event);
    }

    fn boot(&mut self, index: usize) {
        let boot = self.random.draw();
        let Some(agent) = self.agents.get_mut(index) else {
            return;
        };

        agent.life += 1;
        agent.is_up = true;
        agent.handler = StoreHandler::default();
        agent.joining = None;
        agent.election = Election::new(ElectionSettings::default(), agent.id.clone(), boot);
        agent.proposer = Proposer::new(ProposerSettings::default());
        agent.board.clear();

        let life = agent.life;
        self.at(0, Event::Tick { agent: index, life });
    }

    fn heal(&mut self) {
        self.are_faults_on = false;
        self.cut.clear();

        let down: Vec<usize> = (0..self.agents.len())
            .filter(|index| !self.agents[*index].is_up)
            .collect();
        down.into_iter().for_each(|index| self.boot(index));
    }

    fn is_led(&self) -> bool {
        let leaders: Vec<_> = self
            .agents
            .iter()
            .filter_map(|agent| agent.proposer.leading())
            .collect();
        let [leader] = leaders[..] else { return false };

        self.agents.iter().enumerate().all(|(index, agent)| {
            agent.id == leader.agent
                || self
                    .known_leader(index)
                    .is_some_and(|known| known.ballot == *leader)
        })
    }

    fn step(&mut self, event: Event) {
        match event {
            Event::Tick { agent, life } => self.tick(agent, life),
            Event::Fault => self.fault(),
            Event::Request {
                from,
                life,
                to,
                request,
            } => {
                let Some(by) = self
                    .region_of(&to)
                    .and_then(|region| self.some_agent(region))
                else {
                    return;
                };

                self.ask_handler(
                    by,
                    Asked {
                        request,
                        from,
                        from_life: life,
                        to,
                    },
                );
            }
            Event::Store { by, life, step } => self.store_step(by, life, *step),
            Event::Compact { region, below } => self.slots[region].compact(below),
            Event::Reply {
                to,
                life,
                from,
                answer,
            } if self.is_life(to, life) => {
                // An acceptor that says what can't be is heard no more than one that is away.
                if !self.agents[to].election.acceptor_says(&from, &answer.reply) {
                    return;
                }

                let effects = self.agents[to]
                    .proposer
                    .answered(&from, answer, self.now_ms);
                self.carry_out(to, effects);
            }
            Event::AskVote {
                from,
                life,
                region,
                ballot,
            } => {
                let Some(by) = self.some_agent(region) else {
                    return;
                };
                let view = self.view(by);
                let request = PreVoteRequest {
                    ballot: ballot.clone(),
                };
                let vote = self.agents[by].election.vote(&request, &view, self.now_ms);

                if ballot.number > self.agents[by].election.known().allowance().number {
                    self.ask_how_far(by);
                }
                self.send(
                    region,
                    self.agents[from].region,
                    Event::Vote {
                        to: from,
                        life,
                        region,
                        ballot,
                        vote,
                    },
                );
            }
            Event::Vote {
                to,
                life,
                region,
                ballot,
                vote,
            } if self.is_life(to, life) => {
                let view = self.view(to);
                let random = self.random.draw();
                let from = self.names[region].clone();
                let now_ms = self.now_ms;
                let effect = self.agents[to].election.voted(
                    &from,
                    &ballot,
                    Some(&vote),
                    &view,
                    now_ms,
                    random,
                );

                self.carry_out_election(to, effect);
            }
            Event::Reply { .. } | Event::Vote { .. } => {}
        }
    }

    fn is_life(&self, agent: usize, life: u64) -> bool {
        self.agents[agent].is_up && self.agents[agent].life == life
    }

    /// The region behind a name: `x3` is region 3 after it was renamed.
    fn region_of(&self, name: &RegionName) -> Option<usize> {
        name.as_str()
            .get(1..)?
            .parse()
            .ok()
            .filter(|region| *region < self.names.len())
    }

    fn some_agent(&mut self, region: usize) -> Option<usize> {
        let up: Vec<usize> = (0..self.agents.len())
            .filter(|i| self.agents[*i].region == region && self.agents[*i].is_up)
            .collect();
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
        let pair = (
            self.random.below(self.names.len() as u64),
            self.random.below(self.names.len() as u64),
        );
        let from = pair.0 as usize;
        let to = pair.1 as usize;

        if self.scenario.is_attacked && self.has_all_votes() {
            self.attack(victim);
        }

        match self
            .random
            .below(if self.scenario.is_eventful { 9 } else { 8 })
        {
            8 => self.lose_slots(from),
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
                self.cut
                    .extend(others.flat_map(|other| [(from, other), (other, from)]));
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
        if let Some(ballot) = self
            .known_leader(index)
            .filter(|leader| leader.is_alive)
            .map(|leader| leader.ballot)
        {
            let effects = self.agents[index].proposer.outranked(ballot);
            self.carry_out(index, effects);
        }

        let effects = self.agents[index].proposer.tick(now_ms);
        self.carry_out(index, effects);

        let view = self.view(index);
        let random = self.random.draw();
        let effect = self.agents[index].election.tick(&view, now_ms, random);

        self.carry_out_election(index, effect);
        self.tend_members(index);
        if self.agents[index].proposer.leading().is_some() && self.random.chance(30) {
            self.make_plan(index);
        }
        self.at(TICK_MS, Event::Tick { agent: index, life });
    }

    fn gossip(&mut self, index: usize) {
        let region = self.agents[index].region;
        for other in 0..self.agents.len() {
            let theirs = &self.agents[other];
            let is_heard =
                other != index && theirs.is_up && !self.cut.contains(&(theirs.region, region));

            if !is_heard || self.random.chance(30) {
                continue;
            }

            let leading = theirs.proposer.leading().cloned();
            let highest = theirs.election.highest().cloned();
            let agent = &mut self.agents[index];

            if let Some(highest) = highest {
                agent.election.observe(&highest);
            }
            agent.board.insert(other, (leading, self.now_ms));

            let known = self.agents[other].known.clone();
            self.learn(index, known);
        }
    }

    fn learn(&mut self, index: usize, known: Option<(Stamp, Plan)>) {
        let agent = &mut self.agents[index];
        if known.as_ref().map(|(stamp, _)| stamp) > agent.known.as_ref().map(|(stamp, _)| stamp) {
            agent.known = known;
        }
    }

    fn members(&self, index: usize) -> Option<&Members> {
        let agent = &self.agents[index];
        agent
            .proposer
            .members()
            .or(agent.known.as_ref().map(|(_, plan)| &plan.members))
    }

    fn configured(&self) -> BTreeSet<RegionName> {
        self.names
            .iter()
            .take(self.scenario.regions)
            .cloned()
            .collect()
    }

    fn known_leader(&self, index: usize) -> Option<KnownLeader> {
        let known = self.agents[index]
            .board
            .values()
            .filter_map(|(leading, at_ms)| {
                let is_alive = self.now_ms.saturating_sub(*at_ms) < DEAD_AFTER_MS;
                leading
                    .clone()
                    .map(|ballot| KnownLeader { ballot, is_alive })
            });

        known.max_by(|a, b| a.ballot.cmp(&b.ballot))
    }

    fn view(&self, index: usize) -> ElectionView {
        let members = self
            .members(index)
            .map_or_else(|| self.configured(), Members::names);
        ElectionView {
            leader: self.known_leader(index),
            members,
            ..ElectionView::default()
        }
    }

    /// A plan made from the last that its maker knows to be committed: `<number> after <that one's
    /// number>`.
    fn make_plan(&mut self, index: usize) {
        self.plans += 1;
        // A plan that waits behind another is not made from it; the agent, too, plans only when
        // nothing is under way.
        if self.agents[index].proposer.is_ready() {
            self.commit(index, None);
        }
    }

    fn commit(&mut self, index: usize, members: Option<Members>) {
        let proposer = &mut self.agents[index].proposer;
        let parent = proposer
            .decided()
            .map_or("0", |(_, plan)| plan_number(plan));
        let reason = format!("{} after {parent}", self.plans);
        let plan = Plan {
            reason,
            members: members.unwrap_or_default(),
            ..Plan::default()
        };

        match proposer.commit(plan, self.now_ms) {
            Ok(effects) => self.carry_out(index, effects),
            Err(error) => self.broken = Some(error.to_string()),
        }
    }

    /// As the dns-leader actor does: commits what has joined, mends, and now and then carries out
    /// an order.
    fn tend_members(&mut self, index: usize) {
        let agent = &self.agents[index];
        let Some((_, plan)) = agent
            .proposer
            .decided()
            .filter(|_| agent.proposer.is_ready())
        else {
            return;
        };
        let members = plan.members.clone();

        let change = match &agent.joining {
            Some((name, Some(incarnation))) => {
                let change = MemberChange::Join(name.clone(), *incarnation);
                self.agents[index].joining = None;
                Some(change)
            }
            Some(_) => None,
            None => match members.mend(&agent.proposer.heard(self.now_ms)) {
                Some(Mend::Suspend(name)) => Some(MemberChange::Suspend(name)),
                Some(Mend::Join(name)) => return self.begin_join(index, name),
                None if self.scenario.is_eventful
                    && self.are_faults_on
                    && self.random.chance(4) =>
                {
                    return self.order_member(index, &members);
                }
                None => None,
            },
        };

        if let Some(members) = change.and_then(|change| members.after(&change).ok()) {
            self.plans += 1;
            self.commit(index, Some(members));
        }
    }

    fn begin_join(&mut self, index: usize, name: RegionName) {
        let incarnation = Incarnation(self.random.draw());
        if let Ok(effects) =
            self.agents[index]
                .proposer
                .join(name.clone(), incarnation, self.now_ms)
        {
            self.agents[index].joining = Some((name, None));
            self.carry_out(index, effects);
        }
    }

    fn order_member(&mut self, index: usize, members: &Members) {
        let region = self.random.below(self.names.len() as u64) as usize;
        let Some(name) = members
            .names()
            .into_iter()
            .find(|name| self.region_of(name) == Some(region))
        else {
            // As for a real order: what is there must be a majority without the new one.
            let heard = self.agents[index].proposer.heard(self.now_ms);
            let answers = |(name, counted): &(&RegionName, &Option<Incarnation>)| {
                counted.is_some() && heard.get(*name) == counted.as_ref()
            };
            let answering = members.acceptors.iter().filter(answers);

            if answering.count() > members.len().div_ceil(2) {
                self.begin_join(index, self.names[region].clone());
            }
            return;
        };

        let is_last = region + 1 == self.names.len();
        let change = match self.random.below(2) {
            // Three are left, so that losing one leaves a majority.
            0 if members.len() > 3 => MemberChange::Remove(name),
            1 if is_last => {
                let other = if name.as_str().starts_with('r') {
                    format!("x{region}")
                } else {
                    format!("r{region}")
                };
                let Ok(other) = other.parse() else { return };

                MemberChange::Rename(name, other)
            }
            _ => return,
        };

        if let Ok(members) = members.after(&change) {
            self.plans += 1;
            self.commit(index, Some(members));
        }
    }

    fn carry_out_election(&mut self, index: usize, effect: Option<ElectionEffect>) {
        match effect {
            None => {}
            Some(ElectionEffect::AskVotes(ballot, regions)) => {
                let life = self.agents[index].life;
                let from = self.agents[index].region;
                let asked = |region: &usize| regions.contains(&self.names[*region]);
                let asked: Vec<usize> = (0..self.names.len()).filter(asked).collect();

                for region in asked {
                    self.send(
                        from,
                        region,
                        Event::AskVote {
                            from: index,
                            life,
                            region,
                            ballot: ballot.clone(),
                        },
                    );
                }
            }
            Some(ElectionEffect::Stand(ballot)) => {
                let acceptors = match self.agents[index].known.as_ref() {
                    Some((_, plan)) => Acceptors::Known(plan.members.clone()),
                    None => Acceptors::First {
                        names: self.configured(),
                        register: 7,
                    },
                };

                match self.agents[index]
                    .proposer
                    .prepare(ballot, acceptors, self.now_ms)
                {
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
                    let Some(region) = self.region_of(&to) else {
                        continue;
                    };
                    let life = self.agents[index].life;
                    let from = self.agents[index].region;

                    if let (AcceptorRequest::Accept(stamp, plan), Some(members)) =
                        (&request, self.agents[index].proposer.members())
                    {
                        self.proposed
                            .entry(stamp.clone())
                            .or_insert_with(|| plan.members.clone());
                        self.deciders
                            .entry(stamp.clone())
                            .or_insert_with(|| members.clone());
                    }

                    self.send(
                        from,
                        region,
                        Event::Request {
                            from: index,
                            life,
                            to,
                            request,
                        },
                    );
                }
                Effect::Elected(ballot) => {
                    self.elections += 1;
                    self.agents[index].election.elected(&ballot);
                }
                Effect::Committed(stamp, plan) => self.committed(index, stamp, plan),
                Effect::Joined(name, incarnation) => {
                    self.agents[index].joining = Some((name, Some(incarnation)))
                }
                Effect::NotJoined(..) => self.agents[index].joining = None,
                Effect::SteppedDown(_, reason) => {
                    self.agents[index].joining = None;
                    let by = if let StepDown::Outranked(by) = &reason {
                        Some(by)
                    } else {
                        None
                    };
                    let random = self.random.draw();

                    self.agents[index]
                        .election
                        .stepped_down(by, self.now_ms, random);
                }
            }
        }
    }

    fn committed(&mut self, index: usize, stamp: Stamp, plan: Plan) {
        self.last_commit_ms = self.now_ms;
        let votes = self
            .accepted
            .get(&stamp)
            .filter(|(accepted, _)| *accepted == plan)
            .map(|(_, votes)| votes);
        let has_it = votes.is_some_and(|votes| {
            self.deciders
                .get(&stamp)
                .is_some_and(|all| all.has_majority(votes))
        });

        if !has_it {
            self.broken = Some(format!(
                "{stamp} was called committed, and no majority has it"
            ));
        }

        if self
            .latest
            .as_ref()
            .is_none_or(|(latest, _)| *latest < stamp)
        {
            self.latest = Some((stamp.clone(), plan.clone()));
        }

        self.learn(index, Some((stamp, plan.clone())));
        if !plan.members.has(&self.agents[index].id.region) {
            let effects = self.agents[index].proposer.step_down(StepDown::Removed);
            self.carry_out(index, effects);
        }
    }
}

fn plan_number(plan: &Plan) -> &str {
    plan.reason.split(' ').next().unwrap_or_default()
}
