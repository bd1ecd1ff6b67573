//! The plans of a leader: their inputs, and what is proposed.

use super::{
    board::Chains,
    notice::{PlanNotice, RegisterNotice},
    state::Leader,
    turn::Turn,
    types::Effect,
};
use crate::{
    gossip::BoardView,
    now::Now,
    planning::{
        CostTarget, PlanInputs,
        inputs::{plan_inputs, served},
        next_plan,
    },
    slots::Proposal,
};
use regionmesh_protocol::{
    plan::{OrderAction, Plan},
    register::{ballot::Stamp, members::Members},
};
use std::{borrow::Cow, collections::BTreeMap, sync::Arc, time::Duration};

/// The members before there is a register.
static NO_MEMBERS: Members = Members {
    register: 0,
    acceptors: BTreeMap::new(),
};

/// How often the cost shift is computed: it compares every pair of regions.
const COST_JUDGED: Duration = Duration::from_secs(1);

impl Leader {
    /// The inputs of the next plan; any agent may be asked for them.
    fn plan_inputs(&mut self, board: &BoardView, turn: &mut Turn<'_>) -> Arc<PlanInputs> {
        let now_ms = self.now_ms(turn.now);
        self.meter.observe(served(board), now_ms);

        let known = self.plan.clone();
        let decided = self.proposer.decided().map(|(_, plan)| plan);
        let current = decided.or(known.as_deref().map(|known| &known.plan));
        let current = current.map(|plan| self.clocks.plan.by_own_clock(plan, turn.now));
        let current = current.as_deref();
        let members = current.map_or(&NO_MEMBERS, |plan| &plan.members);
        let mut inputs = plan_inputs(
            &self.settings.plan,
            board,
            &self.seen.verdicts,
            &mut self.meter,
            current,
            members,
        );

        match current.filter(|_| self.proposer.leading().is_some()) {
            Some(current) => {
                let elapsed = |at| turn.now.monotonic.saturating_duration_since(at);
                if self.cost.asked.is_none_or(|at| elapsed(at) >= COST_JUDGED) {
                    self.cost.asked = Some(turn.now.monotonic);
                    turn.emit(Effect::JudgeCost {
                        current: Box::new(current.clone()),
                        inputs: Arc::new(inputs.clone()),
                    });
                }
                inputs.cost.clone_from(&self.cost.target);
            }
            None => {
                self.cost.asked = None;
                self.cost.target = None;
            }
        }

        let inputs = Arc::new(inputs);
        if self.published.inputs.as_ref() != Some(&inputs) {
            self.published.inputs = Some(inputs.clone());
            turn.emit(Effect::PlanInputs(inputs.clone()));
        }

        inputs
    }

    /// Which traffic is to move to cheaper regions. The reason why none moves is logged once.
    pub(super) fn cost_target(&mut self, target: Option<CostTarget>, turn: &mut Turn<'_>) {
        let idle = target
            .as_ref()
            .filter(|target| target.is_normal())
            .map(|target| target.reason.clone());

        if let Some(why) = idle.clone().filter(|_| idle != self.cost.idle) {
            turn.notice(PlanNotice::NoCostShift(why));
        }

        self.cost.idle = idle;
        self.cost.target = target;
    }

    /// As the leader: proposes the plan that follows from orders, the board and the verdicts, if it
    /// differs from the last.
    pub(super) fn plan_ahead(&mut self, board: &BoardView, turn: &mut Turn<'_>) {
        let inputs = self.plan_inputs(board, turn);
        if !self.proposer.is_ready() || self.is_resting(turn.now) {
            return;
        }

        while let Some((order, ticket)) = self.orders.pop_front() {
            if matches!(order.action, OrderAction::Member(_)) {
                if self.order_member(order, ticket, board, turn) {
                    return;
                }
                continue;
            }

            match self.order_planned(&order, &inputs, turn) {
                Ok(mut plan) => {
                    plan.add_order(order);
                    self.ordered = Some(ticket);
                    return self.propose(plan, turn);
                }
                Err(error) => self.refuse_order(ticket, error.into(), turn),
            }
        }

        if self.mend_members(board, turn) {
            return;
        }

        let acting = self.acting(&inputs);
        let current = self.decided_by_own_clock(turn.now).map(Cow::into_owned);
        let next = next_plan(current.as_ref(), &acting, turn.now.unix_ms);

        match self.pause.pass(current.as_ref(), next, turn.now.monotonic) {
            Some(plan) => self.propose(plan, turn),
            None => self.renew_signatures(board, turn),
        }
    }

