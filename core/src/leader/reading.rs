//! Rounds of reading the acceptors, and what they confirm or refute.

use super::{
    board,
    confirm::{Reading, Voters},
    notice::PlanNotice,
    state::Leader,
    trust::{Claim, Round},
    turn::Turn,
    types::{Effect, Refusal},
};
use crate::{gossip::BoardView, problem_change::ProblemChange};
use regionmesh_protocol::{
    identity::{AgentId, RegionName},
    plan::CommittedPlan,
    register::{
        acceptor::{AcceptorAnswer, AcceptorReply},
        ballot::{Bounds, Reach, Stamp},
        members::Members,
    },
    status::problem::ProblemKind,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// Pause between two rounds of reading, once the agent acts on a plan.
const READ_PAUSE: Duration = Duration::from_secs(1);
/// The same after a start, while peers are being connected and DNS waits.
const FIRST_READ_PAUSE: Duration = Duration::from_millis(150);
/// After this long a round is given up; a call takes less.
const ROUND_TIMEOUT: Duration = Duration::from_secs(6);

impl Leader {
    /// Records an acceptor's state; returns whether it is believed.
    pub(super) fn note_acceptor(
        &mut self,
        from: &RegionName,
        reply: &AcceptorReply,
        turn: &mut Turn<'_>,
    ) -> bool {
        let is_believed = self.election.acceptor_replied(from, reply);
        if from == self.own_region() {
            match reply {
                AcceptorReply::State(state) => self.trust.promised.clone_from(&state.promised),
                AcceptorReply::Promised { ballot, .. } => {
                    self.trust.promised = Some(ballot.clone())
                }
                AcceptorReply::Accepted(stamp) => self.trust.promised = Some(stamp.ballot.clone()),
                _ => {}
            }
        }

        if !is_believed
            || matches!(
                reply,
                AcceptorReply::TooFar(_) | AcceptorReply::Undecided(_)
            )
        {
            self.trust.is_due = true;
        }

        self.bound_acceptors(turn);
        self.report_implausible_acceptors(from, reply, is_believed, turn);
        is_believed
    }

    /// A plan was found committed, or committed by this agent.
    pub(super) fn decided(&mut self, plan: CommittedPlan, turn: &mut Turn<'_>) {
        self.trust.decided = Some((plan.stamp, plan.plan));
        self.bound_acceptors(turn);
    }

    /// Bounds the acceptors whose stores this agent writes by what the others have decided.
    fn bound_acceptors(&mut self, turn: &mut Turn<'_>) {
        let allowance = self.election.known().allowance();
        let decided = &self.trust.decided;
        let is_known = self
            .published
            .bounds
            .as_ref()
            .is_some_and(|bounds| bounds.allowance == allowance && bounds.decided == *decided);

        if !is_known {
            let bounds = Bounds {
                allowance,
                decided: decided.clone(),
            };
            self.published.bounds = Some(bounds.clone());
            turn.emit(Effect::Bounds(Box::new(bounds)));
        }
    }

    fn report_implausible_acceptors(
        &mut self,
        from: &RegionName,
        reply: &AcceptorReply,
        is_believed: bool,
        turn: &mut Turn<'_>,
    ) {
        let kind = ProblemKind::AcceptorImplausible;
        let known = self.election.known();
        let strays: BTreeMap<&RegionName, Reach> = known.strays().collect();
        let subjects: BTreeSet<String> = strays.keys().map(ToString::to_string).collect();

        if self.published.strays.as_ref() != Some(&subjects) {
            self.published.strays = Some(subjects.clone());
            turn.emit(Effect::Problem(ProblemChange::Retain { kind, subjects }));
        }

        if is_believed || !strays.contains_key(from) {
            return;
        }

        let detail = format!(
            "it says {}, and a majority of the acceptors is at {}: it has no vote until its \
                `register/` is removed from its store, see docs/how-to/troubleshoot.md",
            reply.reach().unwrap_or_default(),
            known.majority(),
        );

        turn.count_refusal(Refusal::AcceptorImplausible);
        turn.emit(Effect::Problem(ProblemChange::Set {
            kind,
            subject: from.to_string(),
            detail,
        }));
    }

    /// Reads the state of all acceptors, if that is due and no round is under way.
    pub(super) fn read_if_due(&mut self, turn: &mut Turn<'_>) {
        let now = turn.now.monotonic;
        let elapsed = |at| now.saturating_duration_since(at);
        let pause = if self.seen.contact.is_current {
            READ_PAUSE
        } else {
            FIRST_READ_PAUSE
        };
        let is_paused = self.trust.ended.is_some_and(|at| elapsed(at) < pause);

        self.trust
            .round
            .take_if(|round| elapsed(round.begun) > ROUND_TIMEOUT);
        if !self.trust.is_due || is_paused || self.trust.round.is_some() {
            return;
        }
        self.trust.is_due = false;
        self.trust.rounds += 1;

        let members = self
            .members()
            .map(|members| members.names())
            .unwrap_or_default();
        let open: BTreeSet<RegionName> =
            members.union(&self.settings.configured).cloned().collect();
        let number = self.trust.rounds;

        for to in open.clone() {
            turn.emit(Effect::ReadAcceptor { round: number, to });
        }

        self.trust.round = Some(Round {
            number,
            begun: now,
            open,
            reading: Reading::default(),
        });
    }

    /// One acceptor's answer in a round of reading.
    pub(super) fn acceptor_read(
        &mut self,
        number: u64,
        from: RegionName,
        answer: Result<AcceptorAnswer, String>,
        turn: &mut Turn<'_>,
    ) {
        let reply = answer.ok().map(|answer| answer.reply);
        if let Some(reply) = &reply {
            self.note_acceptor(&from, reply, turn);
        }

        let Some(mut round) = self.trust.round.take_if(|round| round.number == number) else {
            return;
        };
        round.open.remove(&from);
        if let Some(AcceptorReply::State(state)) = reply {
            round.reading.add(from, state);
        }

        let board = self.board();
        self.judge_plans(&board, &round, turn);
        self.judge_leaders(&board, &round, turn);
        if round.open.is_empty() {
            self.trust.ended = Some(turn.now.monotonic);
        } else {
            self.trust.round = Some(round);
        }
    }

    fn judge_plans(&mut self, board: &BoardView, round: &Round, turn: &mut Turn<'_>) {
        if self.trust.is_withdrawing(turn.now.monotonic) {
            self.trust.is_due = true;
            return;
        }

        let known = self.plan.clone();
        let is_confirmed = self.trust.is_plan_confirmed;
        let members = known
            .as_ref()
            .filter(|_| is_confirmed)
            .map(|known| known.plan.members.clone());
        let committed =
            self.with_voters(members.as_ref(), |voters| round.reading.committed(voters));
        let is_wrong = known
            .as_ref()
            .filter(|_| !is_confirmed)
            .is_some_and(|known| {
                committed
                    .as_ref()
                    .is_some_and(|committed| committed.stamp < known.stamp)
                    || self.with_voters(None, |voters| round.reading.refutes(known, voters))
            });

        if let Some(known) = known.filter(|_| is_wrong) {
            self.withdraw(&known, turn);
            return;
        }

        if let Some(committed) = committed {
            self.trust.uncertified.clear();
            self.learn_plan(&committed, true, None, turn);
            self.decided(committed, turn);
        }

        // A plan published before the round began that no majority accepted was never committed.
        let refuted: Vec<(AgentId, Stamp)> = board::plans(board, &self.settings.id)
            .filter(|(_, plan, since)| {
                *since < round.begun
                    && self.with_voters(members.as_ref(), |voters| {
                        round.reading.refutes(plan, voters)
                    })
            })
            .map(|(agent, plan, _)| (agent.clone(), plan.stamp.clone()))
            .collect();

        for (agent, stamp) in refuted {
            self.report(
                &agent,
                Refusal::PlanNotCommitted,
                format!("it publishes plan {stamp}, which no majority accepted"),
                turn,
            );

            self.trust
                .refuted
                .insert((agent, Claim::Plan(stamp)), turn.now.monotonic);
        }
    }

    fn judge_leaders(&mut self, board: &BoardView, round: &Round, turn: &mut Turn<'_>) {
        let members = self.members().filter(|_| self.trust.is_plan_confirmed);
        let mut promised = Vec::new();
        let mut refuted = Vec::new();

        self.with_voters(members.as_ref(), |voters| {
            for (ballot, _, since) in board::claims(board, &self.settings.id) {
                if round.reading.is_promised(ballot, voters) {
                    promised.push(ballot.clone());
                } else if since < round.begun && round.reading.refutes_ballot(ballot, voters) {
                    refuted.push(ballot.clone());
                }
            }
        });

        self.trust.leaders.extend(promised);
        for ballot in refuted {
            let what =
                format!("it claims to lead under ballot {ballot}, which no majority promised");
            let agent = ballot.agent.clone();
            self.report(&agent, Refusal::NotTheLeader, what, turn);
            self.trust
                .refuted
                .insert((agent, Claim::Leads(ballot)), turn.now.monotonic);
        }
    }

    pub(super) fn with_voters<T>(
        &self,
        known: Option<&Members>,
        judge: impl FnOnce(&Voters<'_>) -> T,
    ) -> T {
        let known = known.filter(|members| !members.is_empty());
        judge(&Voters {
            known,
            configured: &self.settings.configured,
            own: self.own_region(),
        })
    }

    /// Withdraws a plan from the disk that was never committed. The register's is adopted a moment
    /// later.
    fn withdraw(&mut self, plan: &CommittedPlan, turn: &mut Turn<'_>) {
        turn.notice(PlanNotice::Withdrawn {
            stamp: plan.stamp.clone(),
            reason: plan.plan.reason.clone(),
        });

        turn.count_refusal(Refusal::PlanNotCommitted);
        turn.emit(Effect::WithdrawPlan);
        self.plan = None;
        self.trust.is_plan_confirmed = false;
        self.trust.withdrawn = Some(turn.now.monotonic);
        self.trust.is_due = true;
    }
}
