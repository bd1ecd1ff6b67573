//! What agents do when a message arrives or time passes.

use super::{
    slots::Asked,
    world::{Event, World},
};
use regionmesh_core::leader::election::{ElectionView, KnownLeader};
use regionmesh_protocol::{
    identity::RegionName,
    plan::Plan,
    register::{
        acceptor::AcceptorAnswer,
        ballot::{Ballot, Stamp},
        members::Members,
        prevote::{PreVoteReply, PreVoteRequest},
    },
};

/// Time between two ticks of an agent.
const TICK_MS: u64 = 100;
/// Silence after which an agent counts as dead.
const DEAD_AFTER_MS: u64 = 2_000;

impl World {
    pub(super) fn step(&mut self, event: Event) {
        match event {
            Event::Tick { agent, run } => self.tick(agent, run),
            Event::Fault => self.fault(),
            Event::Request {
                from,
                run,
                to,
                request,
            } => {
                let asked = Asked {
                    request,
                    from,
                    from_run: run,
                    to,
                };

                self.requested(asked);
            }
            Event::Store { by, run, step } => self.store_step(by, run, *step),
            Event::Compact { region, below } => self.slots[region].compact(below),
            Event::Reply {
                to,
                run,
                from,
                answer,
            } if self.is_current_run(to, run) => self.answered(to, &from, answer),
            Event::RequestVote {
                from,
                run,
                region,
                ballot,
            } => self.vote_requested(from, run, region, ballot),
            Event::Vote {
                to,
                run,
                region,
                ballot,
                vote,
            } if self.is_current_run(to, run) => self.voted(to, region, &ballot, &vote),
            Event::Reply { .. } | Event::Vote { .. } => {}
        }
    }

    fn requested(&mut self, asked: Asked) {
        let agent = self
            .region_of(&asked.to)
            .and_then(|region| self.some_agent(region));
        if let Some(by) = agent {
            self.enqueue(by, asked);
        }
    }

    fn answered(&mut self, to: usize, from: &RegionName, answer: AcceptorAnswer) {
        // An implausible reply is ignored, as if the acceptor were unreachable.
        if !self.agents[to]
            .election
            .acceptor_replied(from, &answer.reply)
        {
            return;
        }

        let now_ms = self.now_ms;
        let effects = self.agents[to].proposer.answered(from, answer, now_ms);
        self.carry_out(to, effects);
    }

    fn vote_requested(&mut self, from: usize, run: u64, region: usize, ballot: Ballot) {
        let Some(by) = self.some_agent(region) else {
            return;
        };
        let view = self.view(by);
        let request = PreVoteRequest {
            ballot: ballot.clone(),
        };
        let vote = self.agents[by].election.vote(&request, &view, self.now_ms);

        if ballot.number > self.agents[by].election.known().allowance().number {
            self.ask_progress(by);
        }
        self.send(
            region,
            self.agents[from].region,
            Event::Vote {
                to: from,
                run,
                region,
                ballot,
                vote,
            },
        );
    }

    fn voted(&mut self, to: usize, region: usize, ballot: &Ballot, vote: &PreVoteReply) {
        let view = self.view(to);
        let random = self.random.draw();
        let from = &self.names[region];
        let election = &mut self.agents[to].election;
        let effect = election.voted(from, ballot, Some(vote), &view, self.now_ms, random);

        self.carry_out_election(to, effect);
    }

    fn tick(&mut self, index: usize, run: u64) {
        if !self.is_current_run(index, run) {
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
        self.maintain_members(index);
        if self.agents[index].proposer.leading().is_some() && self.random.chance(30) {
            self.make_plan(index);
        }
        self.at(TICK_MS, Event::Tick { agent: index, run });
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

    pub(super) fn learn(&mut self, index: usize, known: Option<(Stamp, Plan)>) {
        let agent = &mut self.agents[index];
        if known.as_ref().map(|(stamp, _)| stamp) > agent.known.as_ref().map(|(stamp, _)| stamp) {
            agent.known = known;
        }
    }

    pub(super) fn known_leader(&self, index: usize) -> Option<KnownLeader> {
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
}
