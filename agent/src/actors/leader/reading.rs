//! Rounds of reading the acceptors, and what they confirm or refute.

use super::{
    board,
    calls::{CALL_TIMEOUT, ask_acceptor},
    driver::Driver,
    trust::{Claim, Round},
};
use crate::{actors::messages::LeaderMessage, refusals::reason};
use regionmesh_core::{
    gossip::BoardView,
    leader::confirm::{Reading, Voters},
};
use regionmesh_protocol::{
    identity::{AgentId, RegionName},
    plan::CommittedPlan,
    register::{
        acceptor::{AcceptorAnswer, AcceptorReply, AcceptorRequest},
        ballot::{Bounds, Reach, Stamp},
        members::Members,
    },
    status::problem::ProblemKind,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

/// Pause between two rounds of reading, once the agent acts on a plan.
const READ_PAUSE: Duration = Duration::from_secs(1);
/// The same after a start, while peers are being connected and DNS waits.
const FIRST_READ_PAUSE: Duration = Duration::from_millis(150);

impl Driver {
    /// A proposer asked our acceptor for more than is plausible: perhaps the others have moved on.
    pub(super) fn asked_too_far(&mut self) {
        self.trust.is_due = true;
    }

    /// Records an acceptor's state; returns whether it is believed.
    pub(super) fn note_acceptor(&mut self, from: &RegionName, reply: &AcceptorReply) -> bool {
        let is_believed = self.election.acceptor_replied(from, reply);
        if *from == self.arguments.id.region {
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

        self.bound_acceptors();
        self.report_implausible_acceptors(from, reply, is_believed);
        is_believed
    }

    /// A plan was found committed, or committed by this agent.
    pub(super) fn decided(&mut self, plan: CommittedPlan) {
        self.trust.decided = Some((plan.stamp, plan.plan));
        self.bound_acceptors();
    }

    /// Bounds the acceptors whose stores this agent writes by what the others have decided.
    fn bound_acceptors(&self) {
        let bounds = Bounds {
            allowance: self.election.known().allowance(),
            decided: self.trust.decided.clone(),
        };

        if let Some(witness) = &self.arguments.witness {
            witness.set_bounds(bounds.clone());
        }
        self.arguments.store.set_bounds(bounds);
    }

    fn report_implausible_acceptors(
        &self,
        from: &RegionName,
        reply: &AcceptorReply,
        is_believed: bool,
    ) {
        let known = self.election.known();
        let strays: BTreeMap<&RegionName, Reach> = known.strays().collect();
        self.arguments
            .snapshots
            .problems
            .retain(ProblemKind::AcceptorImplausible, |subject| {
                strays.keys().any(|region| region.as_str() == subject)
            });

        if is_believed || !strays.contains_key(from) {
            return;
        }

        let detail = format!(
            "it says {}, and a majority of the acceptors is at {}: it has no vote until its \
                `register/` is removed from its store, see docs/how-to/troubleshoot.md",
            reply.reach().unwrap_or_default(),
            known.majority(),
        );

        self.arguments
            .refusals
            .count_one(reason::ACCEPTOR_IMPLAUSIBLE);
        self.arguments.snapshots.problems.set(
            ProblemKind::AcceptorImplausible,
            from.as_str(),
            detail,
        );
    }

    /// Reads the state of all acceptors, if that is due and no round is under way.
    pub(super) fn read_if_due(&mut self) {
        let is_current = *self.arguments.snapshots.is_current.borrow();
        let pause = if is_current {
            READ_PAUSE
        } else {
            FIRST_READ_PAUSE
        };
        let is_paused = self.trust.ended.is_some_and(|at| at.elapsed() < pause);

        if self
            .trust
            .round
            .as_ref()
            .is_some_and(|round| round.begun.elapsed() > CALL_TIMEOUT * 3)
        {
            self.trust.round = None;
        }

        if !self.trust.is_due || is_paused || self.trust.round.is_some() {
            return;
        }
        self.trust.is_due = false;
        self.trust.rounds += 1;

        let members = self
            .members()
            .map(|members| members.names())
            .unwrap_or_default();
        let open: BTreeSet<RegionName> = members.union(&self.configured).cloned().collect();
        let number = self.trust.rounds;

        for from in open.clone() {
            let arguments = self.arguments.clone();
            let myself = self.myself.clone();
            tokio::spawn(async move {
                let asked = ask_acceptor(&arguments, &from, AcceptorRequest::Read);
                let answer = tokio::time::timeout(CALL_TIMEOUT * 2, asked).await;
                let answer = answer
                    .unwrap_or_else(|_| Err(format!("no answer within {:?}", CALL_TIMEOUT * 2)));
                let _ = myself.cast(LeaderMessage::AcceptorRead {
                    round: number,
                    from,
                    answer,
                });
            });
        }

        self.trust.round = Some(Round {
            number,
            begun: Instant::now(),
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
    ) {
        let reply = answer.ok().map(|answer| answer.reply);
        if let Some(reply) = &reply {
            self.note_acceptor(&from, reply);
        }

        let Some(mut round) = self.trust.round.take_if(|round| round.number == number) else {
            return;
        };
        round.open.remove(&from);
        if let Some(AcceptorReply::State(state)) = reply {
            round.reading.add(from, state);
        }

        let board = self.board();
        self.judge_plans(&board, &round);
        self.judge_leaders(&board, &round);
        if round.open.is_empty() {
            self.trust.ended = Some(Instant::now());
        } else {
            self.trust.round = Some(round);
        }
    }

    fn judge_plans(&mut self, board: &BoardView, round: &Round) {
        if self.is_withdrawing() {
            self.trust.is_due = true;
            return;
        }

        let known = self.arguments.snapshots.plan.borrow().clone();
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
            self.withdraw(&known);
            return;
        }

        if let Some(committed) = committed {
            self.trust.uncertified.clear();
            self.learn_plan(&committed, true, None);
            self.decided(committed);
        }

        // A plan published before the round began that no majority accepted was never committed.
        let refuted: Vec<(AgentId, Stamp)> = board::plans(board, &self.arguments.id)
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
                reason::PLAN_NOT_COMMITTED,
                &format!("it publishes plan {stamp}, which no majority accepted"),
            );

            self.trust
                .refuted
                .insert((agent, Claim::Plan(stamp)), Instant::now());
        }
    }

    fn judge_leaders(&mut self, board: &BoardView, round: &Round) {
        let members = self.members().filter(|_| self.trust.is_plan_confirmed);
        let mut promised = Vec::new();
        let mut refuted = Vec::new();

        self.with_voters(members.as_ref(), |voters| {
            for (ballot, _, since) in board::claims(board, &self.arguments.id) {
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
            self.report(&ballot.agent.clone(), reason::NOT_THE_LEADER, &what);
            self.trust
                .refuted
                .insert((ballot.agent.clone(), Claim::Leads(ballot)), Instant::now());
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
            configured: &self.configured,
            own: &self.arguments.id.region,
        })
    }

    /// Withdraws a plan from the disk that was never committed. The register's is adopted a moment
    /// later.
    fn withdraw(&mut self, plan: &CommittedPlan) {
        tracing::error!(
            stamp = %plan.stamp, reason = %plan.plan.reason,
            "the plan saved on disk was never committed; using the register's"
        );

        self.arguments
            .refusals
            .count_one(reason::PLAN_NOT_COMMITTED);
        self.arguments.snapshots.plan.send_replace(None);
        self.trust.is_plan_confirmed = false;
        self.trust.withdrawn = Some(Instant::now());
        self.trust.is_due = true;
    }
}
