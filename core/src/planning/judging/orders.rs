//! Overrides that begin, change or end.

use super::grounds::{ESTIMATE_MS, Grounds, Objection, TOLERANCE_MS};
use regionmesh_protocol::plan::{Order, OrderAction, Override, Plan};

pub(super) fn check(
    base: Option<&Plan>,
    next: &Plan,
    grounds: &Grounds<'_>,
) -> Result<(), Objection> {
    let before = base
        .map(|base| base.overrides.as_slice())
        .unwrap_or_default();
    let known = base.map(|base| base.orders.as_slice()).unwrap_or_default();
    let is_known = |order: &&Order| known.contains(order) || grounds.orders.contains(order);
    if let Some(order) = next.orders.iter().find(|order| !is_known(order)) {
        let what = format!("order by {} ({})", order.by, order.why);
        return Err(Objection::UnprovenOrder(what));
    }

    for order in &next.overrides {
        let known = before.iter().find(|known| is_same(known, order));
        let is_kept = known.is_some_and(|known| !lasts_longer(order, next, known, grounds));
        if !is_kept && !is_set(order, next, grounds) {
            return Err(Objection::UnprovenOrder(order.to_string()));
        }
    }

    for known in before {
        let is_kept = next.overrides.iter().any(|order| is_same(known, order));
        let is_gone = known.region.as_ref().is_some_and(|region| {
            let had = base.is_some_and(|base| base.members.has(region));
            had && !next.members.has(region)
        });
        if !is_kept && !is_gone && !has_ended(known, grounds) {
            return Err(Objection::EndsOrder(known.to_string()));
        }
    }

    Ok(())
}

/// Whether both are the same order; its times differ by leaders' clocks.
fn is_same(one: &Override, other: &Override) -> bool {
    one.region == other.region
        && one.kind == other.kind
        && one.by == other.by
        && one.why == other.why
        && one.is_immediate == other.is_immediate
}

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

/// Whether a proven order sets it, for no longer than ordered.
fn is_set(existing: &Override, next: &Plan, grounds: &Grounds<'_>) -> bool {
    let lasts_ms = existing.expires_ms.saturating_sub(existing.set_ms);
    let planned_ms = existing.expires_ms.saturating_sub(next.made_ms);
    grounds.orders.iter().any(|order| {
        order.sets(existing)
            && lasts_ms <= order.for_ms
            && planned_ms <= order.for_ms.saturating_add(TOLERANCE_MS)
    })
}

/// Whether it has expired, or a proven order ends it.
fn has_ended(known: &Override, grounds: &Grounds<'_>) -> bool {
    let is_over = match grounds.error_ms() {
        Some(error_ms) => known.expires_ms <= grounds.now_ms.saturating_add(error_ms),
        None => known.expires_ms.saturating_add(ESTIMATE_MS) <= grounds.now_ms,
    };
    let is_known_as_over = grounds.expired.iter().any(|one| is_same(one, known));
    let is_ended = grounds.orders.iter().any(|order| {
        order.ends(known) && matches!(order.action, OrderAction::Set(_) | OrderAction::Restore)
    });

    is_over || is_known_as_over || is_ended
}
