//! Elections, and the proposer's requests to acceptors.

use super::{Agent, CALL_MS, FRESH_MS, READ_MS, Turn, types::Waiting};
use crate::mesh::node::{NodeEffect, Notice, Peer, Question};
use regionmesh_core::leader::{
    election::{ElectionEffect, ElectionView, KnownLeader},
    proposer::{Acceptors, Effect, StepDown},
};
use regionmesh_protocol::{
    identity::RegionName,
    plan::{CommittedPlan, Plan},
    register::{
        acceptor::{AcceptorAnswer, AcceptorRequest},
        ballot::{Ballot, Stamp, WITNESS},
        members::{Members, register_id},
        prevote::{PreVoteReply, PreVoteRequest},
    },
    status::condition::Condition,
    wire::{OrderRefusal, PeerRequest},
};
use std::sync::Arc;

/// Most calls to one acceptor at a time.
const CALLS_MAX: usize = 4;

impl Agent {
    pub(super) fn campaign(&mut self, turn: &mut Turn<'_>) {
        let leader = self.known_leader(turn).filter(|leader| leader.is_alive);
        let planned = self.known.as_ref().map(|known| known.stamp.ballot.clone());
        for ballot in leader
            .map(|leader| leader.ballot)
            .into_iter()
            .chain(planned)
        {
            let effects = self.proposer.outranked(ballot);
            self.carry_out(effects, turn);
        }

        let effects = self.proposer.tick(turn.now_ms);
        self.carry_out(effects, turn);

        let view = self.view(turn);
        let is_led = view.leader.as_ref().is_some_and(|leader| leader.is_alive)
            || self.proposer.ballot().is_some();
        if !is_led && turn.now_ms >= self.read_ms {
            self.read_ms = turn.now_ms + READ_MS;
            self.read_acceptors(turn);
        }

        let random = turn.random();
        let effect = self.election.tick(&view, turn.now_ms, random);
        self.carry_out_election(effect, turn);
    }

    /// The leader by the statuses of peers.
    pub(super) fn known_leader(&self, turn: &Turn<'_>) -> Option<KnownLeader> {
        let claims = self.board.iter().filter_map(|(agent, seen)| {
            let ballot = seen.status.leading.as_ref()?;
            // An agent can claim only its own ballots.
            (ballot.agent == *agent).then(|| KnownLeader {
                ballot: ballot.clone(),
                is_alive: turn.now_ms - seen.at_ms < FRESH_MS,
            })
        });

        claims.max_by(|a, b| a.ballot.cmp(&b.ballot))
    }

    pub(super) fn view(&self, turn: &Turn<'_>) -> ElectionView {
        let failed = self
            .verdicts
            .iter()
            .filter(|(_, verdict)| verdict.condition == Condition::Failed);

        ElectionView {
            leader: self.known_leader(turn),
            failed: failed.map(|(region, _)| region.clone()).collect(),
            members: self
                .members()
                .map_or_else(|| self.configured.clone(), Members::names),
            is_clock_off: false,
        }
    }

    fn carry_out_election(&mut self, effect: Option<ElectionEffect>, turn: &mut Turn<'_>) {
        match effect {
            None => {}
            Some(ElectionEffect::RequestVotes(ballot, regions)) => {
                for region in regions {
                    self.ask_vote(region, ballot.clone(), turn);
                }
            }
            Some(ElectionEffect::Propose(ballot)) => {
                let acceptors = match self.members() {
                    Some(members) => Acceptors::Known(members.clone()),
                    None => Acceptors::First {
                        register: register_id(&self.config.mesh, &self.configured),
                        names: self.configured.clone(),
                    },
                };
                match self.proposer.prepare(ballot, acceptors, turn.now_ms) {
                    Ok(effects) => self.carry_out(effects, turn),
                    Err(_) => {
                        let random = turn.random();
                        self.election.stepped_down(None, turn.now_ms, random);
                    }
                }
            }
        }
    }

    fn ask_vote(&mut self, region: RegionName, ballot: Ballot, turn: &mut Turn<'_>) {
        if region.as_str() == WITNESS {
            let ticket = self.wait(Waiting::WitnessVote(region.clone(), ballot));
            return self.apply(&region, ticket, AcceptorRequest::Read, turn);
        }

        let ticket = self.wait(Waiting::Vote(region.clone(), ballot.clone()));
        let request = PeerRequest::PreVote(PreVoteRequest { ballot });
        ask(region, request, ticket, turn);
    }

    pub(super) fn voted(
        &mut self,
        region: &RegionName,
        ballot: &Ballot,
        vote: Option<&PreVoteReply>,
        turn: &mut Turn<'_>,
    ) {
        let view = self.view(turn);
        let random = turn.random();
        let effect = self
            .election
            .voted(region, ballot, vote, &view, turn.now_ms, random);
        self.carry_out_election(effect, turn);
    }

