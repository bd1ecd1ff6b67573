//! The plans of a leader.

use super::{Agent, Turn, types::Asker};
use regionmesh_core::{
    planning::{PlanInputs, RegionInput, next_plan, plan_order},
    recovery::canary::Evidence,
};
use regionmesh_protocol::{
    plan::{FULL_WEIGHT_BP, Order, OrderAction, OrderError, Plan},
    register::members::Members,
    status::condition::Condition,
    wire::OrderRefusal,
};

/// How often a leader makes plans without a cause.
const PLAN_MS: u64 = 500;
/// Most orders that may wait.
const ORDERS_MAX: usize = 16;

impl Agent {
    /// The last decided plan, its times by our own clock.
    pub(super) fn decided(&self) -> Option<Plan> {
        let (_, plan) = self.proposer.decided()?;
        Some(plan.shifted(self.time.shift_ms(plan.made_ms)))
    }

    pub(super) fn enqueue(&mut self, order: Order, asker: Asker, turn: &mut Turn<'_>) {
        let refusal = match self.proposer.leading() {
            None => "this agent does not lead",
            Some(_) if self.orders.len() >= ORDERS_MAX => "too many orders wait",
            Some(_) => {
                self.orders.push_back((order, asker));
                self.planned_ms = 0;
                return;
            }
        };

        let outcome = Err(OrderRefusal::NotNow(refusal.into()));
        self.end_order(asker, outcome, turn);
    }

    /// As the leader: orders, repairs of the members, then what follows from the verdicts.
    pub(super) fn plan_ahead(&mut self, turn: &mut Turn<'_>) {
        let is_due = self.planned_ms == 0 || turn.now_ms - self.planned_ms >= PLAN_MS;
        if !is_due || !self.proposer.is_ready() {
            return;
        }

        self.planned_ms = turn.now_ms.max(1);
        let current = self.decided();
        while let Some((order, asker)) = self.orders.pop_front() {
            if matches!(order.action, OrderAction::Member(_)) {
                if self.order_member(order, asker, turn) {
                    return;
                }
                continue;
            }
            match self.plan_for(&order, current.as_ref(), turn) {
                Ok(plan) => {
                    self.ordered = Some(asker);
                    return self.propose(plan, turn);
                }
                Err(error) => self.end_order(asker, Err(error.into()), turn),
            }
        }

        if self.mend_members(turn) {
            return;
        }
        let members = current.as_ref().map(|plan| &plan.members);
        let inputs = self.acting_inputs(members);
        if let Some(plan) = next_plan(current.as_ref(), &inputs, turn.now.unix_ms) {
            self.propose(plan, turn);
        }
    }

    fn plan_for(
        &self,
        order: &Order,
        current: Option<&Plan>,
        turn: &Turn<'_>,
    ) -> Result<Plan, OrderError> {
        let members = current.map(|plan| &plan.members);
        let now_ms = turn.now.unix_ms;
        // The order is checked against the full inputs; what automation adds may be refused.
        plan_order(current, order, &self.inputs(members), now_ms)?;
        plan_order(current, order, &self.acting_inputs(members), now_ms)
    }

    pub(super) fn propose(&mut self, plan: Plan, turn: &mut Turn<'_>) {
        match self.proposer.commit(plan, turn.now_ms) {
            Ok(effects) => self.carry_out(effects, turn),
            Err(error) => {
                if let Some(asker) = self.ordered.take() {
                    let refusal = OrderRefusal::NotNow(error.to_string());
                    self.end_order(asker, Err(refusal), turn);
                }
            }
        }
    }

    /// The inputs that automation may act on with these members.
    pub(super) fn acting_inputs(&self, members: Option<&Members>) -> PlanInputs {
        let inputs = self.inputs(members);
        match members.and_then(Members::why_not_automatic) {
            Some(_) => inputs.held(),
            None => inputs,
        }
    }

    fn inputs(&self, members: Option<&Members>) -> PlanInputs {
        let members = members.filter(|members| !members.is_empty());
        let regions = self
            .config
            .regions
            .iter()
            .filter(|region| members.is_none_or(|members| members.may_serve(&region.name)))
            .map(|region| {
                let verdict = self.verdicts.get(&region.name);
                let input = RegionInput {
                    weight_bp: FULL_WEIGHT_BP,
                    priority: region.priority,
                    addresses: vec![region.address],
                    condition: verdict.map_or(Condition::Unknown, |verdict| verdict.condition),
                    since_ms: verdict.map_or(0, |verdict| verdict.since_ms),
                    reason: verdict.map_or_else(String::new, |verdict| verdict.reason.clone()),
                    is_complete: true,
                    is_loaded: true,
                    inference_passes: None,
                    capacity_rps: None,
                    measured_capacity_rps: None,
                    load_rps: None,
                    evidence: Evidence::NotMeasured,
                };

                (region.name.clone(), input)
            });

        PlanInputs {
            regions: regions.collect(),
            strategy: self.config.strategy,
            suspect_percent: 10,
            recovery: self.config.recovery.clone(),
            max_out: self.config.max_out,
            ttl_ms: self.config.ttl_ms,
            cost: None,
        }
    }
}
