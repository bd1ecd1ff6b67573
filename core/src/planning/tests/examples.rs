//! The rules of traffic states and weights one by one.

use super::*;
use crate::planning::Strategy;
use regionmesh_protocol::status::condition::Condition;
use std::net::IpAddr;

#[test]
fn at_a_cold_start_every_region_not_known_to_be_down_serves() {
    let mut world = World::of(&THREE, Strategy::Weighted);
    world.plan = None;
    world.region_mut("a").condition = Condition::Unknown;
    world.region_mut("b").condition = Condition::Failed;
    world.apply();
    assert_eq!(
        [world.weight("a"), world.weight("b"), world.weight("c")],
        [10_000, 0, 10_000]
    );
}

#[test]
fn at_a_cold_start_with_all_down_all_serve() {
    let mut world = World::of(&THREE, Strategy::Weighted);
    world.plan = None;
    world
        .inputs
        .regions
        .values_mut()
        .for_each(|input| input.condition = Condition::Failed);

    world.apply();
    assert_eq!(THREE.map(|region| world.weight(region)), [10_000; 3]);
}

#[test]
fn a_suspect_region_keeps_a_tenth_and_recovers_immediately() {
    let mut world = World::of(&THREE, Strategy::Weighted);
    world.judge("a", Condition::Suspect);
    assert_eq!(
        (world.weight("a"), world.traffic_state("a")),
        (1_000, TrafficState::Reduced)
    );

    world.wait(SECOND);
    world.judge("a", Condition::Healthy);
    assert_eq!(
        (
            world.weight("a"),
            world.traffic_state("a"),
            world.flaps("a")
        ),
        (10_000, TrafficState::Serving, 0)
    );
}

#[test]
fn a_failed_region_is_taken_out_immediately_with_a_reason() {
    let mut world = World::of(&THREE, Strategy::Weighted);
    world.region_mut("a").reason = "2 of 2 observing regions say failed".into();
    assert_eq!(
        world.judge("a", Condition::Failed).unwrap(),
        "a: failed: 2 of 2 observing regions say failed"
    );

    assert_eq!(
        (
            world.weight("a"),
            world.traffic_state("a"),
            world.flaps("a")
        ),
        (
            0,
            TrafficState::Out {
                since_ms: 1_000_000
            },
            1
        )
    );
}

#[test]
fn draining_is_not_a_flap_and_ends_in_a_cool_down() {
    let mut world = World::of(&THREE, Strategy::Weighted);
    world.judge("a", Condition::Draining);
    assert_eq!((world.weight("a"), world.flaps("a")), (0, 0));
    world.judge("a", Condition::Healthy);
    assert_eq!(world.traffic_state("a"), world.cooling_down_now());
}

#[test]
fn recovery_is_cool_down_then_every_step_then_the_full_share() {
    let mut world = World::of(&THREE, Strategy::Weighted);
    world.judge("a", Condition::Failed);
    world.wait(MINUTE);
    world.judge("a", Condition::Healthy);

    let mut weights = Vec::new();
    for _ in 0..25 {
        world.wait(SECOND);
        weights.push(world.weight("a"));
    }

    let expected = [[0; 9].as_slice(), &[1_000; 5], &[5_000; 5], &[10_000; 6]].concat();
    assert_eq!(weights, expected);
}

#[test]
fn a_cool_down_waits_while_models_are_missing() {
    let mut world = World::of(&THREE, Strategy::Weighted);
    world.judge("a", Condition::Failed);
    world.region_mut("a").is_complete = false;

    world.judge("a", Condition::Healthy);
    world.wait(MINUTE);
    assert!(world.is_cooling_down("a"));
    world.region_mut("a").is_complete = true;

    world.apply();
    assert_eq!(world.ramp_step("a"), Some(0));
}

