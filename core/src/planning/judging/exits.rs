//! Regions that are taken out, whatever the plan calls that.
//!
//! A plan counts those against `max_out` that it calls failed. A thief could take one out under
//! another name, or put it on the ramp first, from which regions that fail are taken out without
//! limit. So an agent counts each region that left its service without a reason that it knows, and
//! remembers those that the plan does not count.

use super::{
    grounds::{Grounds, Objection},
    moves::may_drain,
};
use regionmesh_protocol::{
    identity::RegionName,
    plan::{Absence, OrderAction, OverrideKind, Plan, RegionPlan, TrafficState},
};
use std::collections::BTreeSet;

pub(super) fn check(base: &Plan, next: &Plan, grounds: &Grounds<'_>) -> Result<(), Objection> {
    let is_excused = |name: &RegionName, after: &RegionPlan| match after.absence {
        Some(Absence::Draining) => may_drain(name, grounds),
        Some(Absence::Ordered) => is_drained(name, next, grounds),
        _ => false,
    };

    for (name, after) in next.regions.iter().filter(|(_, after)| after.is_out()) {
        let was_taken_out = base.regions.get(name).is_some_and(RegionPlan::is_taken_out);
        if was_taken_out && !after.is_taken_out() && !is_excused(name, after) {
            return Err(Objection::FalseAbsence(name.clone()));
        }
    }

    let newly: BTreeSet<&RegionName> = leavers(base, next)
        .filter(|(name, after)| !is_excused(name, after))
        .map(|(name, _)| name)
        .collect();
    let is_away = |name: &&RegionName| {
        next.regions
            .get(*name)
            .is_some_and(|part| !part.is_in_service())
    };
    let mut out: BTreeSet<&RegionName> = next.taken_out().collect();
    out.extend(&newly);
    out.extend(grounds.away.iter().filter(is_away));

    let max_out = grounds.settings.max_out;
    if !newly.is_empty() && out.len() > usize::from(max_out) {
        let out = out.len();
        return Err(Objection::TooManyOut { out, max_out });
    }
    Ok(())
}

/// The regions that leave their service from one plan to the next. A limited one may go to the
/// ramp.
pub(crate) fn leavers<'a>(
    base: &Plan,
    next: &'a Plan,
) -> impl Iterator<Item = (&'a RegionName, &'a RegionPlan)> {
    next.regions.iter().filter(|(name, after)| {
        let before = base.regions.get(*name);
        before.is_some_and(|before| {
            let is_limited = matches!(before.traffic_state, TrafficState::Limited { .. });
            let is_leaving = after.is_out() || !after.is_in_service() && !is_limited;
            before.weight_bp > 0 && before.is_in_service() && is_leaving
        })
    })
}

/// Whether an operator has drained a region, or did since the last plan that this agent knows.
fn is_drained(name: &RegionName, next: &Plan, grounds: &Grounds<'_>) -> bool {
    let in_effect = next.override_of(Some(name));
    let mut ordered = grounds.orders.iter();

    in_effect.is_some_and(|order| order.kind == OverrideKind::Drain)
        || ordered.any(|order| {
            let is_drain = order.action == OrderAction::Set(OverrideKind::Drain);
            is_drain && order.region.as_ref() == Some(name)
        })
}
