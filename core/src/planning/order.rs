//! What operators order: drain, hold, promote, restore. An order becomes an override in the plan
//! itself, the register's value, so that it survives the leader that took it, and it always ends:
//! each has an expiry.
//!
//! An order that would end another operator's, or drain the last region that can serve, is refused
//! unless it is forced; whoever reads the answer or the plan's reason sees what it replaced.
//!
//! Overrides outrank automation, with two limits: the answer is never empty, and no override keeps
//! users on a failed region while another is healthy (`yielding`).

use super::{PlanInputs, next, standing::Orders};
use regionmesh_protocol::{
    identity::RegionName,
    plan::{
        BY_MAX, FOR_MAX_MS, FOR_MIN_MS, MemberOrderError, OVERRIDES_MAX, Order, OrderAction,
        OrderError, Override, OverrideKind, Plan, RegionPlan, Replaced, Standing, WHY_MAX,
        duration_in_words, in_words,
    },
    status::condition::Condition,
    text::unprintable,
};

/// The plan that follows from an order; one follows always, since who ordered what is part of it.
pub fn plan_order(
    current: Option<&Plan>,
    order: &Order,
    inputs: &PlanInputs,
    now_ms: u64,
) -> Result<Plan, OrderError> {
    let current = current.ok_or(OrderError::NoPlan)?;
    let (overrides, reason) = apply(&current.overrides, order, inputs, now_ms)?;
    let mut plan = next::plan_with(current, overrides, reason, inputs, now_ms);

    let Some(region) = &order.region else {
        return Ok(plan);
    };
    let note = match order.action {
        OrderAction::Set(OverrideKind::Drain) => match carrier_of_a_drain(current, &plan, region) {
            Some(carrier) if !order.is_forced => {
                return Err(OrderError::LastServing {
                    region: region.clone(),
                    carrier: carrier.clone(),
                });
            }
            Some(carrier) if carrier == region => Some(format!(
                "{region} is drained in name only and keeps its traffic: no other \
                    region can serve"
            )),
            Some(carrier) => Some(format!(
                "{carrier} takes the traffic although it is drained: no other region \
                    can serve"
            )),
            None => None,
        },
        OrderAction::Set(OverrideKind::Promote) => plan
            .regions
            .get(region)
            .filter(|part| !is_in_service(part))
            .map(|_| {
                format!(
                    "{region} comes back by cool-down and ramp first; an immediate \
                promotion skips them"
                )
            }),
        OrderAction::Restore => held_at_nothing(&plan, region, now_ms),
        OrderAction::Set(OverrideKind::Hold) | OrderAction::Member(_) => None,
    };

    if let Some(note) = note {
        add_reason(&mut plan, &note);
    }
    Ok(plan)
}

/// The drained region that has traffic only because `drained` is to have none, or `drained` itself
/// if it keeps its own.
fn carrier_of_a_drain<'a>(
    current: &Plan,
    plan: &'a Plan,
    drained: &RegionName,
) -> Option<&'a RegionName> {
    let is_drained = |name: &RegionName| {
        plan.override_of(Some(name))
            .is_some_and(|standing| standing.kind == OverrideKind::Drain)
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

/// Why a region whose order was taken back still gets nothing, if a hold is the reason.
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
    let left = duration_in_words(hold.expires_ms.saturating_sub(now_ms));

    Some(format!(
        "{region} {at} while the {hold} stands, {left} left"
    ))
}

fn add_reason(plan: &mut Plan, reason: &str) {
    plan.reason = format!("{}; {reason}", plan.reason);
    if plan.reason.len() > next::REASON_MAX {
        plan.reason
            .truncate(plan.reason.floor_char_boundary(next::REASON_MAX));
        plan.reason.push('…');
    }
}

/// Whether a region is in full service, or only cut for a suspicion.
fn is_in_service(part: &RegionPlan) -> bool {
    matches!(part.standing, Standing::Serving | Standing::Reduced)
}

/// Who and why must be said, and not at any length.
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

/// The overrides after an order, and what is said of it.
fn apply(
    standing: &[Override],
    order: &Order,
    inputs: &PlanInputs,
    now_ms: u64,
) -> Result<(Vec<Override>, String), OrderError> {
    if let Some(region) = order
        .region
        .as_ref()
        .filter(|region| !inputs.regions.contains_key(*region))
    {
        return Err(OrderError::UnknownRegion(region.clone()));
    }

    check_texts(order)?;
    let is_promotion = order.action == OrderAction::Set(OverrideKind::Promote);

    // Two regions can't both get all.
    let ends = |other: &Override| {
        other.region == order.region || (is_promotion && other.kind == OverrideKind::Promote)
    };
    let (ended, mut kept): (Vec<Override>, Vec<Override>) =
        standing.iter().cloned().partition(ends);
    let with_time_left = |standing: Override| {
        let left_ms = standing.expires_ms.saturating_sub(now_ms);
        Replaced { standing, left_ms }
    };

    let replaced: Vec<Replaced> = ended
        .into_iter()
        .map(with_time_left)
        .filter(|replaced| replaced.left_ms > 0)
        .collect();
    let kind = match &order.action {
        OrderAction::Member(_) => return Err(MemberOrderError::NoOverride.into()),
        OrderAction::Restore => {
            if replaced.is_empty() {
                return Err(OrderError::NothingStands(order.region.clone()));
            }

            let of = order
                .region
                .as_ref()
                .map_or("the whole mesh", RegionName::as_str);
            let ended = in_words(&replaced);
            let reason = format!(
                "{of}: restored by {} ({}), which ends {ended}",
                order.by, order.why
            );

            return Ok((kept, reason));
        }
        OrderAction::Set(kind) => *kind,
    };

    if !(FOR_MIN_MS..=FOR_MAX_MS).contains(&order.for_ms) {
        return Err(OrderError::Duration(order.for_ms));
    }
    if kind != OverrideKind::Hold && order.region.is_none() {
        return Err(OrderError::NoRegion(kind));
    }

    if is_promotion {
        let input = order
            .region
            .as_ref()
            .and_then(|region| Some((region, inputs.regions.get(region)?)));

        if let Some((region, input)) = input
            && matches!(input.condition, Condition::Failed | Condition::Draining)
        {
            let condition = input.condition;
            let reason = input.reason.clone();
            return Err(OrderError::Unfit {
                region: region.clone(),
                condition,
                reason,
            });
        }
    }

    let of_others: Vec<Replaced> = replaced
        .iter()
        .filter(|replaced| replaced.standing.by != order.by)
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

    let set = Override {
        region: order.region.clone(),
        kind,
        by: order.by.clone(),
        why: order.why.clone(),
        is_immediate: is_promotion && order.is_immediate,
        set_ms: now_ms,
        expires_ms: now_ms.saturating_add(order.for_ms),
    };

    let mut reason = format!("ordered: {set}");
    if !replaced.is_empty() {
        reason += &format!(", which replaces {}", in_words(&replaced));
    }
    kept.push(set);
    Ok((kept, reason))
}