#[test]
fn a_failure_on_the_ramp_takes_it_out_again_with_a_longer_cool_down() {
    let mut world = World::of(&THREE, Strategy::Weighted);
    world.judge("a", Condition::Failed);
    world.judge("a", Condition::Healthy);
    world.wait(10 * SECOND);
    assert!(world.ramp_step("a").is_some());
    world.judge("a", Condition::Failed);
    assert_eq!((world.weight("a"), world.flaps("a")), (0, 2));
    world.judge("a", Condition::Healthy);
    world.wait(19 * SECOND);
    assert!(world.is_cooling_down("a"));
    world.wait(SECOND);
    assert_eq!(world.ramp_step("a"), Some(0));
}

#[test]
fn a_suspicion_on_the_ramp_costs_one_step_however_long_it_lasts() {
    let mut world = World::of(&THREE, Strategy::Weighted);
    world.inputs.recovery.steps = [10, 20, 30, 40]
        .map(|percent| RampStep {
            percent,
            hold_ms: 5 * SECOND,
        })
        .to_vec();

    world.judge("a", Condition::Failed);
    world.judge("a", Condition::Healthy);
    world.wait(10 * SECOND);
    for _ in 0..3 {
        world.wait(5 * SECOND);
    }
    assert_eq!(world.ramp_step("a"), Some(3));

    world.wait(SECOND);
    world.judge("a", Condition::Suspect);
    for _ in 0..10 {
        world.wait(SECOND);
    }
    assert_eq!(world.ramp_step("a"), Some(2));

    world.judge("a", Condition::Healthy);
    world.wait(SECOND);
    world.judge("a", Condition::Suspect);
    assert!(world.ramp_step("a").is_some());
    assert_eq!(world.flaps("a"), 1);
}

#[test]
fn one_region_ramps_at_a_time_and_the_plan_says_so() {
    let mut world = World::of(&THREE, Strategy::Weighted);
    world.inputs.max_out = 2;
    world.judge("a", Condition::Failed);
    world.judge("b", Condition::Failed);
    world.judge("a", Condition::Healthy);
    world.judge("b", Condition::Healthy);

    let reason = world.wait(10 * SECOND).unwrap();
    assert_says(&reason, "b must wait");
    assert!(world.ramp_step("a").is_some());
    assert!(world.is_cooling_down("b"));
    world.wait(5 * SECOND);
    world.wait(5 * SECOND);
    assert_eq!(world.traffic_state("a"), TrafficState::Serving);
    assert_eq!(world.ramp_step("b"), Some(0));
}

#[test]
fn failures_are_forgotten_after_a_while() {
    let mut world = World::of(&THREE, Strategy::Weighted);
    world.judge("a", Condition::Failed);
    world.judge("a", Condition::Healthy);
    for _ in 0..600 {
        world.wait(SECOND);
    }
    assert_eq!(
        (world.flaps("a"), world.traffic_state("a")),
        (0, TrafficState::Serving)
    );
}

#[test]
fn the_last_region_keeps_its_share_and_the_first_that_returns_gets_nearly_all() {
    let mut world = World::of(&THREE, Strategy::Weighted);
    for region in THREE {
        world.judge(region, Condition::Failed);
    }
    assert_eq!(THREE.map(|region| world.weight(region)), [0, 1_000, 10_000]);

    let reason = world.judge("b", Condition::Healthy).unwrap();
    assert_says(&reason, "b: healthy again, keeps its cut share");

    assert_eq!(THREE.map(|region| world.weight(region)), [0, 1_000, 100]);
    let reason = world.judge("a", Condition::Healthy).unwrap();
    assert_says(&reason, "must stay so for 10 s");
}

#[test]
fn when_all_fail_at_once_nothing_moves() {
    let mut world = World::of(&THREE, Strategy::Weighted);
    let before = world.plan.clone().unwrap().regions;
    world
        .inputs
        .regions
        .values_mut()
        .for_each(|input| input.condition = Condition::Failed);

    world.apply();
    assert_eq!(world.plan.unwrap().regions, before);
}