    pub(super) fn carry_out(&mut self, effects: Vec<Effect>, turn: &mut Turn<'_>) {
        for effect in effects {
            match effect {
                Effect::Send { to, request } => self.ask_acceptor(to, request, turn),
                Effect::Elected(ballot) => {
                    self.election.elected(&ballot);
                    self.planned_ms = 0;
                    self.hurry_exchanges(turn.now_ms);
                    turn.notice(Notice::Elected(ballot));
                }
                Effect::Committed(stamp, plan) => self.committed(stamp, plan, turn),
                Effect::Joined(name, incarnation) => self.joined(&name, incarnation),
                Effect::NotJoined(name, why) => self.not_joined(&name, &why.to_string(), turn),
                Effect::SteppedDown(ballot, reason) => {
                    let by = match &reason {
                        StepDown::Outranked(by) => Some(by),
                        _ => None,
                    };
                    let random = turn.random();
                    self.election.stepped_down(by, turn.now_ms, random);
                    turn.notice(Notice::SteppedDown(ballot, reason.to_string()));
                    self.hurry_exchanges(turn.now_ms);
                    self.refuse_orders(turn);
                }
            }
        }
    }

    fn committed(&mut self, stamp: Stamp, plan: Plan, turn: &mut Turn<'_>) {
        let committed = Arc::new(CommittedPlan { stamp, plan });
        let plan = Arc::new(committed.plan.clone());
        turn.notice(Notice::Committed(committed.stamp.clone(), plan));
        let age_ms = turn
            .now
            .unix_ms
            .saturating_sub(committed.plan.made_ms)
            .min(CALL_MS);
        self.learn(committed.clone(), Some(age_ms), turn);

        if let Some(asker) = self.ordered.take() {
            let outcome = Ok(CommittedPlan::clone(&committed));
            self.end_order(asker, outcome, turn);
        }
        if !committed.plan.members.has(&self.config.id.region) {
            let effects = self.proposer.step_down(StepDown::Removed);
            self.carry_out(effects, turn);
        }
    }

    fn refuse_orders(&mut self, turn: &mut Turn<'_>) {
        let why = || "the leader stepped down".to_string();
        if let Some(asker) = self.ordered.take() {
            self.end_order(asker, Err(OrderRefusal::Unknown(why())), turn);
        }
        let joining = self.change.take().and_then(|change| change.asker);
        let queued = std::mem::take(&mut self.orders);
        for asker in queued.into_iter().map(|(_, asker)| asker).chain(joining) {
            self.end_order(asker, Err(OrderRefusal::NotNow(why())), turn);
        }
    }

    pub(super) fn ask_acceptor(
        &mut self,
        to: RegionName,
        request: AcceptorRequest,
        turn: &mut Turn<'_>,
    ) {
        let calls = self.calls.entry(to.clone()).or_default();
        if *calls >= CALLS_MAX {
            return;
        }
        *calls += 1;

        let ticket = self.wait(Waiting::Acceptor(to.clone()));
        match self.near(&to) {
            Some(_) => self.apply(&to, ticket, request, turn),
            None => ask(to, PeerRequest::Acceptor(request), ticket, turn),
        }
    }

    fn apply(&self, to: &RegionName, ticket: u64, request: AcceptorRequest, turn: &mut Turn<'_>) {
        if let Some(acceptor) = self.near(to) {
            turn.out.push(NodeEffect::Apply {
                ticket,
                acceptor,
                request: Box::new(request),
            });
        }
    }

    pub(super) fn acceptor_answered(
        &mut self,
        from: &RegionName,
        answer: Option<AcceptorAnswer>,
        turn: &mut Turn<'_>,
    ) {
        if let Some(calls) = self.calls.get_mut(from) {
            *calls = calls.saturating_sub(1);
        }
        // An implausible reply is ignored, as if the acceptor could not be reached.
        let Some(answer) =
            answer.filter(|answer| self.election.acceptor_replied(from, &answer.reply))
        else {
            return;
        };

        let effects = self.proposer.answered(from, answer, turn.now_ms);
        self.carry_out(effects, turn);
    }

    /// Asks all acceptors how far they are.
    pub(super) fn read_acceptors(&mut self, turn: &mut Turn<'_>) {
        for name in self.view(turn).members {
            self.ask_acceptor(name, AcceptorRequest::Read, turn);
        }
    }
}

fn ask(region: RegionName, request: PeerRequest, ticket: u64, turn: &mut Turn<'_>) {
    turn.out.push(NodeEffect::Ask {
        to: Peer::Region(region),
        question: Question::Request(Arc::new(request)),
        ticket,
        timeout_ms: CALL_MS,
    });
}
