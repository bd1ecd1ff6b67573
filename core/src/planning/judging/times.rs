//! The times of regions. They are compared relative to the moment at which their plan was made:
//! leaders' clocks differ, and an agent counts a plan that it hears of as new
//! ([`regionmesh_protocol::plan::time`]).

use super::grounds::{Grounds, Objection, TOLERANCE_MS};
use regionmesh_protocol::plan::{Plan, RegionPlan, TrafficState};

/// Checks that no region is said to wait for longer than it can have waited, and that its failures
/// are not forgotten too soon.
pub(super) fn check(base: &Plan, next: &Plan, grounds: &Grounds<'_>) -> Result<(), Objection> {
    for (name, after) in &next.regions {
        let before = base.regions.get(name);
        if before.is_some_and(|before| !follows(base, before, next, after, grounds)) {
            return Err(Objection::Times(name.clone()));
        }
    }
    Ok(())
}

fn follows(
    base: &Plan,
    before: &RegionPlan,
    next: &Plan,
    after: &RegionPlan,
    grounds: &Grounds<'_>,
) -> bool {
    let is_possible = |after_ms: u64, before_ms: u64| {
        let is_past = after_ms <= next.made_ms.saturating_add(TOLERANCE_MS);
        let aged_ms = next.made_ms.saturating_sub(after_ms);
        is_past && aged_ms <= grounds.at_most_ms(before_ms)
    };

    let (since_ms, healthy_ms) = times(after);
    let (entered_ms, was_healthy_ms) = times(before);
    let entered_ms = entered_ms.unwrap_or(base.made_ms);
    let was_healthy_ms = was_healthy_ms.unwrap_or(entered_ms);
    let has_waited = since_ms.is_none_or(|since_ms| is_possible(since_ms, entered_ms))
        && healthy_ms.is_none_or(|healthy_ms| is_possible(healthy_ms, was_healthy_ms));

    let forget_ms = grounds.settings.recovery.forget_flaps_ms;
    let remembers = after.flaps >= before.flaps
        && (after.flaps == 0 || is_possible(after.failed_ms, before.failed_ms));
    let may_forget = grounds.at_most_ms(before.failed_ms) >= forget_ms;

    let keeps_holds = match (&before.traffic_state, &after.traffic_state) {
        (
            TrafficState::Ramping { step, since_ms },
            TrafficState::Ramping {
                step: next_step,
                since_ms: next_ms,
            },
        ) if step == next_step && since_ms == next_ms => {
            after.hold_doublings >= before.hold_doublings
        }
        _ => true,
    };

    has_waited && (remembers || may_forget) && keeps_holds
}

/// Since when a region is in its state, and since when it is healthy.
fn times(part: &RegionPlan) -> (Option<u64>, Option<u64>) {
    match part.traffic_state {
        TrafficState::Serving | TrafficState::Reduced => (None, None),
        TrafficState::Limited {
            since_ms,
            healthy_ms,
        } => (Some(since_ms), healthy_ms),
        TrafficState::Out { since_ms }
        | TrafficState::CoolingDown { since_ms }
        | TrafficState::Ramping { since_ms, .. } => (Some(since_ms), None),
    }
}
