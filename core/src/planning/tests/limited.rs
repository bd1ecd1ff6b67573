//! Failed regions that may not be taken out.

use super::*;
use OverrideKind::Drain;

#[test]
fn a_second_failed_region_keeps_a_reduced_share_until_the_first_is_drained() {
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
fn a_failed_standby_does_not_count_as_out() {
    let mut world = World::of(&THREE, Strategy::ActivePassive);
    world.judge("c", Condition::Failed);
    world.judge("a", Condition::Failed);
    assert_eq!(THREE.map(|region| world.weight(region)), [0, 10_000, 0]);
    assert_eq!(world.plan.as_ref().unwrap().taken_out().count(), 1);
}

#[test]
fn a_limited_region_keeps_its_reduced_share_through_its_cool_down() {
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
