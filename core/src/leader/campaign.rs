//! Elections and leadership: candidature, answers of acceptors, stepping down.

use super::{
    election::{ElectionEffect, ElectionView},
    notice::{ElectionNotice, OrderNotice, OrderOutcome, RegisterNotice},
    proposer::{self, Acceptors, StepDown},
    state::Leader,
    turn::Turn,
    types::Effect,
};
use regionmesh_protocol::{
    identity::RegionName,
    plan::CommittedPlan,
    register::{
        acceptor::{AcceptorAnswer, AcceptorRequest},
        ballot::{Ballot, Stamp},
        members::register_id,
        prevote::PreVoteReply,
    },
    wire::OrderRefusal,
};
use std::time::Duration;

/// Most concurrent calls to one acceptor: a slow one gets repeats.
const CALLS_PER_MEMBER: usize = 4;
/// Pause before a leader makes another plan after objections to the last.
const OBJECTION_PAUSE: Duration = Duration::from_millis(500);

impl Leader {
    pub(super) fn call_acceptor(
        &mut self,
        to: RegionName,
        request: AcceptorRequest,
        turn: &mut Turn<'_>,
    ) {
        let calls = self.calls.entry(to.clone()).or_default();
        if *calls < CALLS_PER_MEMBER {
            *calls += 1;
            turn.emit(Effect::CallAcceptor { to, request });
        }
    }

    /// A leader or a plan under a higher ballot than ours means that a majority promised it: this
    /// agent is fenced already.
    pub(super) fn notice_successor(&mut self, view: &ElectionView, turn: &mut Turn<'_>) {
        let leader = view
            .leader
            .as_ref()
            .filter(|leader| leader.is_alive)
            .map(|leader| leader.ballot.clone());
        let planned = self.confirmed_plan().map(|plan| plan.stamp.ballot.clone());

        let effects: Vec<_> = [leader, planned]
            .into_iter()
            .flatten()
            .flat_map(|ballot| self.proposer.outranked(ballot))
            .collect();

        self.carry_out(effects, turn);
    }

