//! Elections and leadership: candidature, answers of acceptors, stepping down.

use super::driver::Driver;
use regionmesh_core::leader::{
    election::{ElectionEffect, ElectionView},
    proposer::{Acceptors, Effect, StepDown},
};
use regionmesh_protocol::{
    identity::RegionName,
    plan::CommittedPlan,
    register::{
        acceptor::AcceptorAnswer,
        ballot::Ballot,
        members::register_id,
        prevote::{PreVoteReply, PreVoteRequest},
    },
};

impl Driver {
    pub(super) fn vote(&mut self, request: &PreVoteRequest) -> PreVoteReply {
        let view = self.view();
        let now_ms = self.now_ms();
        let reply = self.election.vote(request, &view, now_ms);

        // Perhaps this agent was away: the acceptors' state shows it.
        self.trust.is_due |= request.ballot.number > self.election.known().allowance().number;
        tracing::debug!(
            ballot = %request.ballot,
            granted = reply.is_granted,
            reason = %reply.reason,
            "asked for our vote"
        );
        reply
    }

    pub(super) fn proposer_heard(&mut self, ballot: &Ballot) {
        let now_ms = self.now_ms();
        self.election.heard(ballot, now_ms);
        self.trust.promised = Some(ballot.clone());
    }

    /// A leader or a plan under a higher ballot than ours means that a majority promised it: this
    /// agent is fenced already.
    pub(super) fn notice_successor(&mut self, view: &ElectionView) {
        let leader = view
            .leader
            .as_ref()
            .filter(|leader| leader.is_alive)
            .map(|leader| leader.ballot.clone());
        let known = self.confirmed_plan();

        let planned = known.map(|plan| plan.stamp.ballot.clone());
        let effects: Vec<_> = [leader, planned]
            .into_iter()
            .flatten()
            .flat_map(|ballot| self.proposer.outranked(ballot))
            .collect();

        self.carry_out(effects);
    }

    pub(super) fn acceptor_answered(
        &mut self,
        from: RegionName,
        answer: Result<AcceptorAnswer, String>,
    ) {
        if let Some(calls) = self.calls.get_mut(&from) {
            *calls = calls.saturating_sub(1);
        }

        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                self.arguments
                    .metrics
                    .register
                    .calls_failed
                    .with_label_values(&[from.as_str()])
                    .inc();

                tracing::debug!(acceptor = %from, %error, "an acceptor did not answer");
                return;
            }
        };

        // An acceptor with an implausible state is treated like one that is away.
        if !self.note_acceptor(&from, &answer.reply) {
            return;
        }

        let now_ms = self.now_ms();
        let effects = self.proposer.answered(&from, answer, now_ms);
        self.carry_out(effects);
        if self.proposer.is_ready() {
            let board = self.board();
            self.plan_ahead(&board);
        }

        self.publish_changes();
    }

    pub(super) fn voted(
        &mut self,
        from: RegionName,
        ballot: Ballot,
        vote: Result<PreVoteReply, String>,
    ) {
        match &vote {
            Ok(vote) if vote.is_granted => {}
            Ok(vote) => tracing::debug!(%from, %ballot, reason = %vote.reason, "vote refused"),
            Err(error) => tracing::debug!(%from, %ballot, %error, "no vote"),
        }

        let view = self.view();
        let now_ms = self.now_ms();
        let effect = self.election.voted(
            &from,
            &ballot,
            vote.as_ref().ok(),
            &view,
            now_ms,
            rand::random(),
        );

        self.carry_out_election(effect);
    }

    pub(super) fn carry_out_election(&mut self, effect: Option<ElectionEffect>) {
        let elections = &self.arguments.metrics.election.elections;
        match effect {
            None => {}
            Some(ElectionEffect::RequestVotes(ballot, regions)) => {
                elections.with_label_values(&["asked"]).inc();
                tracing::debug!(%ballot, "no leader is seen; asking for votes");
                regions
                    .into_iter()
                    .for_each(|region| self.ask_vote(region, ballot.clone()));
            }
            Some(ElectionEffect::Propose(ballot)) => {
                elections.with_label_values(&["stood"]).inc();
                tracing::info!(%ballot, "campaigning for leadership");

                let now_ms = self.now_ms();
                let acceptors = match self.members() {
                    Some(members) => Acceptors::Known(members),
                    None => {
                        let names = self.configured.clone();
                        let register = register_id(&self.arguments.config.mesh, &names);
                        Acceptors::First { names, register }
                    }
                };

                match self.proposer.prepare(ballot, acceptors, now_ms) {
                    Ok(effects) => self.carry_out(effects),
                    Err(error) => {
                        tracing::warn!(%error, "cannot campaign for leadership");
                        self.election.stepped_down(None, now_ms, rand::random());
                    }
                }
            }
        }
    }

    pub(super) fn carry_out(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Send { to, request } => self.call_acceptor(to, request),
                Effect::Elected(ballot) => {
                    self.arguments
                        .metrics
                        .election
                        .elections
                        .with_label_values(&["won"])
                        .inc();

                    tracing::info!(%ballot, "elected leader");
                    self.election.elected(&ballot);
                }
                Effect::Committed(committed) => self.committed(committed),
                Effect::Certified(committed) => self.learn_plan(&committed, true, None),
                Effect::Joined(region, incarnation) => self.joined(region, incarnation),
                Effect::NotJoined(region, why) => self.not_joined(&region, &why),
                Effect::SteppedDown(ballot, reason) => self.stepped_down(&ballot, &reason),
            }
        }
    }

    fn committed(&mut self, committed: CommittedPlan) {
        let metrics = &self.arguments.metrics;
        metrics.register.commits.inc();

        let duration = self.proposed_at.take().map(|at| at.elapsed());
        if let Some(duration) = duration {
            metrics
                .register
                .commit_duration
                .observe(duration.as_secs_f64());
        }
        let CommittedPlan { stamp, plan, .. } = &committed;
        tracing::info!(%stamp, seq = stamp.seq, reason = %plan.reason, ?duration, "plan committed");

        self.decided(committed.clone());
        self.learn_plan(&committed, true, duration);
        if let Some(reply) = self.ordered.take() {
            self.count_order("committed");

            let _ = reply.send(Ok(committed.clone()));
        }

        if !committed.plan.members.has(&self.arguments.id.region) {
            let effects = self.proposer.step_down(StepDown::Removed);
            self.carry_out(effects);
        }
    }

    fn stepped_down(&mut self, ballot: &Ballot, reason: &StepDown) {
        let (label, by) = match reason {
            StepDown::Outranked(by) => ("outranked", Some(by)),
            StepDown::NoMajority { .. } => ("no-majority", None),
            StepDown::Removed => ("removed", None),
        };

        self.arguments
            .metrics
            .election
            .step_downs
            .with_label_values(&[label])
            .inc();

        self.proposed_at = None;
        tracing::warn!(%ballot, %reason, "stepped down");
        self.refuse_orders(&format!("the leader stepped down: {reason}"));

        let now_ms = self.now_ms();
        self.election.stepped_down(by, now_ms, rand::random());
    }
}