#[test]
fn if_one_of_two_regions_dies_with_its_observers_the_cooling_one_takes_over() {
    let mut world = World::of(&["a", "b"], Strategy::Weighted);
    world.judge("b", Condition::Failed);
    world.judge("b", Condition::Healthy);

    // Region a is gone, and with it the only observers of b.
    world.judge("b", Condition::Unknown);
    world.judge("a", Condition::Failed);
    assert_eq!(world.weight("a"), 0);
    assert!(world.weight("b") > 0);
}

#[test]
fn a_draining_region_outranks_a_failed_one_when_no_other_is_left() {
    let mut world = World::of(&["a", "b"], Strategy::Weighted);
    world.region_mut("a").condition = Condition::Draining;
    world.judge("b", Condition::Failed);
    assert_eq!((world.weight("a"), world.weight("b")), (10_000, 0));
}

#[test]
fn active_passive_sends_all_to_the_first_healthy_region() {
    let mut world = World::of(&THREE, Strategy::ActivePassive);
    assert_eq!(THREE.map(|region| world.weight(region)), [10_000, 0, 0]);
    assert_eq!(world.traffic_state("b"), TrafficState::Serving);
    world.judge("a", Condition::Suspect);
    assert_eq!(THREE.map(|region| world.weight(region)), [1_000, 9_000, 0]);
    world.judge("a", Condition::Failed);
    assert_eq!(THREE.map(|region| world.weight(region)), [0, 10_000, 0]);
    world.judge("a", Condition::Healthy);
    world.wait(10 * SECOND);
    assert_eq!(THREE.map(|region| world.weight(region)), [1_000, 9_000, 0]);
    world.wait(5 * SECOND);
    assert_eq!(THREE.map(|region| world.weight(region)), [5_000, 5_000, 0]);
    world.wait(5 * SECOND);
    assert_eq!(THREE.map(|region| world.weight(region)), [10_000, 0, 0]);
}

#[test]
fn a_standby_of_weight_zero_serves_only_when_no_other_region_does() {
    let mut world = World::of(&["a", "b"], Strategy::Weighted);
    world.region_mut("b").weight_bp = 0;
    world.apply();
    assert_eq!((world.weight("a"), world.weight("b")), (10_000, 0));
    world.judge("a", Condition::Failed);
    assert_eq!((world.weight("a"), world.weight("b")), (0, 10_000));
}

#[test]
fn a_region_that_joins_ramps_up_and_one_that_leaves_is_dropped() {
    let mut world = World::of(&THREE, Strategy::Weighted);
    world.inputs.regions.insert(name("d"), input(4));

    let reason = world.apply().unwrap();
    assert!(
        reason.contains("d: joined the mesh") && world.weight("d") == 0,
        "{reason}"
    );

    world.inputs.regions.remove(&name("a"));
    assert_eq!(world.apply().unwrap(), "a: left the mesh");
}

#[test]
fn a_change_of_addresses_or_weights_makes_a_new_plan() {
    let mut world = World::of(&THREE, Strategy::Weighted);
    world.region_mut("a").addresses = vec![IpAddr::V4(Ipv4Addr::new(192, 0, 2, 99))];
    assert_eq!(
        world.apply().unwrap(),
        "a: 192.0.2.99 is answered, 192.0.2.1 no more"
    );

    world.region_mut("a").weight_bp = 5_000;
    assert_eq!(world.apply().unwrap(), "the configured shares changed");

    let shares = world.plan.unwrap().shares();
    assert_eq!(THREE.map(|region| shares[&name(region)]), [0.2, 0.4, 0.4]);
}

#[test]
fn a_long_reason_is_truncated() {
    let mut world = World::of(&THREE, Strategy::Weighted);
    world.region_mut("a").reason = "é".repeat(5_000);
    let reason = world.judge("a", Condition::Failed).unwrap();
    assert!(reason.len() < 1_010 && reason.ends_with('…'));
}
