//! Overrides that begin, change or end.

use super::grounds::{ESTIMATE_MS, Grounds, Objection, TOLERANCE_MS};
use regionmesh_protocol::plan::{Order, OrderAction, Override, Plan};

/// Converting times to another clock may cost this much of an override's length, milliseconds.
const ROUNDING_MS: u64 = 2;
/// How long after it was made a plan may be committed, milliseconds.
const LATE_MS: u64 = 600_000;

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
        let is_kept = known.is_some_and(|known| lasts_as_long(order, next, known, grounds));
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

/// Whether an override ends when it did, except that a plan made a while ago may be committed again
/// and counts as new.
fn lasts_as_long(order: &Override, next: &Plan, known: &Override, grounds: &Grounds<'_>) -> bool {
    let length_ms = |order: &Override| order.expires_ms.saturating_sub(order.set_ms);
    if length_ms(order).abs_diff(length_ms(known)) > ROUNDING_MS {
        return false;
    }

    let left_ms = |order: &Override, now_ms: u64| {
        i128::from(order.expires_ms).saturating_sub(i128::from(now_ms))
    };
    let longer_ms = left_ms(order, next.made_ms) - left_ms(known, grounds.now_ms);
    grounds.error_ms().is_none_or(|error_ms| {
        let error_ms = i128::from(error_ms);
        (-error_ms..=error_ms + i128::from(LATE_MS)).contains(&longer_ms)
    })
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
