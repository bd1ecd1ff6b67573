//! The capacity guard: no region gets more than headroom / 1.1, and the plan says what is not
//! moved.

use super::*;
use crate::planning::{Strategy, next_plan};
use regionmesh_protocol::{plan::Shortfall, status::condition::Condition};

impl World {
    fn loads(&mut self, regions: &[(&str, u32, Option<u32>)]) {
        for (region, load_rps, capacity_rps) in regions {
            let input = self.inputs.regions.get_mut(&name(region)).unwrap();
            (input.load_rps, input.capacity_rps) = (Some(*load_rps), *capacity_rps);
        }
        self.apply();
    }

    fn share(&self, region: &str) -> f64 {
        self.plan.as_ref().unwrap().shares()[&name(region)]
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn no_region_gets_more_than_its_spare_capacity(
        is_active_passive: bool,
        loads in prop::collection::vec((0u32..2_000, prop::option::of(0u32..3_000)), 4),
        weights in prop::collection::vec(1u16..=10_000, 4),
        fails in 0usize..4,
        condition in prop_oneof![Just(Condition::Failed), Just(Condition::Suspect)],
    ) {
        let strategy = if is_active_passive {
            Strategy::ActivePassive
        } else {
            Strategy::Weighted
        };
        let mut world = World::of(&["a", "b", "c", "d"], strategy);

        for ((input, (load_rps, capacity_rps)), weight_bp) in
            world.inputs.regions.values_mut().zip(loads).zip(weights)
        {
            (input.load_rps, input.capacity_rps, input.weight_bp) =
                (Some(load_rps), capacity_rps, weight_bp);
        }

        world.apply();
        let normal = world.plan.as_ref().unwrap().shares();
        let rps: f64 = world
            .inputs
            .regions
            .values()
            .map(|input| f64::from(input.load_rps.unwrap()))
            .sum();

        world.judge(["a", "b", "c", "d"][fails], condition);
        let plan = world.plan.as_ref().unwrap();
        for (region, share) in plan.shares() {
            let Some(capacity) = world.inputs.regions[&region].capacity_rps.map(f64::from) else {
                continue;
            };
            if plan.regions[&region].traffic_state != TrafficState::Serving {
                continue;
            }

            let before = normal[&region] * rps;
            let given = share * rps - before;

            // Weights are whole basis points.
            let grain = rps * 5e-4 + 1e-9;
            prop_assert!(
                given <= (capacity - before).max(0.0) / 1.1 + grain,
                "{region}: {given} of {capacity}: {plan:?}"
            );
        }

        let failed = &plan.regions[&name(["a", "b", "c", "d"][fails])];
        prop_assert!(
            failed.weight_bp == 0 || plan.shortfall.is_some() || condition == Condition::Suspect
        );
        prop_assert_eq!(
            next_plan(Some(plan), &world.inputs, world.now_ms),
            None,
            "at rest: {:?}",
            plan
        );
    }
}

/// Two regions can take most of the load of the third.
fn crowded() -> World {
    let mut world = World::of(&THREE, Strategy::Weighted);
    world.loads(&[
        ("a", 300, None),
        ("b", 300, Some(410)),
        ("c", 300, Some(410)),
    ]);
    world
}

#[test]
fn without_declared_capacity_all_traffic_moves() {
    let mut world = World::of(&THREE, Strategy::Weighted);
    world.loads(&[("a", 300, None), ("b", 300, None), ("c", 300, None)]);
    world.judge("a", Condition::Failed);
    assert_eq!(
        (world.weight("a"), world.plan.as_ref().unwrap().shortfall),
        (0, None)
    );
}

#[test]
fn with_too_little_spare_capacity_part_of_the_traffic_stays_and_is_reported() {
    let mut world = World::of(&THREE, Strategy::Weighted);
    // 150 more each: 165 of headroom are needed.
    world.loads(&[
        ("a", 300, Some(465)),
        ("b", 300, Some(465)),
        ("c", 300, Some(465)),
    ]);

    world.judge("a", Condition::Failed);
    assert_eq!(
        (world.weight("a"), world.plan.as_ref().unwrap().shortfall),
        (0, None)
    );

    let mut world = World::of(&THREE, Strategy::Weighted);
    world.loads(&[
        ("a", 300, None),
        ("b", 300, Some(410)),
        ("c", 300, Some(1_000)),
    ]);

    let reason = world.judge("a", Condition::Failed).unwrap();
    // b can take 100 of the 150 that are its part, so that both together take 200 of 300.
    assert!(
        (world.share("b") * 900.0 - 400.0).abs() < 0.5,
        "{}",
        world.share("b")
    );

    let short = world.plan.as_ref().unwrap().shortfall;
    assert_eq!(
        short,
        Some(Shortfall {
            load_rps: 900,
            unmoved_rps: 100
        })
    );

    assert_says(
        &reason,
        "100 of the mesh's 900 requests/s stay where they are",
    );

    assert!(world.plan.as_ref().unwrap().regions[&name("a")].is_taken_out());
    assert_eq!(
        (world.weight("b"), world.weight("c")),
        (10_000, 10_000),
        "those who stay keep their weights"
    );
}

#[test]
fn an_active_standby_too_small_for_all_takes_what_it_can() {
    let mut world = World::of(&["a", "b"], Strategy::ActivePassive);
    world.loads(&[("a", 1_000, None), ("b", 0, Some(220))]);
    world.judge("a", Condition::Failed);
    assert!(
        (world.share("b") - 0.2).abs() < 0.001,
        "{}",
        world.share("b")
    );
}

#[test]
fn the_load_of_a_failed_region_is_remembered() {
    let mut world = crowded();
    world.judge("a", Condition::Failed);
    let share = world.share("a");
    assert!(share > 0.1);
    world.loads(&[("a", 0, None)]);
    assert_eq!(world.wait(4 * MINUTE), None);
    assert_eq!(world.share("a"), share);

    // If it has not come back after minutes, it is not there.
    world.wait(2 * MINUTE);
    assert!(world.share("a") < share);
}

#[test]
fn a_small_change_of_load_makes_no_new_plan() {
    let mut world = crowded();
    world.judge("a", Condition::Failed);
    for load in [310, 290, 330, 280] {
        let input = world.region_mut("b");
        input.load_rps = Some(load);
        assert_eq!(world.wait(MINUTE), None);
    }
}

#[test]
fn traffic_that_stays_for_lack_of_capacity_stays_through_cool_down_and_ramp() {
    let mut world = crowded();
    world.judge("a", Condition::Failed);
    let kept = world.weight("a");
    world.judge("a", Condition::Healthy);
    assert_eq!(
        (world.weight("a"), world.traffic_state("a")),
        (
            kept,
            TrafficState::CoolingDown {
                since_ms: world.now_ms
            }
        )
    );

    world.wait(10 * SECOND);
    assert!(
        matches!(world.traffic_state("a"), TrafficState::Ramping { .. })
            && world.weight("a") >= kept
    );
}
