//! Inputs in, effects out.

use super::{
    certificate::is_confirmed,
    notice::{ElectionNotice, Notice, PlanNotice},
    proposer::{Proposer, ProposerSettings},
    state::Leader,
    turn::Turn,
    types::{Effect, Input, Refusal, Settings, Start},
};
use crate::now::Now;
use rand::Rng;
use regionmesh_protocol::{
    plan::CommittedPlan,
    register::{
        acceptor::AcceptorRequest,
        ballot::Ballot,
        certificate::AgentSignature,
        prevote::{PreVoteReply, PreVoteRequest},
    },
};

impl Leader {
    /// Takes in one input and appends what is to be done to `out`, in order.
    pub fn handle(&mut self, input: Input, now: Now, rng: &mut impl Rng, out: &mut Vec<Effect>) {
        let turn = &mut Turn { now, rng, out };
        if let Some(shift_ms) = self.clocks.plan.compare(now) {
            turn.notice(Notice::PlanShifted(shift_ms));
        }

        match input {
            Input::Start(start) => self.start(*start, turn),
            Input::Tick => self.tick(turn),
            Input::Board(board) => self.seen.board = board,
            Input::Verdicts(verdicts) => self.see(|seen| seen.verdicts = verdicts, now),
            Input::OwnView(own_view) => self.see(|seen| seen.own_view = own_view, now),
            Input::Contact(contact) => self.seen.contact = contact,
            Input::Candidacy(candidacy) => self.seen.candidacy = candidacy,
            Input::PeerClock(peer) => self.clocks.heard(&peer, now),
            Input::CostTarget(target) => self.cost_target(target, turn),
            Input::AcceptorAnswered { from, answer } => self.acceptor_answered(&from, answer, turn),
            Input::AcceptorRead {
                round,
                from,
                answer,
            } => self.acceptor_read(round, from, answer, turn),
            Input::Voted { from, ballot, vote } => self.voted(&from, &ballot, vote, turn),
            Input::VoteAsked(request, ticket) => {
                let reply = self.vote(&request, turn);
                turn.emit(Effect::VoteReply(ticket, reply));
            }
            Input::Proposed(proposal, ticket) => self.proposed(&proposal, ticket, turn),
            Input::Order(order, ticket) => self.order(*order, ticket, turn),
            Input::ProposerHeard(ballot) => self.proposer_heard(&ballot, now),
            // Perhaps the others have moved on.
            Input::AskedTooFar => self.trust.is_due = true,
            Input::Stop => self.stop(turn),
        }

        self.publish_plan_clock(turn);
    }

    /// Takes over the plan from before the start and reads our acceptor.
    fn start(&mut self, start: Start, turn: &mut Turn<'_>) {
        let Start {
            saved,
            confirmation,
            known,
            freeze,
        } = start;

        self.plan = known;
        self.published.freeze = freeze;
        if let Some(plan) = saved {
            self.restore(&plan, confirmation.as_ref(), turn);
        }

        let own = self.own_region().clone();
        self.call_acceptor(own, AcceptorRequest::Read, turn);
        self.publish_changes(turn);
    }

    /// Continues with a plan from the disk if it is proven. It is compared with the acceptors as
    /// soon as they can be read.
    fn restore(
        &mut self,
        plan: &CommittedPlan,
        confirmation: Option<&AgentSignature>,
        turn: &mut Turn<'_>,
    ) {
        let Settings { id, mesh, .. } = &self.settings;
        let is_own = |signed| is_confirmed(mesh, id, &*self.verifier, plan, signed);

        if confirmation.is_some_and(is_own) || self.is_certified(plan, None) {
            self.learn_plan(plan, false, None, turn);
            return;
        }

        turn.notice(PlanNotice::Unproven(plan.stamp.clone()));
        turn.count_refusal(Refusal::PlanNotCommitted);
    }

    /// Publishes that this agent no longer leads, so that others need not wait for a timeout.
    fn stop(&mut self, turn: &mut Turn<'_>) {
        self.proposer = Proposer::new(ProposerSettings::default());
        self.refuse_orders("the leader's agent stops", turn);
        self.publish_changes(turn);
    }

    fn tick(&mut self, turn: &mut Turn<'_>) {
        let board = self.board();
        self.weigh(&board, turn);
        self.check_clocks(&board, turn);
        self.judge_currency(&board, turn);

        let view = self.view();
        self.notice_successor(&view, turn);

        let now_ms = self.now_ms(turn.now);
        let effects = self.proposer.tick(now_ms);
        self.carry_out(effects, turn);

        let random = turn.rng.next_u64();
        let effect = self.election.tick(&view, now_ms, random);
        self.carry_out_election(effect, turn);
        self.plan_ahead(&board, turn);
        self.publish_changes(turn);
        self.judge_freeze(&board, turn);
    }

    fn vote(&mut self, request: &PreVoteRequest, turn: &mut Turn<'_>) -> PreVoteReply {
        let view = self.view();
        let now_ms = self.now_ms(turn.now);
        let reply = self.election.vote(request, &view, now_ms);

        // Perhaps this agent was away: the acceptors' state shows it.
        self.trust.is_due |= request.ballot.number > self.election.known().allowance().number;
        turn.notice(ElectionNotice::VoteAsked {
            ballot: request.ballot.clone(),
            is_granted: reply.is_granted,
            reason: reply.reason.clone(),
        });
        reply
    }

    fn proposer_heard(&mut self, ballot: &Ballot, now: Now) {
        self.election.heard(ballot, self.now_ms(now));
        self.trust.promised = Some(ballot.clone());
    }
}
