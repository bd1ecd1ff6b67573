//! The plans of a leader: their inputs, orders, and what is proposed.

use super::{
    board::{self, Chains},
    driver::Driver,
    member_change::OrderReply,
};
use crate::cost::shift;
use regionmesh_core::{
    gossip::BoardView,
    planning::{CostTarget, PlanInputs, next_plan, plan_order},
};
use regionmesh_protocol::{
    identity::RegionName,
    plan::{Order, OrderAction, OrderError, Plan},
    register::members::Members,
    wire::OrderRefusal,
};
use regionmesh_runtime::time::unix_ms;
use std::{
    borrow::Cow,
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

/// The members before there is a register.
static NO_MEMBERS: Members = Members {
    register: 0,
    acceptors: BTreeMap::new(),
};

/// How often the cost shift is computed: it compares every pair of regions.
const COST_JUDGED: Duration = Duration::from_secs(1);
/// Most orders that may wait for the previous plan to be committed.
const ORDERS: usize = 16;

/// The cost shift, computed now or a moment ago. The reason why no traffic moves is logged once.
pub(super) fn judged(
    last: &mut Option<(Instant, Option<CostTarget>)>,
    judge: impl FnOnce() -> Option<CostTarget>,
) -> Option<CostTarget> {
    let known = last.as_ref();
    if let Some((_, target)) = known.filter(|(at, _)| at.elapsed() < COST_JUDGED) {
        return target.clone();
    }

    fn idle(target: Option<&CostTarget>) -> Option<&str> {
        target
            .filter(|target| target.is_normal())
            .map(|target| target.reason.as_str())
    }

    let target = judge();
    let why = idle(target.as_ref());
    if let Some(why) = why.filter(|_| why != idle(known.and_then(|(_, target)| target.as_ref()))) {
        tracing::info!(why, "traffic.cost moves no traffic");
    }
    *last = Some((Instant::now(), target.clone()));
    target
}

impl Driver {
    /// An operator's order: handled if this agent leads, once the previous plan is committed.
    pub(super) fn order(&mut self, order: Order, reply: OrderReply) {
        let refuse = |reply: OrderReply, why: String| {
            // The caller may have given up.
            let _ = reply.send(Err(OrderRefusal::NotNow(why)));
        };

        if self.proposer.leading().is_none() {
            return refuse(reply, format!("{} does not lead", self.arguments.id));
        }
        if self.orders.len() >= ORDERS {
            return refuse(reply, format!("{ORDERS} orders wait already"));
        }
        tracing::info!(
            action = ?order.action,
            region = ?order.region.as_ref().map(RegionName::as_str),
            by = ?order.by,
            why = ?order.why,
            for_ms = order.for_ms,
            "ordered"
        );
        self.orders.push_back((order, reply));

        let board = self.board();
        self.plan_ahead(&board);
    }

    pub(super) fn count_order(&self, outcome: &str) {
        let counted = &self.arguments.metrics.orders.orders;
        counted.with_label_values(&[outcome]).inc();
    }

    pub(super) fn refuse_orders(&mut self, why: &str) {
        if let Some(reply) = self.ordered.take() {
            self.count_order("unknown");

            let _ = reply.send(Err(OrderRefusal::Unknown(why.into())));
        }

        self.refuse_change(why);
        for (_, reply) in std::mem::take(&mut self.orders) {
            self.count_order("refused");

            let _ = reply.send(Err(OrderRefusal::NotNow(why.into())));
        }
    }

    /// The inputs of the next plan; any agent may be asked for them.
    pub(super) fn plan_inputs(&mut self, board: &BoardView) -> Arc<PlanInputs> {
        let verdicts = self.arguments.snapshots.verdicts.borrow().clone();
        let now_ms = self.now_ms();
        self.meter.observe(board::served(board), now_ms);

        let known = self.arguments.snapshots.plan.borrow().clone();
        let decided = self.proposer.decided().map(|(_, plan)| plan);
        let current = decided.or(known.as_deref().map(|known| &known.plan));
        let current = current.map(|plan| self.arguments.snapshots.clocks.by_own_clock(plan));
        let current = current.as_deref();
        let config = &self.arguments.config;
        let members = current.map(|plan| &plan.members).unwrap_or(&NO_MEMBERS);
        let mut inputs =
            board::plan_inputs(config, board, &verdicts, &mut self.meter, current, members);

        if let Some(current) = current.filter(|_| self.proposer.leading().is_some()) {
            let costs = self.arguments.snapshots.request_costs.borrow().clone();
            let judge = || shift::target(config, costs.as_deref(), current, &inputs, unix_ms());
            inputs.cost = judged(&mut self.cost, judge);
        }

        let inputs = Arc::new(inputs);
        self.arguments
            .snapshots
            .plan_inputs
            .send_if_modified(|known| {
                let is_news = known.as_deref() != Some(&*inputs);
                if is_news {
                    *known = Some(inputs.clone());
                }
                is_news
            });

        inputs
    }

    /// As the leader: proposes the plan that follows from orders, the board and the verdicts, if it
    /// differs from the last.
    pub(super) fn plan_ahead(&mut self, board: &BoardView) {
        let inputs = self.plan_inputs(board);
        if !self.proposer.is_ready() {
            return;
        }

        while let Some((order, reply)) = self.orders.pop_front() {
            if matches!(order.action, OrderAction::Member(_)) {
                if self.order_member(order, reply, board) {
                    return;
                }
                continue;
            }

            match self.order_planned(&order, &inputs) {
                Ok(plan) => {
                    self.ordered = Some(reply);
                    return self.propose(plan);
                }
                Err(error) => {
                    self.count_order("refused");

                    tracing::info!(%error, "an order is refused");
                    let _ = reply.send(Err(error.into()));
                }
            }
        }

        if self.mend_members(board) {
            return;
        }

        let acting = self.acting(&inputs);
        let current = self.decided_by_own_clock().map(Cow::into_owned);
        let next = next_plan(current.as_ref(), &acting, unix_ms());

        match self.pause.pass(current.as_ref(), next) {
            Some(plan) => self.propose(plan),
            None => self.renew_signatures(board),
        }
    }

    /// Commits the plan again if the X.509 certificates of those who signed it end soon or were
    /// replaced.
    fn renew_signatures(&mut self, board: &BoardView) {
        let known = self.arguments.snapshots.plan.borrow().clone();
        let decided = self.proposer.decided();
        let Some((known, (stamp, plan))) = known.as_ref().zip(decided) else {
            return;
        };
        let verifier = &*self.arguments.signing.verifier;

        if known.stamp != *stamp
            || !self
                .renewal
                .is_due(&known.certificate, &Chains(board), verifier, unix_ms())
        {
            return;
        }

        tracing::info!(%stamp, "committing the plan again for newer signatures");
        let plan = plan.clone();
        let now_ms = self.now_ms();
        match self.proposer.commit(plan, now_ms) {
            Ok(effects) => self.carry_out(effects),
            Err(error) => tracing::warn!(%error, "the plan can't be committed again"),
        }
    }

    /// The plan that an order leads to.
    fn order_planned(&self, order: &Order, inputs: &Arc<PlanInputs>) -> Result<Plan, OrderError> {
        let current = self.decided_by_own_clock();
        let now_ms = unix_ms();
        // The order is checked against the full inputs; what automation adds may be refused.
        plan_order(current.as_deref(), order, inputs, now_ms)?;
        plan_order(current.as_deref(), order, &self.acting(inputs), now_ms)
    }

    /// The inputs of a plan once these are the members.
    pub(super) fn inputs_of(
        &mut self,
        board: &BoardView,
        current: &Plan,
        members: &Members,
    ) -> PlanInputs {
        let verdicts = self.arguments.snapshots.verdicts.borrow().clone();
        let config = &self.arguments.config;
        let inputs = board::plan_inputs(
            config,
            board,
            &verdicts,
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
    fn acting(&self, inputs: &Arc<PlanInputs>) -> Arc<PlanInputs> {
        let decided = self.proposer.decided().map(|(_, plan)| &plan.members);
        match decided.and_then(Members::why_not_automatic) {
            Some(_) => Arc::new(inputs.held()),
            None => inputs.clone(),
        }
    }

    pub(super) fn propose(&mut self, plan: Plan) {
        let now_ms = self.now_ms();
        self.proposed_at = Some(Instant::now());
        match self.proposer.commit(plan, now_ms) {
            Ok(effects) => self.carry_out(effects),
            Err(error) => {
                tracing::error!(%error, "a plan could not be proposed");
                self.refuse_orders(&error.to_string());
            }
        }
    }
}
