//! What an elected thief tries in several plans, or with the times in them.

use super::*;
use crate::planning::judging::Age;

/// What an agent has against a plan if it knows more than what `world` shows.
fn objection_if(
    world: &World,
    next: &Plan,
    know: impl FnOnce(&mut Grounds<'_>),
) -> Option<Objection> {
    let judge_of = Judge::of(world);
    let mut grounds = judge_of.grounds(world);
    know(&mut grounds);
    judge(world.plan.as_ref(), next, &grounds).err()
}

/// A mesh in which b and c appear to be down.
fn doubted() -> World {
    let mut world = World::of(&["a", "b", "c", "d"], Strategy::Weighted);
    for region in ["b", "c"] {
        world.region_mut(region).condition = Condition::Failed;
    }
    world
}

fn put(plan: &mut Plan, region: &str, traffic_state: TrafficState, absence: Option<Absence>) {
    let part = plan.regions.get_mut(&name(region)).unwrap();
    part.weight_bp = match traffic_state {
        TrafficState::Ramping { .. } => FULL_WEIGHT_BP / 10,
        _ => 0,
    };
    part.traffic_state = traffic_state;
    part.absence = absence;
}

#[test]
fn a_region_that_left_by_way_of_the_ramp_counts_as_out() {
    let since_ms = 1_000_000;
    let mut world = doubted();
    let mut first = world.plan.clone().unwrap();
    put(
        &mut first,
        "b",
        TrafficState::Ramping { step: 0, since_ms },
        None,
    );
    assert_eq!(objection(&world, &first), None);

    world.plan = Some(first.clone());
    let mut second = first;
    put(
        &mut second,
        "c",
        TrafficState::Out { since_ms },
        Some(Absence::Failed),
    );
    let away = BTreeSet::from([name("b")]);
    let refused = objection_if(&world, &second, |grounds| grounds.away = away);
    let too_many = Some(Objection::TooManyOut { out: 2, max_out: 1 });
    assert_eq!(refused, too_many);

    // Nor both at once.
    world.plan = doubted().plan;
    assert_eq!(objection(&world, &second), too_many);
}

#[test]
fn a_region_that_was_taken_out_is_not_called_otherwise_later() {
    let since_ms = 1_000_000;
    let mut world = doubted();
    let mut out = world.plan.clone().unwrap();
    put(
        &mut out,
        "b",
        TrafficState::Out { since_ms },
        Some(Absence::Failed),
    );
    assert_eq!(objection(&world, &out), None);

    world.plan = Some(out.clone());
    for absence in [
        Absence::Idle,
        Absence::Joined,
        Absence::Ordered,
        Absence::Draining,
    ] {
        put(&mut out, "b", TrafficState::Out { since_ms }, Some(absence));
        let refused = Some(Objection::FalseAbsence(name("b")));
        assert_eq!(objection(&world, &out), refused, "{absence:?}");
    }
}

/// A mesh with a drain for ten minutes, five minutes ago, and what an agent measured since.
fn drained() -> (World, Order, BTreeMap<[u8; 16], Age>) {
    let mut world = World::of(&THREE, Strategy::Weighted);
    let drain = order(OrderAction::Set(OverrideKind::Drain), "b", 1);
    let current = world.plan.clone();
    let mut plan = plan_order(current.as_ref(), &drain, &world.inputs, world.now_ms).unwrap();
    plan.add_order(drain.clone());
    world.plan = Some(plan);
    world.now_ms += 5 * MINUTE;

    let age = Age {
        ms: 5 * MINUTE,
        error_ms: 2 * MINUTE,
        is_measured: true,
    };
    let ages = BTreeMap::from([(drain.proof.as_ref().unwrap().nonce, age)]);
    (world, drain, ages)
}

#[test]
fn an_order_ends_when_it_was_ordered_to_whatever_the_times_in_plans() {
    let (world, drain, ages) = drained();
    let judged =
        |plan: &Plan| objection_if(&world, plan, |grounds| grounds.order_ages = ages.clone());
    let late = |by_ms: i64| {
        let mut plan = world.plan.clone().unwrap();
        plan.made_ms = world.now_ms.saturating_add_signed(by_ms);
        plan.reason = "shifted".into();
        plan
    };
    let refused = |plan: &Plan| matches!(judged(plan), Some(Objection::OrderTime(_)));

    assert_eq!(judged(&late(0)), None);
    for by_ms in [-60_000, 60_000] {
        assert_eq!(judged(&late(by_ms)), None, "agents differ by {by_ms} ms");
    }
    for by_ms in [-4 * 60_000, 4 * 60_000] {
        assert!(refused(&late(by_ms)), "{by_ms}");
    }

    // Neither for longer nor for less than ordered.
    for expires_ms in [-SECOND.cast_signed(), SECOND.cast_signed()] {
        let mut plan = late(0);
        let existing = &mut plan.overrides[0];
        existing.expires_ms = existing.expires_ms.saturating_add_signed(expires_ms);
        assert!(refused(&plan), "{expires_ms}");
    }

    // A plan with shifted times that was committed nevertheless ends no order.
    let mut shifted = world.clone();
    let plan = shifted.plan.as_mut().unwrap();
    plan.overrides[0].set_ms -= 6 * MINUTE;
    plan.overrides[0].expires_ms -= 6 * MINUTE;
    let mut ended = plan.clone();
    ended.overrides.clear();
    let know = |grounds: &mut Grounds<'_>| grounds.order_ages = ages.clone();
    let refused = objection_if(&shifted, &ended, know);
    assert_eq!(
        refused,
        Some(Objection::EndsOrder("drain of b by ann (disks)".into()))
    );
    assert_eq!(drain.for_ms, 10 * MINUTE);
}

#[test]
fn a_new_order_is_not_planned_as_an_old_one() {
    let (world, drain, mut ages) = drained();
    let mut before = world.clone();
    before.plan = World::of(&THREE, Strategy::Weighted).plan;
    before.now_ms -= 5 * MINUTE;
    for age in ages.values_mut() {
        age.ms = 0;
        age.error_ms = 120 * MINUTE;
        age.is_measured = false;
    }
    let mut plan = world.plan.clone().unwrap();
    let judge_of = Judge::of(&before);
    let judged = |plan: &Plan| {
        let grounds = Grounds {
            orders: vec![&plan.orders[0]],
            order_ages: ages.clone(),
            ..judge_of.grounds(&before)
        };
        judge(before.plan.as_ref(), plan, &grounds).err()
    };

    assert_eq!(judged(&plan), None);
    plan.overrides[0].set_ms -= 9 * MINUTE;
    plan.overrides[0].expires_ms -= 9 * MINUTE;
    assert!(matches!(judged(&plan), Some(Objection::OrderTime(_))));
    assert_eq!(plan.orders, [drain]);
}

#[test]
fn an_order_whose_override_has_ended_does_not_count_again() {
    let (mut world, _, _) = drained();
    let drained = world.plan.clone().unwrap();
    let restore = order(OrderAction::Restore, "b", 2);
    let mut lifted = plan_order(Some(&drained), &restore, &world.inputs, world.now_ms).unwrap();
    lifted.add_order(restore);
    world.plan = Some(lifted.clone());

    let mut replayed = lifted.clone();
    replayed.overrides = drained.overrides.clone();
    let refused = objection(&world, &replayed);
    assert!(
        matches!(refused, Some(Objection::UnprovenOrder(_))),
        "{refused:?}"
    );

    // Nor is it forgotten, for agents that start later.
    let mut forgotten = lifted.clone();
    forgotten.orders.remove(0);
    let refused = Some(Objection::DropsOrder("ann".into()));
    assert_eq!(objection(&world, &forgotten), refused);
    let mut reordered = lifted;
    reordered.orders.reverse();
    assert_eq!(objection(&world, &reordered), refused);
}

#[test]
fn a_step_of_the_ramp_lasts_as_long_as_this_agent_has_seen() {
    let mut world = World::of(&THREE, Strategy::Weighted);
    let since_ms = world.now_ms - 10 * MINUTE;
    put(
        world.plan.as_mut().unwrap(),
        "b",
        TrafficState::Ramping { step: 0, since_ms },
        None,
    );
    let mut next = world.plan.clone().unwrap();
    let since_ms = world.now_ms;
    put(
        &mut next,
        "b",
        TrafficState::Ramping { step: 1, since_ms },
        None,
    );
    next.regions.get_mut(&name("b")).unwrap().weight_bp = FULL_WEIGHT_BP / 2;

    let seen = |ms| {
        let age = Age {
            ms,
            error_ms: 0,
            is_measured: true,
        };
        let steps = BTreeMap::from([(name("b"), (0, age))]);
        objection_if(&world, &next, |grounds| grounds.steps = steps)
    };
    assert_eq!(objection(&world, &next), None);
    assert_eq!(seen(4 * SECOND), Some(Objection::TooFast(name("b"))));
    assert_eq!(seen(5 * SECOND), None);
}

#[test]
fn a_failed_region_keeps_only_what_the_others_have_no_headroom_for() {
    let mut world = World::of(&["a", "b", "c", "d"], Strategy::Weighted);
    for region in ["a", "b", "c", "d"] {
        let input = world.region_mut(region);
        input.capacity_rps = Some(400);
        input.load_rps = Some(100);
    }
    world.apply();
    world.judge("b", Condition::Failed);
    let current = world.plan.clone().unwrap();
    assert_eq!(current.regions[&name("b")].weight_bp, 0);

    let judged = |next: &Plan| objection_if(&world, next, |grounds| grounds.load_rps = Some(400));
    let mut keeps = current.clone();
    keeps.regions.get_mut(&name("b")).unwrap().weight_bp = FULL_WEIGHT_BP;
    assert_eq!(judged(&keeps), Some(Objection::Weights));

    // Not even if the plan says that there is more load.
    let load = current.load.unwrap();
    let inputs = world.inputs.clone();
    let mut loaded = World {
        inputs,
        ..world.clone()
    };
    for region in ["a", "c", "d"] {
        loaded.region_mut(region).load_rps = Some(500);
    }
    loaded.apply();
    let overloaded = loaded.plan.clone().unwrap();
    assert!(overloaded.load.unwrap().rps > 2 * load.rps);
    let refused = judged(&overloaded);
    assert!(
        matches!(refused, Some(Objection::Load { .. })),
        "{refused:?}"
    );
    assert_eq!(objection(&world, &overloaded), None);
}

#[test]
fn only_what_no_operator_gave_is_refused_for_ever() {
    let mut world = World::of(&THREE, Strategy::Weighted);
    let drain = order(OrderAction::Set(OverrideKind::Drain), "b", 1);
    let current = world.plan.take();
    let mut drained = plan_order(current.as_ref(), &drain, &world.inputs, world.now_ms).unwrap();
    drained.add_order(drain.clone());
    world.plan = current;

    let judge_of = Judge::of(&world);
    let judged = |stale: Vec<&Order>| {
        let grounds = Grounds {
            stale,
            ..judge_of.grounds(&world)
        };
        judge(world.plan.as_ref(), &drained, &grounds).unwrap_err()
    };
    assert!(judged(vec![]).is_final());
    assert!(!judged(vec![&drain]).is_final());
}
