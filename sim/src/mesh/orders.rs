//! Operators' orders, and the law that an acknowledged one holds.

use super::{
    fault::OrderKind,
    laws::{GivenOrder, Laws, is_drained},
};
use regionmesh_protocol::{
    identity::RegionName,
    plan::{MemberOrder, Order, OrderAction, OverrideKind, Plan},
    register::ballot::Stamp,
};

/// How much earlier than ordered an override may end: clocks differ.
const EARLY_MS: u64 = 15_000;
/// How much earlier or later if a thief shifts the times of plans: agents differ in when they
/// learned of an order, and allow for that.
const SHIFTED_MS: u64 = 200_000;

/// What agents can know of the times of orders.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OrderMemory {
    /// Orders from before may end at any time: a process that started since then has only its wall
    /// clock and the plan's times to tell the plan's age by, and one of the two is wrong.
    knows_since_ms: u64,
    early_ms: u64,
}

impl OrderMemory {
    pub(crate) fn since(knows_since_ms: u64) -> Self {
        Self {
            knows_since_ms,
            early_ms: EARLY_MS,
        }
    }

    /// A thief has shifted times.
    pub(crate) fn shifted(knows_since_ms: u64) -> Self {
        Self {
            knows_since_ms,
            early_ms: SHIFTED_MS,
        }
    }
}

impl OrderKind {
    fn region(self) -> Option<usize> {
        match self {
            Self::Hold { region } => region,
            Self::Drain { region }
            | Self::Promote { region, .. }
            | Self::Restore { region }
            | Self::RemoveMember { region }
            | Self::AddMember { region } => Some(region),
        }
    }

    /// Whether it becomes an override that a plan lists.
    fn is_override(self) -> bool {
        matches!(
            self,
            Self::Drain { .. } | Self::Hold { .. } | Self::Promote { .. }
        )
    }

    /// Whether a later order may end this one's override.
    fn is_ended_by(self, later: Self) -> bool {
        let is_promotion = |kind| matches!(kind, Self::Promote { .. });
        self.region() == later.region() || (is_promotion(self) && is_promotion(later))
    }
}

impl GivenOrder {
    /// The order as an agent's API takes it.
    pub(crate) fn order(&self, names: &[RegionName]) -> Order {
        let action = match self.kind {
            OrderKind::Drain { .. } => OrderAction::Set(OverrideKind::Drain),
            OrderKind::Hold { .. } => OrderAction::Set(OverrideKind::Hold),
            OrderKind::Promote { .. } => OrderAction::Set(OverrideKind::Promote),
            OrderKind::Restore { .. } => OrderAction::Restore,
            OrderKind::RemoveMember { .. } => {
                OrderAction::Member(MemberOrder::Remove { force: true })
            }
            OrderKind::AddMember { .. } => OrderAction::Member(MemberOrder::Add { force: true }),
        };
        let is_immediate = matches!(
            self.kind,
            OrderKind::Promote {
                is_immediate: true,
                ..
            }
        );

        Order {
            action,
            region: self.kind.region().map(|region| names[region].clone()),
            by: self.by.clone(),
            why: "simulation".into(),
            for_ms: self.for_ms,
            is_forced: true,
            is_immediate,
            proof: None,
        }
    }
}

impl Laws {
    /// An operator gives an order. Whether it is acknowledged or not, it may end others.
    pub(crate) fn order_given(&mut self, mut given: GivenOrder) {
        for other in &mut self.orders {
            other.is_superseded |= other.kind.is_ended_by(given.kind);
            given.is_superseded |= !other.is_settled && given.kind.is_ended_by(other.kind);
        }
        self.orders.push(given);
    }

    /// A new plan: it must list every acknowledged override that has not ended, and obey it; and
    /// none that has ended long ago.
    pub(crate) fn check_orders(
        &mut self,
        stamp: &Stamp,
        plan: &Plan,
        names: &[RegionName],
        memory: OrderMemory,
        now_ms: u64,
    ) {
        let knows_since_ms = memory.knows_since_ms;
        let mut broken = None;
        for order in &mut self.orders {
            let Some(with) = &order.acknowledged else {
                continue;
            };
            let end_ms = order.given_ms + order.for_ms;
            let is_over = end_ms < now_ms + memory.early_ms;
            let is_known = order.given_ms >= knows_since_ms && order.kind.is_override();
            let is_listed = plan.overrides.iter().any(|listed| listed.by == order.by);
            if is_listed && is_known && end_ms + SHIFTED_MS < now_ms {
                broken = Some(format!("{stamp} ({}) keeps the {}", plan.reason, order.by));
            }

            let may_be_missing = is_over || order.is_superseded || with > stamp;
            if may_be_missing || !order.kind.is_override() {
                continue;
            }

            let region = order.kind.region().map(|region| &names[region]);
            if region.is_some_and(|region| !plan.members.has(region)) {
                continue;
            }
            if !is_listed && order.given_ms < knows_since_ms {
                order.is_superseded = true;
            } else if !is_listed {
                broken = Some(format!("{stamp} ({}) lacks the {}", plan.reason, order.by));
            } else if let Some(region) = region
                && matches!(order.kind, OrderKind::Drain { .. })
                && !obeys_drain(plan, region)
            {
                broken = Some(format!("{stamp} ({}) disobeys {}", plan.reason, order.by));
            }
        }

        if let Some(what) = broken {
            self.break_law("an acknowledged order holds", now_ms, what);
        }
    }
}

/// Whether a drained region has no traffic, or the plan says visibly why it has.
fn obeys_drain(plan: &Plan, region: &RegionName) -> bool {
    let has_yielded = plan
        .yielded
        .iter()
        .any(|yielded| yielded.order.as_ref() == Some(region));
    let is_last = plan.carrying().all(|(name, _)| name == region);
    let others_are_drained = plan.carrying().all(|(name, _)| is_drained(plan, name));
    let weight_bp = plan.regions.get(region).map_or(0, |part| part.weight_bp);
    // Then the last shares stay.
    let are_all_failed = plan.all_failed_ms.is_some();

    weight_bp == 0 || has_yielded || is_last || others_are_drained || are_all_failed
}
