//! The plans of a thief.

use super::sometimes::Sometimes;
use rand::{RngExt, rngs::StdRng};
use regionmesh_protocol::{
    identity::RegionName,
    plan::{
        Absence, FULL_WEIGHT_BP, Order, OrderAction, Override, OverrideKind, Plan, TrafficState,
    },
};

/// The reason of plans that move traffic without a reason.
pub(crate) const FORGED: &str = "forged";
/// The reason of plans with overrides or members that no operator ordered: no observation justifies
/// them.
pub(crate) const FORGED_ORDER: &str = "forged order";
/// The reason of plans that end orders early or late: orders may be about to end.
pub(crate) const FORGED_TIME: &str = "forged time";
/// Orders that it remembers.
const SEEN_MAX: usize = 64;

/// What a thief's plan is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lie {
    /// All traffic to its own region.
    Shares,
    /// A region is taken out, or put on the ramp, as if it had failed.
    Exit,
    /// A region is taken out, or is out, for a reason that does not count against the limit.
    Absence,
    /// An order that no operator gave.
    Order,
    /// Regions are back too early.
    Return,
    /// The other members are gone.
    Members,
    /// Orders end early, or late.
    Times,
    /// An order counts again.
    Replay,
    /// An order is gone.
    Drop,
}

impl Lie {
    /// That it was proposed by an elected thief.
    pub(crate) fn tried(self) -> Option<Sometimes> {
        match self {
            Self::Absence => Some(Sometimes::AbsenceForged),
            Self::Times => Some(Sometimes::TimesForged),
            Self::Replay => Some(Sometimes::OrderReplayed),
            Self::Drop => Some(Sometimes::OrderDropped),
            _ => None,
        }
    }
}

pub(crate) fn is_forged(plan: &Plan) -> bool {
    [FORGED, FORGED_ORDER, FORGED_TIME].contains(&plan.reason.as_str())
}

/// What a thief knows.
pub(super) struct Forger {
    own: RegionName,
    /// Share of a region on the first step of the ramp, percent.
    first_percent: u8,
    /// Overrides' orders that plans have named.
    seen: Vec<Order>,
}

impl Forger {
    pub(super) fn new(own: RegionName, first_percent: u8) -> Self {
        Self {
            own,
            first_percent,
            seen: Vec::new(),
        }
    }

    pub(super) fn learn(&mut self, plan: &Plan) {
        for order in &plan.orders {
            if self.seen.len() < SEEN_MAX && !self.seen.contains(order) {
                self.seen.push(order.clone());
            }
        }
    }

    /// Changes a plan in one of the ways of a thief; none if this changes nothing.
    pub(super) fn forge(&self, plan: &mut Plan, now_ms: u64, rng: &mut StdRng) -> Option<Lie> {
        let before = plan.clone();
        let others: Vec<RegionName> = plan
            .regions
            .keys()
            .filter(|name| **name != self.own)
            .cloned()
            .collect();
        let victim = others.get(rng.random_range(0..others.len().max(1)))?;

        plan.reason = FORGED.into();
        let lie = match rng.random_range(0..12) {
            0 => self.take_all(plan),
            1 => take_out(plan, victim, Absence::Failed, now_ms),
            2 => self.demote(plan, victim, now_ms),
            3 => take_out(plan, victim, Absence::Idle, now_ms),
            4 => rename_absences(plan),
            5 => order_drain(plan, victim, now_ms),
            6 => return_all(plan),
            7 => self.remove_others(plan),
            8 => shift(plan, rng),
            9 => shorten(plan),
            10 => self.replay(plan, rng)?,
            _ => drop_orders(plan),
        };

        let is_changed = match lie {
            Lie::Shares | Lie::Exit | Lie::Return => plan.shares() != before.shares(),
            _ => {
                Plan {
                    reason: before.reason.clone(),
                    ..plan.clone()
                } != before
            }
        };
        is_changed.then_some(lie)
    }

    fn take_all(&self, plan: &mut Plan) -> Lie {
        for (name, part) in &mut plan.regions {
            part.weight_bp = if *name == self.own { FULL_WEIGHT_BP } else { 0 };
        }
        Lie::Shares
    }

