//! Orders yield to survival: no order keeps users on a failed region while another is healthy.

use super::*;
use crate::planning::{Strategy, next_plan};
use OverrideKind::{Drain, Hold, Promote};
use regionmesh_protocol::{
    plan::{OrderAction, OverrideKind, Shortfall},
    status::condition::Condition,
};

impl World {
    fn yields(&self, order: Option<&str>, region: &str) -> bool {
        let order = order.map(name);
        let region = name(region);
        let plan = self.plan.as_ref().unwrap();

        plan.yielded
            .iter()
            .any(|yielded| yielded.order == order && yielded.region == region)
    }

    /// While any region is healthy no failed one has a share, beyond what the guards are known to
    /// keep there, whatever operators order; and every order that yields is in effect otherwise.
    pub(super) fn check_survival(&self) -> Result<(), TestCaseError> {
        let plan = self.plan.as_ref().unwrap();
        let reachable = || {
            self.inputs
                .regions
                .values()
                .filter(|input| !input.addresses.is_empty())
        };
        let is_any_healthy = reachable().any(|input| input.condition == Condition::Healthy);
        let most_limited = FULL_WEIGHT_BP.div_ceil(100) * u16::from(self.inputs.suspect_percent);

        for (region, part) in &plan.regions {
            if self.inputs.regions[region].condition != Condition::Failed
                || !is_any_healthy
                || part.weight_bp == 0
            {
                continue;
            }

            let is_limited = matches!(part.traffic_state, TrafficState::Limited { .. })
                && part.weight_bp <= most_limited;
            prop_assert!(
                is_limited || plan.shortfall.is_some(),
                "{region} failed and another is healthy: {plan:?}"
            );
        }

        for yielded in &plan.yielded {
            prop_assert!(
                plan.override_of(yielded.order.as_ref()).is_some(),
                "no such order: {plan:?}"
            );
            prop_assert!(yielded.since_ms <= self.now_ms);
        }

        let is_all_failed = reachable().all(|input| input.condition == Condition::Failed);
        prop_assert_eq!(
            plan.all_failed_ms.is_some(),
            is_all_failed && reachable().next().is_some()
        );

        Ok(())
    }

    fn drain_all_but(&mut self, region: &str) {
        for other in THREE.into_iter().filter(|other| *other != region) {
            self.give(OrderAction::Set(Drain), Some(other), 60 * MINUTE);
        }
    }

