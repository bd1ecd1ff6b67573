//! What operators order: drain, hold, promote, restore. An order becomes an override in the plan
//! itself, the register's value, so that it survives the leader that accepted it. Every override
//! has an expiry.
//!
//! An order that would end another operator's, or drain the last region that can serve, is refused
//! unless it is forced; the answer and the plan's reason say what it replaced.
//!
//! Overrides outrank automation, with two limits: the answer is never empty, and no override keeps
//! users on a failed region while another is healthy (`yielding`).

use super::{PlanInputs, next, overrides::Orders, words::join_reasons};
use regionmesh_protocol::{
    identity::RegionName,
    plan::{
        BY_MAX, FOR_MAX_MS, FOR_MIN_MS, MemberOrderError, OVERRIDES_MAX, Order, OrderAction,
        OrderError, Override, OverrideKind, Plan, RegionPlan, Replaced, TrafficState, WHY_MAX,
    },
    status::condition::Condition,
    text::unprintable,
};

/// The plan that follows from an order. It always differs: who ordered what is part of it.
pub fn plan_order(
    current: Option<&Plan>,
    order: &Order,
    inputs: &PlanInputs,
    now_ms: u64,
) -> Result<Plan, OrderError> {
    let current = current.ok_or(OrderError::NoPlan)?;
    let (overrides, reason) = apply(&current.overrides, order, inputs, now_ms)?;
    let mut plan = next::plan_with(current, overrides, reason, inputs, now_ms);

    let note = match &order.region {
        Some(region) => note(current, &plan, order, region, now_ms)?,
        None => None,
    };

    if let Some(note) = note {
        plan.reason = join_reasons(&[plan.reason, note]);
    }
    Ok(plan)
}

/// What the plan says in addition about an order for `region`; fails if the order drains the last
/// region that can serve and is not forced.
fn note(
    current: &Plan,
    plan: &Plan,
    order: &Order,
    region: &RegionName,
    now_ms: u64,
) -> Result<Option<String>, OrderError> {
    let note = match order.action {
        OrderAction::Set(OverrideKind::Drain) => match carrier_of_a_drain(current, plan, region) {
            Some(carrier) if !order.is_forced => {
                return Err(OrderError::LastServing {
                    region: region.clone(),
                    carrier: carrier.clone(),
                });
            }
            Some(carrier) if carrier == region => Some(format!(
                "{region} is drained in name only and keeps its traffic: no other region can serve"
            )),
            Some(carrier) => Some(format!(
                "{carrier} takes the traffic although it is drained: no other region can serve"
            )),
            None => None,
        },
        OrderAction::Set(OverrideKind::Promote) => {
            let part = plan.regions.get(region);
            part.filter(|part| !is_in_service(part)).map(|_| {
                format!(
                    "{region} comes back by cool-down and ramp first; an immediate promotion \
                     skips them"
                )
            })
        }
        OrderAction::Restore => held_at_nothing(plan, region, now_ms),
        OrderAction::Set(OverrideKind::Hold) | OrderAction::Member(_) => None,
    };

    Ok(note)
}

/// The drained region that gets traffic only because `drained` should have none, or `drained`
/// itself if it keeps its own.
fn carrier_of_a_drain<'a>(
    current: &Plan,
    plan: &'a Plan,
    drained: &RegionName,
) -> Option<&'a RegionName> {
    let is_drained = |name: &RegionName| {
        plan.override_of(Some(name))
            .is_some_and(|existing| existing.kind == OverrideKind::Drain)
    };
    let had_nothing = |name: &RegionName| {
        current
            .regions
            .get(name)
            .is_none_or(|part| part.weight_bp == 0)
    };

    let carrying = plan
        .regions
        .iter()
        .filter(|(name, part)| part.weight_bp > 0 && is_drained(name));
    let mut carrying = carrying
        .map(|(name, _)| name)
        .filter(|name| *name == drained || had_nothing(name));

    carrying.next()
}

/// Why a restored region still gets nothing, if a hold is the reason.
fn held_at_nothing(plan: &Plan, region: &RegionName, now_ms: u64) -> Option<String> {
    let hold = Orders::of(&plan.overrides, region).hold()?;
    let part = plan
        .regions
        .get(region)
        .filter(|part| part.weight_bp == 0)?;
    let at = if is_in_service(part) {
        "stays as it is"
    } else {
        "stays at 0 %"
    };

    Some(format!(
        "{region} {at} while the {hold} is in effect, {} left",
        hold.time_left(now_ms)
    ))
}

/// Whether a region is in full service, or only cut because it is suspect.
fn is_in_service(part: &RegionPlan) -> bool {
    matches!(
        part.traffic_state,
        TrafficState::Serving | TrafficState::Reduced
    )
}

