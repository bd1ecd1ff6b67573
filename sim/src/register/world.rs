//! The simulated mesh: its agents, its network and the faults of both.

use super::{
    scenario::Scenario,
    slots::{Slots, Step, StoreHandler},
};
use crate::random::Random;
use regionmesh_core::leader::{
    election::{Election, ElectionSettings},
    proposer::{Proposer, ProposerSettings},
};
use regionmesh_protocol::{
    identity::{AgentId, RegionName},
    plan::Plan,
    register::{
        acceptor::{AcceptorAnswer, AcceptorRequest},
        ballot::{Ballot, Stamp},
        members::{Incarnation, Members},
        prevote::PreVoteReply,
    },
};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Clone)]
pub(super) enum Event {
    Tick {
        agent: usize,
        run: u64,
    },
    Request {
        from: usize,
        run: u64,
        to: RegionName,
        request: AcceptorRequest,
    },
    Store {
        by: usize,
        run: u64,
        step: Box<Step>,
    },
    Compact {
        region: usize,
        below: u64,
    },
    Reply {
        to: usize,
        run: u64,
        from: RegionName,
        answer: AcceptorAnswer,
    },
    RequestVote {
        from: usize,
        run: u64,
        region: usize,
        ballot: Ballot,
    },
    Vote {
        to: usize,
        run: u64,
        region: usize,
        ballot: Ballot,
        vote: PreVoteReply,
    },
    Fault,
}

#[derive(Debug)]
pub(super) struct Agent {
    pub(super) id: AgentId,
    pub(super) region: usize,
    pub(super) run: u64,
    pub(super) is_up: bool,
    pub(super) handler: StoreHandler,
    pub(super) election: Election,
    pub(super) proposer: Proposer,
    /// The latest plan that it knows to be committed, which survives crashes.
    pub(super) known: Option<(Stamp, Plan)>,
    /// By other agent: the ballot that it claims to lead under, and when it was last heard.
    pub(super) board: BTreeMap<usize, (Option<Ballot>, u64)>,
    /// The member that is joining; its incarnation once it has joined.
    pub(super) joining: Option<(RegionName, Option<Incarnation>)>,
}

/// The simulated mesh.
#[derive(Debug)]
pub(super) struct World {
    pub(super) scenario: Scenario,
    pub(super) random: Random,
    pub(super) now_ms: u64,
    pub(super) order: u64,
    pub(super) events: BTreeMap<(u64, u64), Event>,
    pub(super) names: Vec<RegionName>,
    pub(super) slots: Vec<Slots>,
    pub(super) agents: Vec<Agent>,
    pub(super) cut: BTreeSet<(usize, usize)>,
    pub(super) are_faults_on: bool,
    pub(super) plans: u64,
    pub(super) accepted: BTreeMap<Stamp, (Plan, BTreeSet<Incarnation>)>,
    /// The members that decide about a value, as its proposer sees them.
    pub(super) deciders: BTreeMap<Stamp, Members>,
    /// The members in each proposed value.
    pub(super) proposed: BTreeMap<Stamp, Members>,
    /// The latest value that a proposer called committed.
    pub(super) latest: Option<(Stamp, Plan)>,
    pub(super) elections: usize,
    pub(super) losses: usize,
    pub(super) last_commit_ms: u64,
    pub(super) broken: Option<String>,
}

impl World {
    pub(super) fn new(scenario: Scenario) -> Result<Self, String> {
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
                run: 0,
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

    pub(super) fn at(&mut self, delay_ms: u64, event: Event) {
        self.order += 1;
        self.events
            .insert((self.now_ms + delay_ms, self.order), event);
    }

    pub(super) fn boot(&mut self, index: usize) {
        let boot = self.random.draw();
        let Some(agent) = self.agents.get_mut(index) else {
            return;
        };

        agent.run += 1;
        agent.is_up = true;
        agent.handler = StoreHandler::default();
        agent.joining = None;
        agent.election = Election::new(ElectionSettings::default(), agent.id.clone(), boot);
        agent.proposer = Proposer::new(ProposerSettings::default());
        agent.board.clear();

        let run = agent.run;
        self.at(0, Event::Tick { agent: index, run });
    }

    pub(super) fn heal(&mut self) {
        self.are_faults_on = false;
        self.cut.clear();

        let down: Vec<usize> = (0..self.agents.len())
            .filter(|index| !self.agents[*index].is_up)
            .collect();
        down.into_iter().for_each(|index| self.boot(index));
    }

    pub(super) fn is_led(&self) -> bool {
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

    pub(super) fn is_current_run(&self, agent: usize, run: u64) -> bool {
        self.agents[agent].is_up && self.agents[agent].run == run
    }

    /// The region with a name: `x3` is region 3 after it was renamed.
    pub(super) fn region_of(&self, name: &RegionName) -> Option<usize> {
        name.as_str()
            .get(1..)?
            .parse()
            .ok()
            .filter(|region| *region < self.names.len())
    }

    pub(super) fn some_agent(&mut self, region: usize) -> Option<usize> {
        let up: Vec<usize> = (0..self.agents.len())
            .filter(|i| self.agents[*i].region == region && self.agents[*i].is_up)
            .collect();
        let choice = self.random.below(up.len() as u64);
        up.get(choice as usize).copied()
    }

    /// Sends a message between regions, which may be lost, repeated or late.
    pub(super) fn send(&mut self, from: usize, to: usize, event: Event) {
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

    pub(super) fn fault(&mut self) {
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
}

fn name<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{text:?} is not a name"))
}
