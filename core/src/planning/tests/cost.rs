//! Traffic that is moved for money: it changes weights alone, and only while nothing else decides.

use super::*;
use crate::planning::{CostTarget, Strategy, next_plan};
use regionmesh_protocol::{
    plan::{OrderAction, OverrideKind},
    status::condition::Condition,
};

fn target(factors_bp: &[(&str, u16)]) -> CostTarget {
    let factors_bp = factors_bp
        .iter()
        .map(|(region, factor_bp)| (name(region), *factor_bp))
        .collect();

    CostTarget {
        factors_bp,
        reason: "cost: b is cheaper".into(),
    }
}

fn targets() -> impl Generator<Value = Option<CostTarget>> {
    let factors = prop::array::uniform4(prop_oneof![Just(FULL_WEIGHT_BP), any::<u16>()]);
    let target = factors.prop_map(|factors| {
        target(
            &["a", "b", "c", "d"]
                .into_iter()
                .zip(factors)
                .collect::<Vec<_>>(),
        )
    });

    prop::option::weighted(0.7, target)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn cost_factors_change_only_weights_and_only_while_nothing_else_decides(
        mut world in world(),
        events in prop::collection::vec((event(), targets(), prop::bool::weighted(0.1)), 0..40),
    ) {
        let mut twin = world.clone();
        twin.apply();
        world.apply();
        for (event, target, is_held) in &events {
            twin.happen(event);
            world.happen(event);
            world.inputs.cost = target.clone();

            let before = world.plan.clone().unwrap();
            twin.apply();
            world.apply();
            if *is_held {
                // Orders apply until they expire.
                let _ = twin.try_order(OrderAction::Set(OverrideKind::Hold), None, MINUTE);
                let _ = world.try_order(OrderAction::Set(OverrideKind::Hold), None, MINUTE);
            }

            let (plan, normal) = (world.plan.as_ref().unwrap(), twin.plan.as_ref().unwrap());
            prop_assert_eq!(
                next_plan(Some(plan), &world.inputs, world.now_ms),
                None,
                "at rest: {:?}",
                plan
            );

            prop_assert_eq!(&plan.overrides, &normal.overrides);
            let all_serve = plan
                .regions
                .values()
                .all(|part| part.traffic_state == TrafficState::Serving);
            let is_free = all_serve
                && plan.overrides.is_empty()
                && world.inputs.strategy == Strategy::Weighted;

            prop_assert!(is_free || plan.cost.factors_bp.is_empty(), "{:?}", plan);
            prop_assert!(
                plan.cost
                    .factors_bp
                    .values()
                    .all(|bp| (COST_FACTOR_MIN_BP..FULL_WEIGHT_BP).contains(bp))
            );

            let is_changed = plan.cost.factors_bp != before.cost.factors_bp;
            prop_assert!(!is_changed || plan.cost.changed_ms == world.now_ms);
            for (region, part) in &plan.regions {
                let other = &normal.regions[region];
                let same = RegionPlan {
                    weight_bp: part.weight_bp,
                    ..other.clone()
                };

                prop_assert_eq!(part, &same, "{}", region);
                // The last shares stay with their factors.
                let expected = weighted_bp(other.weight_bp, plan.cost.factor_bp(region));
                prop_assert!(
                    part.weight_bp == expected || world.keeps_last_shares(),
                    "{region}: {plan:?} for {normal:?}"
                );
            }
        }
    }
}

#[test]
fn a_failure_or_an_order_returns_traffic_immediately_and_names_the_reason() {
    let mut world = World::of(&THREE, Strategy::Weighted);
    world.inputs.cost = Some(target(&[("a", 8_000)]));
    assert_eq!(world.apply().unwrap(), "cost: b is cheaper");
    assert_eq!((world.weight("a"), world.weight("b")), (8_000, 10_000));

    let expected_text = world.explain("a").guards;

    assert!(
        expected_text
            .iter()
            .any(|line| line.contains("cut to 80 %")),
        "{expected_text:?}"
    );

    // An unknown cost target changes nothing.
    world.inputs.cost = None;
    assert_eq!(world.wait(MINUTE), None);

    let reason = world.judge("c", Condition::Failed).unwrap();
    assert_says(
        &reason,
        "traffic is no longer moved for cost: not every region serves",
    );

    assert_eq!(
        (world.weight("a"), world.weight("b"), world.weight("c")),
        (10_000, 10_000, 0)
    );

    let mut world = World::of(&THREE, Strategy::Weighted);
    world.inputs.cost = Some(target(&[("a", 8_000)]));
    world.apply();

    let reason = world
        .try_order(OrderAction::Set(OverrideKind::Hold), Some("b"), MINUTE)
        .unwrap();
    assert_says(&reason, "an operator's order is in effect");
    assert_eq!(world.weight("a"), 10_000);
    world.wait(MINUTE + SECOND);
    assert_eq!(world.weight("a"), 8_000, "the order has expired");
}