/// Checks that the order says who and why, in bounded, printable text.
pub(super) fn check_texts(order: &Order) -> Result<(), OrderError> {
    for (what, text, limit) in [("by", &order.by, BY_MAX), ("why", &order.why, WHY_MAX)] {
        let length = text.chars().count();
        if length == 0 || length > limit {
            return Err(OrderError::Text {
                what: what.into(),
                length,
                limit,
            });
        }

        if let Some(found) = unprintable(text) {
            return Err(OrderError::Unprintable {
                what: what.into(),
                found,
            });
        }
    }

    Ok(())
}

/// The overrides after an order, and the reason that the plan gives for them.
fn apply(
    existing: &[Override],
    order: &Order,
    inputs: &PlanInputs,
    now_ms: u64,
) -> Result<(Vec<Override>, String), OrderError> {
    if let Some(region) = &order.region
        && !inputs.regions.contains_key(region)
    {
        return Err(OrderError::UnknownRegion(region.clone()));
    }

    check_texts(order)?;
    let (replaced, kept) = split(existing, order, now_ms);

    match &order.action {
        OrderAction::Member(_) => Err(MemberOrderError::NoOverride.into()),
        OrderAction::Restore => {
            let reason = restore(order, &replaced)?;
            Ok((kept, reason))
        }
        OrderAction::Set(kind) => {
            check_override(order, *kind, inputs)?;
            check_replaced(order, *kind, &replaced, &kept)?;
            Ok(set(order, *kind, &replaced, kept, now_ms))
        }
    }
}

/// The overrides that `order` ends, expired ones aside, and those that it keeps. Two regions can't
/// both get all traffic: a promotion ends any other.
fn split(existing: &[Override], order: &Order, now_ms: u64) -> (Vec<Replaced>, Vec<Override>) {
    let existing = existing.iter().cloned();
    let (ended, kept): (Vec<Override>, Vec<Override>) = existing.partition(|one| order.ends(one));

    let with_time_left = |existing: Override| {
        let left_ms = existing.expires_ms.saturating_sub(now_ms);
        Replaced { existing, left_ms }
    };
    let replaced = ended
        .into_iter()
        .map(with_time_left)
        .filter(|replaced| replaced.left_ms > 0)
        .collect();

    (replaced, kept)
}

/// The reason that the plan gives for a restore.
fn restore(order: &Order, replaced: &[Replaced]) -> Result<String, OrderError> {
    if replaced.is_empty() {
        return Err(OrderError::NothingInEffect(order.region.clone()));
    }

    let region = order.region.as_ref();
    Ok(format!(
        "{}: restored by {} ({}), which ends {}",
        region.map_or("the whole mesh", RegionName::as_str),
        order.by,
        order.why,
        Replaced::list(replaced)
    ))
}

/// Whether an override of this kind is possible at all.
fn check_override(
    order: &Order,
    kind: OverrideKind,
    inputs: &PlanInputs,
) -> Result<(), OrderError> {
    if !(FOR_MIN_MS..=FOR_MAX_MS).contains(&order.for_ms) {
        return Err(OrderError::Duration(order.for_ms));
    }
    if kind != OverrideKind::Hold && order.region.is_none() {
        return Err(OrderError::NoRegion(kind));
    }

    if kind == OverrideKind::Promote
        && let Some(region) = &order.region
        && let Some(input) = inputs.regions.get(region)
        && matches!(input.condition, Condition::Failed | Condition::Draining)
    {
        return Err(OrderError::Unfit {
            region: region.clone(),
            condition: input.condition,
            reason: input.reason.clone(),
        });
    }

    Ok(())
}

/// Whether the order may end `replaced`, and whether there is room for one more override.
fn check_replaced(
    order: &Order,
    kind: OverrideKind,
    replaced: &[Replaced],
    kept: &[Override],
) -> Result<(), OrderError> {
    let of_others: Vec<Replaced> = replaced
        .iter()
        .filter(|replaced| replaced.existing.by != order.by)
        .cloned()
        .collect();

    if !order.is_forced && !of_others.is_empty() {
        return Err(OrderError::WouldReplace {
            order: kind,
            replaced: of_others,
        });
    }

    if kept.len() >= OVERRIDES_MAX {
        return Err(OrderError::TooMany);
    }
    Ok(())
}

/// The overrides with the one that `order` sets, and the reason that the plan gives for it.
fn set(
    order: &Order,
    kind: OverrideKind,
    replaced: &[Replaced],
    mut kept: Vec<Override>,
    now_ms: u64,
) -> (Vec<Override>, String) {
    let set = Override {
        region: order.region.clone(),
        kind,
        by: order.by.clone(),
        why: order.why.clone(),
        is_immediate: kind == OverrideKind::Promote && order.is_immediate,
        set_ms: now_ms,
        expires_ms: now_ms.saturating_add(order.for_ms),
    };

    let mut reason = format!("ordered: {set}");
    if !replaced.is_empty() {
        reason += &format!(", which replaces {}", Replaced::list(replaced));
    }

    kept.push(set);
    (kept, reason)
}