    /// An election found this value: proposes the plan that follows from it, which contains it, or
    /// without a reason for another plan the value itself.
    pub(super) fn found(&mut self, stamp: Stamp, found: Plan, turn: &mut Turn<'_>) {
        let next = self.successor(stamp, found, turn);
        self.proposed_at = next.is_some().then_some(turn.now.monotonic);

        let now_ms = self.now_ms(turn.now);
        let effects = self.proposer.succeed(next, now_ms);
        self.carry_out(effects, turn);
    }

    /// The plan that follows from a value found, if this agent would let its region's acceptor
    /// replace that value with it: the value may not be committed, so that the plan may be two
    /// steps ahead of the last one that other agents know.
    fn successor(&mut self, stamp: Stamp, found: Plan, turn: &mut Turn<'_>) -> Option<Plan> {
        let ballot = self.proposer.ballot().cloned()?;
        if self.is_resting(turn.now) {
            return None;
        }

        // Its times count as they will once it is committed.
        let mut clock = self.clocks.plan;
        clock.learned(&found, None, turn.now);
        let current = clock.by_own_clock(&found, turn.now);
        let board = self.board();
        let inputs = self.inputs_of(&board, &current, &found.members);
        let next = next_plan(Some(&current), &inputs, turn.now.unix_ms);
        let plan = self.pause.pass(Some(&current), next, turn.now.monotonic)?;

        let own = found.members.acceptors.get(self.own_region());
        let proposal = Proposal {
            stamp: Stamp {
                ballot,
                seq: stamp.seq.saturating_add(1),
            },
            plan,
            incarnation: own.copied().flatten().unwrap_or_default(),
            accepted: Some((stamp, found)),
        };
        let is_justified = self.judge(&proposal, turn.now).is_ok();
        is_justified.then_some(proposal.plan)
    }

    /// Whether agents just objected to this leader's last plan.
    fn is_resting(&self, now: Now) -> bool {
        self.rests_until.is_some_and(|until| now.monotonic < until)
    }

    /// Commits the plan again if the X.509 certificates of those who signed it end soon or were
    /// replaced.
    fn renew_signatures(&mut self, board: &BoardView, turn: &mut Turn<'_>) {
        let decided = self.proposer.decided();
        let Some((known, (stamp, plan))) = self.plan.as_ref().zip(decided) else {
            return;
        };
        let verifier = &*self.verifier;
        let now_ms = turn.now.unix_ms;

        if known.stamp != *stamp
            || !self
                .renewal
                .is_due(&known.certificate, &Chains(board), verifier, now_ms)
        {
            return;
        }

        turn.notice(RegisterNotice::Renewing(stamp.clone()));
        let plan = plan.clone();
        let now_ms = self.now_ms(turn.now);
        match self.proposer.commit(plan, now_ms) {
            Ok(effects) => self.carry_out(effects, turn),
            Err(error) => turn.notice(RegisterNotice::NotRenewed(error.to_string())),
        }
    }

    /// The inputs of a plan once these are the members.
    pub(super) fn inputs_of(
        &mut self,
        board: &BoardView,
        current: &Plan,
        members: &Members,
    ) -> PlanInputs {
        let inputs = plan_inputs(
            &self.settings.plan,
            board,
            &self.seen.verdicts,
            &mut self.meter,
            Some(current),
            members,
        );

        if members.why_not_automatic().is_some() {
            inputs.held()
        } else {
            inputs
        }
    }

    /// The inputs that automation may act on: held where automatic failover is refused.
    pub(super) fn acting(&self, inputs: &Arc<PlanInputs>) -> Arc<PlanInputs> {
        let decided = self.proposer.decided().map(|(_, plan)| &plan.members);
        match decided.and_then(Members::why_not_automatic) {
            Some(_) => Arc::new(inputs.held()),
            None => inputs.clone(),
        }
    }

    pub(super) fn propose(&mut self, plan: Plan, turn: &mut Turn<'_>) {
        let now_ms = self.now_ms(turn.now);
        self.proposed_at = Some(turn.now.monotonic);

        match self.proposer.commit(plan, now_ms) {
            Ok(effects) => self.carry_out(effects, turn),
            Err(error) => {
                turn.notice(RegisterNotice::NotProposed(error.to_string()));
                self.refuse_orders(&error.to_string(), turn);
            }
        }
    }
}
