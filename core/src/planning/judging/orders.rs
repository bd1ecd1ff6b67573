//! Overrides that begin, change or end, and the orders that prove them.

use super::grounds::{ESTIMATE_MS, Grounds, Objection, TOLERANCE_MS};
use regionmesh_protocol::plan::{ENDED_ORDERS_MAX, Order, OrderAction, Override, Plan};

pub(super) fn check(
    base: Option<&Plan>,
    next: &Plan,
    grounds: &Grounds<'_>,
) -> Result<(), Objection> {
    let known = base.map(|base| base.orders.as_slice()).unwrap_or_default();
    let is_known = |order: &&Order| known.contains(order) || grounds.orders.contains(order);
    if let Some(order) = next.orders.iter().find(|order| !is_known(order)) {
        let what = format!("order by {} ({})", order.by, order.why);
        return Err(match grounds.stale.contains(&order) {
            true => Objection::UnprovenOrder(what),
            false => Objection::ForgedOrder(what),
        });
    }

    for order in &next.overrides {
        check_override(order, base, next, grounds)?;
    }

    let Some(base) = base else {
        return Ok(());
    };
    for known in &base.overrides {
        let is_kept = next.overrides.iter().any(|order| known.is_same(order));
        let is_gone = known
            .region
            .as_ref()
            .is_some_and(|region| base.members.has(region) && !next.members.has(region));
        if !is_kept && !is_gone && !has_ended(known, base, next, grounds) {
            return Err(Objection::EndsOrder(known.to_string()));
        }
    }
    check_kept(known, next)
}

/// Known orders stay, in their order, so that agents that start later know that they were used;
/// only the oldest that have ended are forgotten.
fn check_kept(known: &[Order], next: &Plan) -> Result<(), Objection> {
    let (kept, dropped): (Vec<&Order>, Vec<&Order>) =
        known.iter().partition(|order| next.orders.contains(order));
    let is_full = next.ended_orders().count() >= ENDED_ORDERS_MAX;
    let is_set = |order: &&&Order| next.overrides.iter().any(|existing| order.sets(existing));

    let mut dropped = dropped.iter().filter(|order| !is_full || is_set(order));
    let mut moved = kept
        .iter()
        .zip(&next.orders)
        .filter(|(kept, order)| **kept != *order)
        .map(|(kept, _)| kept);
    match dropped.next().or_else(|| moved.next()) {
        Some(order) => Err(Objection::DropsOrder(order.by.clone())),
        None => Ok(()),
    }
}

/// Checks an override of the next plan: an order set it, now or before, and it ends when that order
/// does.
fn check_override(
    existing: &Override,
    base: Option<&Plan>,
    next: &Plan,
    grounds: &Grounds<'_>,
) -> Result<(), Objection> {
    let before = base
        .iter()
        .flat_map(|base| &base.overrides)
        .find(|known| known.is_same(existing));

    let Some(order) = next.order_of(existing) else {
        let is_kept = before.is_some_and(|known| !lasts_longer(existing, next, known, grounds));
        let forged = || Objection::ForgedOrder(existing.to_string());
        return if is_kept { Ok(()) } else { Err(forged()) };
    };

    let is_new =
        grounds.orders.contains(&order) && !base.is_some_and(|base| base.orders.contains(order));
    if !is_new && before.is_none() {
        return Err(Objection::UnprovenOrder(existing.to_string()));
    }
    if !lasts_as_ordered(existing, order, is_new, next, grounds) {
        return Err(Objection::OrderTime(existing.to_string()));
    }
    Ok(())
}

/// Whether an override lasts exactly as long as was ordered, and has so much time left as it should
/// have by now, as far as this agent knows.
fn lasts_as_ordered(
    existing: &Override,
    order: &Order,
    is_new: bool,
    next: &Plan,
    grounds: &Grounds<'_>,
) -> bool {
    let lasts_ms = existing.expires_ms.saturating_sub(existing.set_ms);
    let left_ms = existing.expires_ms.saturating_sub(next.made_ms);
    let most_left_ms = order.for_ms.saturating_add(TOLERANCE_MS);
    if lasts_ms != order.for_ms || left_ms > most_left_ms {
        return false;
    }

    let Some(age) = grounds.age_of(order) else {
        return true;
    };
    // A new order was given by a clock that may be ahead, but no one waited for hours with it.
    let error_ms = if is_new {
        age.error_ms.min(ESTIMATE_MS)
    } else {
        age.error_ms
    };
    let least_ms = age.ms.saturating_add(error_ms);
    let is_early = left_ms.saturating_add(least_ms) < order.for_ms;
    // What is committed again may have been made some time ago.
    let is_late = age.is_measured
        && left_ms.saturating_add(age.ms) > order.for_ms.saturating_add(age.error_ms);

    !is_early && !is_late
}

/// Whether an override without an order lasts longer than before.
fn lasts_longer(order: &Override, next: &Plan, known: &Override, grounds: &Grounds<'_>) -> bool {
    let Some(error_ms) = grounds.error_ms() else {
        return false;
    };
    let planned_ms = order.expires_ms.saturating_sub(next.made_ms);
    let left_ms = known.expires_ms.saturating_sub(grounds.now_ms);
    // A plan that is committed again may have been made long ago.
    let lasted_ms = order.expires_ms.saturating_sub(order.set_ms);
    let ordered_ms = known.expires_ms.saturating_sub(known.set_ms);

    planned_ms > left_ms.saturating_add(error_ms) && lasted_ms > ordered_ms
}

/// Whether it has expired, or a proven order ends it.
fn has_ended(known: &Override, base: &Plan, next: &Plan, grounds: &Grounds<'_>) -> bool {
    let is_over = match grounds.error_ms() {
        Some(error_ms) => known.expires_ms <= grounds.now_ms.saturating_add(error_ms),
        None => known.expires_ms.saturating_add(ESTIMATE_MS) <= grounds.now_ms,
    };
    let is_known_as_over = grounds.expired.iter().any(|one| one.is_same(known));
    let has_lasted = base.order_of(known).is_none_or(|order| {
        let age = grounds.age_of(order);
        age.is_none_or(|age| age.most_ms() >= order.for_ms)
    });
    let is_ended = grounds.orders.iter().any(|order| {
        order.ends(known)
            && matches!(order.action, OrderAction::Set(_) | OrderAction::Restore)
            && has_effect(order, next, grounds)
    });

    (is_over || is_known_as_over) && has_lasted || is_ended
}

/// Whether an order ends overrides only, or what it sets is in the plan, or was there before it
/// expired or another order ended it.
fn has_effect(order: &Order, next: &Plan, grounds: &Grounds<'_>) -> bool {
    let is_set = next.overrides.iter().any(|existing| order.sets(existing));
    let is_followed = grounds
        .orders
        .iter()
        .any(|other| *other != order && other.region == order.region);
    let is_over = grounds
        .age_of(order)
        .is_some_and(|age| age.most_ms() >= order.for_ms);

    order.action == OrderAction::Restore || is_set || is_followed || is_over
}
