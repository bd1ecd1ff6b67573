//! Operators' orders.

use super::{
    notice::{OrderNotice, OrderOutcome},
    state::Leader,
    turn::Turn,
    types::Effect,
};
use crate::{
    planning::{PlanInputs, plan_order},
    ticket::Ticket,
};
use regionmesh_protocol::{
    plan::{Order, OrderError, Plan},
    wire::OrderRefusal,
};
use std::sync::Arc;

/// Most orders that may wait for the previous plan to be committed.
const ORDERS: usize = 16;

impl Leader {
    /// An operator's order: handled if this agent leads, once the previous plan is committed.
    pub(super) fn order(&mut self, order: Order, ticket: Ticket, turn: &mut Turn<'_>) {
        if self.proposer.leading().is_none() {
            let why = format!("{} does not lead", self.settings.id);
            return reply_refusal(ticket, OrderRefusal::NotNow(why), turn);
        }
        if self.orders.len() >= ORDERS {
            let why = format!("{ORDERS} orders wait already");
            return reply_refusal(ticket, OrderRefusal::NotNow(why), turn);
        }

        turn.notice(OrderNotice::Received(Box::new(order.clone())));
        self.orders.push_back((order, ticket));

        let board = self.board();
        self.plan_ahead(&board, turn);
    }

    /// Refuses one order, and says so.
    pub(super) fn refuse_order(&self, ticket: Ticket, why: OrderRefusal, turn: &mut Turn<'_>) {
        turn.notice(OrderNotice::Refused(why.to_string()));
        turn.notice(OrderNotice::Ended(OrderOutcome::Refused));
        reply_refusal(ticket, why, turn);
    }

    /// Refuses all orders: this agent no longer leads, or can't propose.
    pub(super) fn refuse_orders(&mut self, why: &str, turn: &mut Turn<'_>) {
        if let Some(ticket) = self.ordered.take() {
            turn.notice(OrderNotice::Ended(OrderOutcome::Unknown));
            reply_refusal(ticket, OrderRefusal::Unknown(why.into()), turn);
        }

        self.refuse_change(why, turn);
        for (_, ticket) in std::mem::take(&mut self.orders) {
            turn.notice(OrderNotice::Ended(OrderOutcome::Refused));
            reply_refusal(ticket, OrderRefusal::NotNow(why.into()), turn);
        }
    }

    /// The plan that an order leads to.
    pub(super) fn order_planned(
        &self,
        order: &Order,
        inputs: &Arc<PlanInputs>,
        turn: &Turn<'_>,
    ) -> Result<Plan, OrderError> {
        let current = self.decided_by_own_clock(turn.now);
        let now_ms = turn.now.unix_ms;

        // The order is checked against the full inputs; what automation adds may be refused.
        plan_order(current.as_deref(), order, inputs, now_ms)?;
        plan_order(current.as_deref(), order, &self.acting(inputs), now_ms)
    }
}

fn reply_refusal(ticket: Ticket, why: OrderRefusal, turn: &mut Turn<'_>) {
    turn.emit(Effect::OrderReply(ticket, Box::new(Err(why))));
}