    fn give(&mut self, action: OrderAction, region: Option<&str>, for_ms: u64) -> String {
        self.try_order(action, region, for_ms).unwrap()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn no_order_keeps_users_on_a_failed_region_while_another_is_healthy(
        mut world in world(),
        events in prop::collection::vec(
            (event(), prop::option::weighted(0.5, orders::ordered())),
            0..40,
        ),
    ) {
        world.apply();
        for (event, order) in &events {
            world.happen(event);
            world.apply();
            if let Some((action, region, for_ms)) = order {
                let _ = world.try_order(action.clone(), *region, *for_ms);
            }
            world.check_survival()?;

            let plan = world.plan.as_ref().unwrap();
            prop_assert_eq!(
                next_plan(Some(plan), &world.inputs, world.now_ms),
                None,
                "at rest: {:?}",
                plan
            );
        }
    }
}

#[test]
fn a_drain_yields_when_the_last_other_region_fails_and_takes_effect_again_when_one_can_serve() {
    for strategy in [
        Strategy::Weighted,
        Strategy::ActivePassive,
        Strategy::Latency,
    ] {
        let mut world = World::of(&THREE, strategy);
        world.drain_all_but("a");
        assert_eq!(THREE.map(|region| world.weight(region)), [10_000, 0, 0]);

        let reason = world.judge("a", Condition::Failed).unwrap();
        assert_says(
            &reason,
            "drain of b by ann (maintenance) yields: no other region can serve",
        );

        assert_eq!(world.weight("a"), 0, "{strategy:?}");
        assert!(world.weight("b") > 0);

        // An active-passive mesh needs one of them, the first.
        let is_one_enough = strategy == Strategy::ActivePassive;
        assert!(world.yields(Some("b"), "b") && world.yields(Some("c"), "c") != is_one_enough);
        assert_eq!(world.weight("c") == 0, is_one_enough);

        let words = world.explain("b");

        assert!(words.overrides[0].contains("it yields"), "{words:?}");

        let reason = world.judge("a", Condition::Healthy).unwrap();
        assert_says(
            &reason,
            "drain of b by ann (maintenance) takes effect again",
        );

        assert!(
            world.weight("a") > 0 && world.weight("b") == 0 && world.weight("c") == 0,
            "{strategy:?}"
        );

        assert!(world.plan.as_ref().unwrap().yielded.is_empty());
    }
}

#[test]
fn the_last_region_that_serves_keeps_all_traffic_when_it_is_drained_too() {
    for strategy in [
        Strategy::Weighted,
        Strategy::ActivePassive,
        Strategy::Latency,
    ] {
        let mut world = World::of(&THREE, strategy);
        world.drain_all_but("b");
        world.give(OrderAction::Set(Drain), Some("b"), 60 * MINUTE);
        for _ in 0..10 {
            assert_eq!(
                THREE.map(|region| world.weight(region)),
                [0, 10_000, 0],
                "{strategy:?}"
            );

            assert_eq!(
                THREE.map(|region| world.yields(Some(region), region)),
                [false, true, false]
            );

            world.wait(10 * SECOND);
        }

        // When it fails the others must serve; it does not displace them when it is healthy again.
        world.judge("b", Condition::Failed);
        assert!(
            world.weight("b") == 0 && world.weight("a") > 0,
            "{strategy:?}"
        );

        world.judge("b", Condition::Healthy);
        world.wait(MINUTE);
        assert!(
            world.weight("b") == 0 && !world.yields(Some("b"), "b"),
            "{strategy:?}"
        );
    }
}

#[test]
fn of_drained_regions_without_traffic_the_complete_ones_yield() {
    let mut world = World::of(&THREE, Strategy::Weighted);
    world.drain_all_but("a");
    world.region_mut("b").is_loaded = false;
    world.judge("a", Condition::Failed);
    assert_eq!(
        THREE.map(|region| world.weight(region) > 0),
        [false, false, true]
    );

    assert_eq!(
        THREE.map(|region| world.yields(Some(region), region)),
        [false, false, true]
    );

    assert_eq!(
        next_plan(world.plan.as_ref(), &world.inputs, world.now_ms),
        None
    );
}

#[test]
fn a_drain_keeps_yielding_while_the_returning_region_lacks_its_models() {
    let mut world = World::of(&["a", "b"], Strategy::Weighted);
    world.give(OrderAction::Set(Drain), Some("b"), 60 * MINUTE);
    world.judge("a", Condition::Failed);
    world.region_mut("a").is_loaded = false;
    world.judge("a", Condition::Healthy);
    assert!(world.weight("b") > 0 && world.weight("a") == 0);
    world.region_mut("a").is_loaded = true;
    world.apply();
    assert!(world.weight("a") > 0 && world.weight("b") == 0);
}

#[test]
fn a_drained_region_without_a_verdict_serves_rather_than_a_failed_one() {
    let mut world = World::of(&["a", "b"], Strategy::Weighted);
    world.give(OrderAction::Set(Drain), Some("b"), 60 * MINUTE);

    // Region a is gone, and with it the only observers of b.
    world.judge("b", Condition::Unknown);
    world.judge("a", Condition::Failed);
    assert!(world.weight("b") > 0 && world.weight("a") == 0 && world.yields(Some("b"), "b"));
}

#[test]
fn a_hold_yields_only_for_the_failed_region() {
    for of in [None, Some("a")] {
        let mut world = World::of(&THREE, Strategy::Weighted);
        world.give(OrderAction::Set(Hold), of, 60 * MINUTE);
        assert_eq!(world.judge("b", Condition::Suspect).is_none(), of.is_none());
        world.judge("b", Condition::Healthy);

        let reason = world.judge("a", Condition::Failed).unwrap();
        assert_says(
            &reason,
            "yields for a, which failed while another is healthy",
        );

        assert_eq!(
            THREE.map(|region| world.weight(region)),
            [0, 10_000, 10_000]
        );

        assert!(world.yields(of, "a") && !world.yields(of, "b"));
        // Back in effect: nothing is let in before the hold ends.
        let reason = world.judge("a", Condition::Healthy).unwrap();
        assert_says(&reason, "takes effect again");
        world.wait(10 * MINUTE);
        assert_eq!(
            (
                world.weight("a"),
                world.plan.as_ref().unwrap().yielded.len()
            ),
            (0, 0)
        );
    }
}

#[test]
fn a_hold_does_not_yield_while_no_region_is_healthy() {
    let mut world = World::of(&["a", "b"], Strategy::Weighted);
    world.give(OrderAction::Set(Hold), None, 60 * MINUTE);
    world.judge("b", Condition::Suspect);
    world.judge("a", Condition::Failed);
    assert_eq!((world.weight("a"), world.weight("b")), (10_000, 10_000));
}

#[test]
fn a_held_region_without_traffic_is_admitted_when_no_other_is_left() {
    let mut world = World::of(&["a", "b"], Strategy::Weighted);
    world.judge("b", Condition::Failed);
    world.judge("b", Condition::Healthy);
    world.give(OrderAction::Set(Hold), None, 60 * MINUTE);
    world.judge("a", Condition::Failed);
    assert!(world.weight("a") == 0 && world.weight("b") > 0);
}

#[test]
fn promoting_a_failed_region_reports_that_the_promotion_yields() {
    let mut world = World::of(&THREE, Strategy::Weighted);
    world.give(OrderAction::Set(Promote), Some("b"), 60 * MINUTE);

    let reason = world.judge("b", Condition::Failed).unwrap();
    assert_says(
        &reason,
        "promote of b by ann (maintenance) yields: b can't serve",
    );

    assert!(world.yields(Some("b"), "b") && world.weight("b") == 0);
    world.judge("b", Condition::Healthy);
    assert!(!world.yields(Some("b"), "b"));
    assert_eq!(THREE.map(|region| world.weight(region)), [0, 10_000, 0]);
}

#[test]
fn a_plan_records_since_when_every_region_has_failed() {
    let mut world = World::of(&THREE, Strategy::Weighted);
    let before = world.plan.clone().unwrap().shares();
    world
        .inputs
        .regions
        .values_mut()
        .for_each(|input| input.condition = Condition::Failed);

    let reason = world.apply().unwrap();
    assert_eq!(
        reason,
        "a: failed; b: failed; c: failed; every region appears to be down, the last shares stay"
    );

    let since_ms = world.now_ms;
    assert_eq!(world.wait(MINUTE), None);

    let plan = world.plan.clone().unwrap();
    assert_eq!(
        (plan.all_failed_ms, plan.shares()),
        (Some(since_ms), before)
    );

    world.judge("b", Condition::Healthy);
    assert_eq!(world.plan.as_ref().unwrap().all_failed_ms, None);
}

#[test]
fn an_active_passive_mesh_whose_regions_all_failed_keeps_answering_one() {
    let mut world = World::of(&THREE, Strategy::ActivePassive);
    for region in THREE {
        world.judge(region, Condition::Failed);
        world.wait(SECOND);
    }

    assert_eq!(THREE.map(|region| world.weight(region)), [0, 0, 9_000]);
    world.judge("b", Condition::Healthy);
    assert!(
        world.weight("b") > 9 * world.weight("c"),
        "{:?}",
        world.plan
    );
}

#[test]
fn traffic_left_on_a_failed_region_is_a_shortfall_even_under_a_hold() {
    let mut world = World::of(&["a", "b"], Strategy::Weighted);
    for region in ["a", "b"] {
        let input = world.region_mut(region);
        (input.load_rps, input.capacity_rps) = (Some(100), Some(110));
    }

    world.apply();
    world.give(OrderAction::Set(Hold), None, 60 * MINUTE);
    world.judge("a", Condition::Failed);

    let plan = world.plan.as_ref().unwrap();
    assert!(
        matches!(plan.shortfall, Some(Shortfall { load_rps: 200, .. })),
        "{plan:?}"
    );

    assert!(world.weight("a") > 0 && world.yields(None, "a"));
}
