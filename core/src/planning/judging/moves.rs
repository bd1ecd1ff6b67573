//! Regions that lose traffic or get it, by their traffic states.

use super::grounds::{Grounds, Objection, Sight, TOLERANCE_MS};
use crate::{
    planning::{Strategy, overrides::Orders},
    recovery::ramp::RampMove,
};
use regionmesh_protocol::{
    identity::RegionName,
    plan::{Absence, OverrideKind, Plan, RegionPlan, TrafficState},
};

/// What the traffic states of two plans say about one region.
struct Move<'a> {
    name: &'a RegionName,
    before: &'a RegionPlan,
    after: &'a RegionPlan,
    is_drained: bool,
    /// Whether the plan says that it is not kept from traffic by the drain.
    drain_yields: bool,
    /// Whether no other region that could serve is left.
    is_last_resort: bool,
    is_promoted_immediately: bool,
}

pub(super) fn check(
    base: Option<&Plan>,
    next: &Plan,
    grounds: &Grounds<'_>,
) -> Result<(), Objection> {
    let serving = RegionPlan::default();
    let joined = base.map(|base| RegionPlan {
        traffic_state: TrafficState::Out {
            since_ms: base.made_ms,
        },
        ..RegionPlan::default()
    });
    let unplanned = joined.as_ref().unwrap_or(&serving);

    for (name, after) in &next.regions {
        let before = base.and_then(|base| base.regions.get(name));
        if let Some(before) = before {
            check_addresses(name, before, after, grounds)?;
        }

        let own = Orders::of(&next.overrides, name);
        let in_effect = Orders::in_effect(&next.overrides, &next.yielded, name);
        check_move(
            &Move {
                name,
                before: before.unwrap_or(unplanned),
                after,
                is_drained: own.own(OverrideKind::Drain).is_some(),
                drain_yields: in_effect.own(OverrideKind::Drain).is_none(),
                is_last_resort: !serves_elsewhere(name, base, next, grounds),
                is_promoted_immediately: own
                    .own(OverrideKind::Promote)
                    .is_some_and(|promotion| promotion.is_immediate),
            },
            grounds,
        )?;
    }

    if let Some(base) = base {
        check_absent(base, next)?;
    }

    let is_answered = next.carrying().next().is_some();
    let was_answered = base.is_none_or(|base| base.carrying().next().is_some());
    if was_answered && !is_answered {
        return Err(Objection::Empty);
    }
    Ok(())
}

/// A region that left the plan without leaving the members.
fn check_absent(base: &Plan, next: &Plan) -> Result<(), Objection> {
    let mut absent = base.regions.iter().filter(|(name, before)| {
        before.weight_bp > 0 && !next.regions.contains_key(*name) && next.members.has(name)
    });
    match absent.next() {
        Some((name, _)) => Err(Objection::TakesTraffic(name.clone())),
        None => Ok(()),
    }
}

/// Whether another region is healthy by its verdict, not drained, and has traffic in both plans. In
/// an active-passive mesh one region serves all, so others need only be fit for it.
fn serves_elsewhere(
    name: &RegionName,
    base: Option<&Plan>,
    next: &Plan,
    grounds: &Grounds<'_>,
) -> bool {
    let is_passive = grounds.settings.strategy == Strategy::ActivePassive;
    let has_share =
        |part: &RegionPlan| percent(part, grounds) > 0 && (part.weight_bp > 0 || is_passive);
    let had_share =
        |other: &RegionName| base.is_none_or(|base| base.regions.get(other).is_some_and(has_share));

    next.regions.iter().any(|(other, part)| {
        let orders = Orders::of(&next.overrides, other);

        other != name
            && matches!(grounds.sight(other), Sight::Healthy | Sight::Doubted)
            && orders.own(OverrideKind::Drain).is_none()
            && had_share(other)
            && has_share(part)
            && !part.addresses.is_empty()
    })
}

/// What a region has of its normal weight, percent.
fn percent(part: &RegionPlan, grounds: &Grounds<'_>) -> u8 {
    let suspect = grounds.settings.suspect_percent.min(100);
    match part.traffic_state {
        TrafficState::Serving => 100,
        TrafficState::Reduced | TrafficState::Limited { .. } => suspect,
        TrafficState::Ramping { step, .. } => grounds.settings.recovery.percent_at(step),
        TrafficState::Out { .. } | TrafficState::CoolingDown { .. } => 0,
    }
}