    /// The ramp does not count as an exit; there, a region may be taken out whatever the limit.
    fn demote(&self, plan: &mut Plan, victim: &RegionName, now_ms: u64) -> Lie {
        if let Some(part) = plan.regions.get_mut(victim) {
            let weight = u32::from(part.weight_bp) * u32::from(self.first_percent);
            part.weight_bp = u16::try_from(weight.div_ceil(100)).unwrap_or(0);
            part.traffic_state = TrafficState::Ramping {
                step: 0,
                since_ms: now_ms,
            };
        }
        Lie::Absence
    }

    fn remove_others(&self, plan: &mut Plan) -> Lie {
        plan.reason = FORGED_ORDER.into();
        plan.members.acceptors.retain(|name, _| *name == self.own);
        Lie::Members
    }

    /// Carries out an order again whose override has ended.
    fn replay(&self, plan: &mut Plan, rng: &mut StdRng) -> Option<Lie> {
        let order = self.seen.get(rng.random_range(0..self.seen.len().max(1)))?;
        let OrderAction::Set(kind) = order.action else {
            return None;
        };
        if plan.override_of(order.region.as_ref()).is_some() {
            return None;
        }

        plan.overrides.push(Override {
            region: order.region.clone(),
            kind,
            by: order.by.clone(),
            why: order.why.clone(),
            is_immediate: kind == OverrideKind::Promote && order.is_immediate,
            set_ms: plan.made_ms,
            expires_ms: plan.made_ms + order.for_ms,
        });
        if !plan.orders.contains(order) {
            plan.orders.push(order.clone());
        }
        Some(Lie::Replay)
    }
}

fn take_out(plan: &mut Plan, victim: &RegionName, absence: Absence, now_ms: u64) -> Lie {
    if let Some(part) = plan.regions.get_mut(victim) {
        part.weight_bp = 0;
        part.traffic_state = TrafficState::Out { since_ms: now_ms };
        part.absence = Some(absence);
    }
    match absence {
        Absence::Failed => Lie::Exit,
        _ => Lie::Absence,
    }
}

/// Regions that automation took out are called by another name: the limit is free again.
fn rename_absences(plan: &mut Plan) -> Lie {
    let failed = plan.regions.values_mut().filter(|part| part.is_taken_out());
    for part in failed {
        part.absence = Some(Absence::Idle);
    }
    Lie::Absence
}

fn order_drain(plan: &mut Plan, victim: &RegionName, now_ms: u64) -> Lie {
    take_out(plan, victim, Absence::Ordered, now_ms);
    plan.reason = FORGED_ORDER.into();
    plan.overrides
        .retain(|order| order.region.as_ref() != Some(victim));
    plan.overrides.push(Override {
        region: Some(victim.clone()),
        kind: OverrideKind::Drain,
        by: "thief".into(),
        why: "forged".into(),
        is_immediate: false,
        set_ms: now_ms,
        expires_ms: now_ms + 3_600_000,
    });
    Lie::Order
}

fn return_all(plan: &mut Plan) -> Lie {
    for part in plan.regions.values_mut().filter(|part| part.is_out()) {
        part.weight_bp = FULL_WEIGHT_BP;
        part.traffic_state = TrafficState::Serving;
        part.absence = None;
    }
    Lie::Return
}

/// The plan's clock is set: everything in it is older, or younger.
fn shift(plan: &mut Plan, rng: &mut StdRng) -> Lie {
    let by_ms = [-600_000, -60_000, 60_000, 600_000][rng.random_range(0..4)];
    plan.reason = FORGED_TIME.into();
    plan.made_ms = plan.made_ms.saturating_add_signed(by_ms);
    Lie::Times
}

/// Every order ends within a second.
fn shorten(plan: &mut Plan) -> Lie {
    plan.reason = FORGED_TIME.into();
    for order in &mut plan.overrides {
        order.expires_ms = order.expires_ms.min(plan.made_ms + 1_000);
    }
    Lie::Times
}

fn drop_orders(plan: &mut Plan) -> Lie {
    plan.reason = FORGED_TIME.into();
    plan.overrides.clear();
    plan.orders.clear();
    Lie::Drop
}
