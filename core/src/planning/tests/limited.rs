//! Failed regions that may not be taken out.

use super::*;
use OverrideKind::Drain;

#[test]
fn a_second_failure_keeps_a_cut_share_until_the_operator_drains_the_first() {
    let mut world = World::of(&THREE, Strategy::Weighted);
    world.judge("a", Condition::Failed);

    let reason = world.judge("b", Condition::Failed).unwrap();
    assert_says(
        &reason,
        "b: keeps 10 % of its share, since traffic.max_out is 1 and a is out already",
    );

    assert_eq!(THREE.map(|region| world.weight(region)), [0, 1_000, 10_000]);
    let words = world.explain("b");

    assert!(words.guards[0].contains("a is out already"), "{words:?}");
    // A region that an operator drains no longer counts for automation: the place is free.
    world.set(Drain, Some("a"), MINUTE).unwrap();
    assert_eq!(THREE.map(|region| world.weight(region)), [0, 0, 10_000]);
}

#[test]
fn a_standby_that_fails_takes_no_place_among_those_that_are_out() {
    let mut world = World::of(&THREE, Strategy::ActivePassive);
    world.judge("c", Condition::Failed);
    world.judge("a", Condition::Failed);
    assert_eq!(THREE.map(|region| world.weight(region)), [0, 10_000, 0]);
    assert_eq!(world.plan.as_ref().unwrap().taken_out().count(), 1);
}

#[test]
fn a_limited_region_that_recovers_keeps_its_cut_share_through_its_gate() {
    let mut world = World::of(&THREE, Strategy::Weighted);
    world.judge("a", Condition::Failed);
    world.judge("b", Condition::Failed);
    world.judge("b", Condition::Healthy);
    assert_eq!(world.weight("b"), 1_000);
    world.wait(9 * SECOND);
    assert_eq!(world.weight("b"), 1_000);
    world.wait(SECOND);
    assert_eq!(world.ramp_step("b"), Some(0));

    assert_eq!(world.weight("b"), 1_000);
}