fn check_move(moved: &Move<'_>, grounds: &Grounds<'_>) -> Result<(), Objection> {
    let before = percent(moved.before, grounds);
    let after = percent(moved.after, grounds);
    let sight = grounds.sight(moved.name);

    if after < before {
        let drains = moved.is_drained
            || (moved.after.absence == Some(Absence::Draining) && may_drain(moved.name, grounds));
        let is_doubted = matches!(sight, Sight::Doubted | Sight::Unsure | Sight::Down);
        if drains || is_doubted || is_canary_step(moved, grounds) {
            return Ok(());
        }
        return Err(Objection::TakesTraffic(moved.name.clone()));
    }

    if after == before || (moved.is_last_resort && moved.drain_yields) {
        return Ok(());
    }
    if moved.is_drained || sight == Sight::Down {
        return Err(Objection::GivesTraffic(moved.name.clone()));
    }
    if !moved.is_promoted_immediately && !is_gradual(moved.name, moved.before, moved.after, grounds)
    {
        return Err(Objection::TooFast(moved.name.clone()));
    }
    Ok(())
}

/// Whether a region says itself that it drains, or its own agent proposes the plan.
pub(super) fn may_drain(name: &RegionName, grounds: &Grounds<'_>) -> bool {
    grounds.draining.contains(name) || grounds.proposer == name
}

/// Whether a region on the ramp falls back, which canary analysis may decide. The agents' counters
/// differ too much to compute that again.
fn is_canary_step(moved: &Move<'_>, grounds: &Grounds<'_>) -> bool {
    grounds.settings.is_serving_embedded
        && matches!(moved.before.traffic_state, TrafficState::Ramping { .. })
        && matches!(
            moved.after.traffic_state,
            TrafficState::Ramping { .. } | TrafficState::CoolingDown { .. }
        )
}

/// Whether a region gets no more than its recovery can have given it in this time. The last plan
/// that this agent knows may be several steps old.
fn is_gradual(
    name: &RegionName,
    before: &RegionPlan,
    after: &RegionPlan,
    grounds: &Grounds<'_>,
) -> bool {
    let Grounds { settings, .. } = grounds;
    let recovery = &settings.recovery;
    // It has waited in vain while it was not healthy.
    let well_ms = grounds.well_ms.get(name).copied();
    let waited_ms = |since_ms: u64| {
        let well_ms = well_ms.map(|well_ms| well_ms.saturating_add(TOLERANCE_MS));
        grounds
            .at_most_ms(since_ms)
            .min(well_ms.unwrap_or(u64::MAX))
    };

    let begun = match before.traffic_state {
        TrafficState::Serving | TrafficState::Reduced => return true,
        TrafficState::Limited { since_ms, .. } => {
            let entered = recovery.enter(settings.suspect_percent.min(100));
            Some((entered, waited_ms(since_ms)))
        }
        TrafficState::Out { since_ms } | TrafficState::CoolingDown { since_ms } => {
            let left_ms = waited_ms(since_ms).checked_sub(recovery.cool_down_for(before.flaps));
            left_ms.map(|left_ms| (recovery.enter(0), left_ms))
        }
        TrafficState::Ramping { step, since_ms } => {
            let hold_ms = recovery.hold_for(step, before.hold_doublings, settings.ttl_ms);
            // As the plan says, and as this agent has seen.
            let seen = grounds.steps.get(name).filter(|(seen, _)| *seen == step);
            let held_ms = seen.map_or(u64::MAX, |(_, age)| age.most_ms());
            let left_ms = grounds.at_most_ms(since_ms).min(held_ms);
            let left_ms = left_ms.checked_sub(hold_ms);
            left_ms.map(|left_ms| (recovery.advance(step, hold_ms, hold_ms), left_ms))
        }
    };
    let Some((entered, left_ms)) = begun else {
        return false;
    };

    match (
        recovery.furthest(entered, left_ms, settings.ttl_ms),
        &after.traffic_state,
    ) {
        (RampMove::Full, _) => true,
        (RampMove::Step(most), TrafficState::Ramping { step, .. }) => *step <= most,
        _ => false,
    }
}

/// An address that works is not left out.
fn check_addresses(
    name: &RegionName,
    before: &RegionPlan,
    after: &RegionPlan,
    grounds: &Grounds<'_>,
) -> Result<(), Objection> {
    let Some(settings) = grounds.settings.regions.get(name) else {
        return Ok(());
    };

    let mut dropped = before
        .addresses
        .iter()
        .filter(|address| settings.addresses.contains(address))
        .filter(|address| !after.addresses.contains(address));
    let may_drop = grounds.settings.judges_each_address && !after.addresses.is_empty();

    if dropped.any(|address| !may_drop || !grounds.doubtful.contains(address)) {
        return Err(Objection::DropsAddress(name.clone()));
    }
    Ok(())
}
