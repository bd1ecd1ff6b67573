//! Regions that are taken out, and the reasons that a plan gives for that.
//!
//! Only regions that automation took out count against `max_out`. So the reason for an absence is
//! judged too: otherwise a region could be taken out under another name, or be called by another
//! one once it is out, and the next one would be the first again.

use super::{
    grounds::{Grounds, Objection},
    moves::{is_in, may_drain},
};
use crate::planning::overrides::Orders;
use regionmesh_protocol::{
    identity::RegionName,
    plan::{Absence, OverrideKind, Plan, RegionPlan, TrafficState},
};
use std::collections::BTreeSet;

pub(super) fn check(base: &Plan, next: &Plan, grounds: &Grounds<'_>) -> Result<(), Objection> {
    let absent = next.regions.iter().filter(|(_, after)| is_out(after));
    let mut newly = BTreeSet::new();
    for (name, after) in absent {
        let before = base.regions.get(name);
        if !has_reason(name, before, after, next, grounds) {
            return Err(Objection::FalseAbsence(name.clone()));
        }

        let served = before.is_some_and(|before| before.weight_bp > 0 && is_in(before));
        if served && after.is_taken_out() {
            newly.insert(name);
        }
    }

    let out = next.taken_out().count();
    let max_out = grounds.settings.max_out;
    if !newly.is_empty() && out > usize::from(max_out) {
        return Err(Objection::TooManyOut { out, max_out });
    }
    Ok(())
}

fn is_out(part: &RegionPlan) -> bool {
    matches!(
        part.traffic_state,
        TrafficState::Out { .. } | TrafficState::CoolingDown { .. }
    )
}

/// Whether a region can be absent for the reason that the plan gives: one that it had before, or
/// one that comes with what happened.
fn has_reason(
    name: &RegionName,
    before: Option<&RegionPlan>,
    after: &RegionPlan,
    next: &Plan,
    grounds: &Grounds<'_>,
) -> bool {
    let has_it_already =
        before.is_some_and(|before| !is_in(before) && before.absence == after.absence);
    let orders = Orders::of(&next.overrides, name);

    has_it_already
        || match after.absence {
            // It counts against the limit.
            Some(Absence::Failed) => true,
            Some(Absence::Idle) => {
                before.is_some_and(|before| before.weight_bp == 0 && is_in(before))
            }
            Some(Absence::Draining) => may_drain(name, grounds),
            Some(Absence::Ordered) => orders.own(OverrideKind::Drain).is_some(),
            Some(Absence::Joined) => before.is_none(),
            None => false,
        }
}