    pub(super) fn acceptor_answered(
        &mut self,
        from: &RegionName,
        answer: Result<AcceptorAnswer, String>,
        turn: &mut Turn<'_>,
    ) {
        if let Some(calls) = self.calls.get_mut(from) {
            *calls = calls.saturating_sub(1);
        }

        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                let from = from.clone();
                return turn.notice(RegisterNotice::Silent { from, error });
            }
        };

        // An acceptor with an implausible state is treated like one that is away.
        if !self.note_acceptor(from, &answer.reply, turn) {
            return;
        }

        let now_ms = self.now_ms(turn.now);
        let effects = self.proposer.answered(from, answer, now_ms);
        self.carry_out(effects, turn);
        if self.proposer.is_ready() {
            let board = self.board();
            self.plan_ahead(&board, turn);
        }

        self.publish_changes(turn);
    }

    pub(super) fn voted(
        &mut self,
        from: &RegionName,
        ballot: &Ballot,
        vote: Result<PreVoteReply, String>,
        turn: &mut Turn<'_>,
    ) {
        let vote = match vote {
            Ok(vote) => Some(vote),
            Err(error) => {
                turn.notice(ElectionNotice::NoVote {
                    from: from.clone(),
                    ballot: ballot.clone(),
                    error,
                });
                None
            }
        };

        if let Some(vote) = vote.as_ref().filter(|vote| !vote.is_granted) {
            turn.notice(ElectionNotice::VoteRefused {
                from: from.clone(),
                ballot: ballot.clone(),
                reason: vote.reason.clone(),
            });
        }

        let view = self.view();
        let now_ms = self.now_ms(turn.now);
        let random = turn.rng.next_u64();
        let effect = self
            .election
            .voted(from, ballot, vote.as_ref(), &view, now_ms, random);

        self.carry_out_election(effect, turn);
    }

    pub(super) fn carry_out_election(
        &mut self,
        effect: Option<ElectionEffect>,
        turn: &mut Turn<'_>,
    ) {
        match effect {
            None => {}
            Some(ElectionEffect::RequestVotes(ballot, regions)) => {
                turn.notice(ElectionNotice::AskingForVotes(ballot.clone()));
                for to in regions {
                    let ballot = ballot.clone();
                    turn.emit(Effect::AskVote { to, ballot });
                }
            }
            Some(ElectionEffect::Propose(ballot)) => self.campaign(ballot, turn),
        }
    }

    fn campaign(&mut self, ballot: Ballot, turn: &mut Turn<'_>) {
        turn.notice(ElectionNotice::Campaigning(ballot.clone()));

        let now_ms = self.now_ms(turn.now);
        let acceptors = match self.members() {
            Some(members) => Acceptors::Known(members),
            None => {
                let names = self.settings.configured.clone();
                let register = register_id(&self.settings.mesh, &names);
                Acceptors::First { names, register }
            }
        };

        if let Some(known) = self.confirmed_plan().cloned() {
            self.proposer.learn(&known);
        }
        match self.proposer.prepare(ballot, acceptors, now_ms) {
            Ok(effects) => self.carry_out(effects, turn),
            Err(error) => {
                turn.notice(ElectionNotice::CannotCampaign(error.to_string()));

                let random = turn.rng.next_u64();
                self.election.stepped_down(None, now_ms, random);
            }
        }
    }

    /// Performs what the proposer asks for.
    pub(super) fn carry_out(&mut self, effects: Vec<proposer::Effect>, turn: &mut Turn<'_>) {
        for effect in effects {
            match effect {
                proposer::Effect::Send { to, request } => self.call_acceptor(to, request, turn),
                proposer::Effect::Found(stamp, plan) => self.found(stamp, plan, turn),
                proposer::Effect::Elected(ballot) => {
                    self.election.elected(&ballot);
                    turn.notice(ElectionNotice::Elected(ballot));
                }
                proposer::Effect::Committed(committed) => self.committed(committed, turn),
                proposer::Effect::Certified(committed) => {
                    self.learn_plan(&committed, true, None, turn);
                }
                proposer::Effect::Unjustified { from, stamp, why } => {
                    let stamp = Box::new(stamp);
                    turn.notice(RegisterNotice::Unjustified { from, stamp, why });
                }
                proposer::Effect::PassedOver(stamp) => {
                    turn.notice(RegisterNotice::PassedOver(stamp));
                }
                proposer::Effect::Dropped(stamp) => self.dropped(stamp, turn),
                proposer::Effect::Joined(region, incarnation) => {
                    self.joined(region, incarnation, turn);
                }
                proposer::Effect::NotJoined(region, why) => self.not_joined(region, why, turn),
                proposer::Effect::SteppedDown(ballot, reason) => {
                    self.stepped_down(ballot, reason, turn);
                }
            }
        }
    }

    fn committed(&mut self, committed: CommittedPlan, turn: &mut Turn<'_>) {
        let proposed_at = self.proposed_at.take();
        let duration = proposed_at.map(|at| turn.now.monotonic.saturating_duration_since(at));
        turn.notice(RegisterNotice::Committed {
            stamp: committed.stamp.clone(),
            reason: committed.plan.reason.clone(),
            duration,
        });

        self.decided(committed.clone(), turn);
        self.learn_plan(&committed, true, duration, turn);

        let is_member = committed.plan.members.has(self.own_region());
        if let Some(ticket) = self.ordered.take() {
            turn.notice(OrderNotice::Ended(OrderOutcome::Committed));
            turn.emit(Effect::OrderReply(ticket, Box::new(Ok(committed))));
        }

        if !is_member {
            let effects = self.proposer.step_down(StepDown::Removed);
            self.carry_out(effects, turn);
        }
    }

    /// Our plan was given up after objections.
    fn dropped(&mut self, stamp: Stamp, turn: &mut Turn<'_>) {
        turn.notice(RegisterNotice::Dropped(stamp));
        self.proposed_at = None;
        self.rests_until = Some(turn.now.monotonic + OBJECTION_PAUSE);

        if let Some(ticket) = self.ordered.take() {
            let why = "agents of the acceptors object to the plan: see their logs";
            turn.notice(OrderNotice::Ended(OrderOutcome::Unknown));
            let refusal = OrderRefusal::Unknown(why.into());
            turn.emit(Effect::OrderReply(ticket, Box::new(Err(refusal))));
        }
    }

    fn stepped_down(&mut self, ballot: Ballot, reason: StepDown, turn: &mut Turn<'_>) {
        let why = format!("the leader stepped down: {reason}");
        turn.notice(ElectionNotice::SteppedDown {
            ballot,
            reason: reason.clone(),
        });

        self.proposed_at = None;
        self.refuse_orders(&why, turn);

        let by = match &reason {
            StepDown::Outranked(by) => Some(by),
            StepDown::NoMajority { .. } | StepDown::Removed | StepDown::Objections => None,
        };
        let now_ms = self.now_ms(turn.now);
        let random = turn.rng.next_u64();
        self.election.stepped_down(by, now_ms, random);
    }
}
