//! Refused orders, and the reasons that plans give for the others.

use super::{orders::order, *};
use crate::planning::plan_order;
use OverrideKind::{Drain, Hold, Promote};

#[test]
fn a_wrong_order_is_refused_with_its_reason() {
    let mut world = World::of(&THREE, Strategy::Weighted);
    assert_eq!(
        world.set(Drain, Some("x"), MINUTE),
        Err(OrderError::UnknownRegion(name("x")))
    );

    assert_eq!(
        world.set(Drain, None, MINUTE),
        Err(OrderError::NoRegion(Drain))
    );

    assert_eq!(
        world.set(Drain, Some("a"), 999),
        Err(OrderError::Duration(999))
    );

    assert_eq!(
        world.set(Hold, Some("a"), u64::MAX),
        Err(OrderError::Duration(u64::MAX))
    );

    assert_eq!(
        world.try_order(OrderAction::Restore, Some("a"), 0),
        Err(OrderError::NothingInEffect(Some(name("a"))))
    );

    world.judge("a", Condition::Failed);
    assert!(matches!(
        world.set(Promote, Some("a"), MINUTE),
        Err(OrderError::Unfit { .. })
    ));

    let long = order(OrderAction::Set(Drain), Some("a"), MINUTE, &"x".repeat(129));
    let refused = plan_order(world.plan.as_ref(), &long, &world.inputs, world.now_ms);
    assert_eq!(
        refused,
        Err(OrderError::Text {
            what: "by".into(),
            length: 129,
            limit: 128
        })
    );

    world.plan = None;
    assert_eq!(world.set(Drain, Some("a"), MINUTE), Err(OrderError::NoPlan));
}

#[test]
fn the_last_region_is_drained_in_name_only() {
    let mut world = World::of(&["a", "b"], Strategy::Weighted);
    world.judge("b", Condition::Failed);

    let refused = world
        .give_order(order(OrderAction::Set(Drain), Some("a"), MINUTE, "ann"))
        .unwrap_err();
    assert_eq!(
        refused,
        OrderError::LastServing {
            region: name("a"),
            carrier: name("a")
        }
    );

    assert!(
        refused
            .to_string()
            .contains("drained in name only and keep its traffic"),
        "{refused}"
    );

    let reason = world.set(Drain, Some("a"), MINUTE).unwrap();
    assert_says(&reason, "a is drained in name only and keeps its traffic");

    assert_says(
        &reason,
        "drain of a by ann (maintenance) yields: no other region can serve",
    );

    assert_eq!((world.weight("a"), world.weight("b")), (10_000, 0));
    world.judge("b", Condition::Healthy);
    assert_eq!(
        world.weight("a"),
        0,
        "the drain takes effect as soon as another region can serve"
    );
}

#[test]
fn only_a_forced_order_ends_another_operators_and_the_reason_says_so() {
    for kind in [Drain, Hold, Promote] {
        let mut world = World::of(&THREE, Strategy::Weighted);
        world
            .give_order(order(
                OrderAction::Set(Drain),
                Some("a"),
                120 * MINUTE,
                "ann",
            ))
            .unwrap();

        world.wait(30 * MINUTE);
        let before = world.plan.clone();
        let bobs = order(OrderAction::Set(kind), Some("a"), 2 * SECOND, "bob");
        let refused = world.give_order(bobs.clone()).unwrap_err();

        assert!(
            matches!(&refused, OrderError::WouldReplace { replaced, .. } if replaced.len() == 1),
            "{refused:?}"
        );

        let expected_text = format!(
            "this {kind} would replace the drain of a by ann (maintenance), 1 h 30 min left"
        );
        assert_eq!((refused.to_string(), &world.plan), (expected_text, &before));

        let reason = world
            .give_order(Order {
                is_forced: true,
                ..bobs
            })
            .unwrap();

        assert_says(
            &reason,
            "which replaces the drain of a by ann (maintenance), 1 h 30 min left",
        );
    }
}

#[test]
fn operators_replace_their_own_orders_and_the_reason_says_so() {
    let mut world = World::of(&THREE, Strategy::Weighted);
    world
        .give_order(order(OrderAction::Set(Drain), Some("a"), MINUTE, "ann"))
        .unwrap();

    let reason = world
        .give_order(order(OrderAction::Set(Hold), Some("a"), MINUTE, "ann"))
        .unwrap();
    assert_says(
        &reason,
        "which replaces the drain of a by ann (maintenance), 1 min left",
    );

    // A promotion ends any other region's promotion, so another operator's counts.
    world
        .give_order(order(OrderAction::Set(Promote), Some("b"), MINUTE, "ann"))
        .unwrap();

    let refused = world
        .give_order(order(OrderAction::Set(Promote), Some("c"), MINUTE, "bob"))
        .unwrap_err();
    assert!(
        refused.to_string().contains("the promote of b by ann"),
        "{refused}"
    );

    let reason = world
        .give_order(order(OrderAction::Restore, Some("b"), 0, "bob"))
        .unwrap();
    assert_says(
        &reason,
        "b: restored by bob (maintenance), which ends the promote of b by ann",
    );
}

#[test]
fn restoring_a_region_under_a_hold_reports_that_it_stays_at_zero() {
    let mut world = World::of(&THREE, Strategy::Weighted);
    world.set(Drain, Some("a"), 60 * MINUTE).unwrap();
    world
        .give_order(order(OrderAction::Set(Hold), None, 20 * MINUTE, "bob"))
        .unwrap();

    let reason = world
        .give_order(order(OrderAction::Restore, Some("a"), 0, "ann"))
        .unwrap();
    let expected_text = "a stays at 0 % while the hold of the whole mesh by bob (maintenance) is \
        in effect, 20 min left";

    assert!(reason.ends_with(expected_text), "{reason}");
    assert_eq!(world.weight("a"), 0);
}

#[test]
fn the_last_of_several_drains_is_refused_and_the_first_ones_are_not() {
    let mut world = World::of(&THREE, Strategy::ActivePassive);
    let mut drain =
        |region| world.give_order(order(OrderAction::Set(Drain), Some(region), MINUTE, "ann"));

    drain("b").unwrap();
    drain("c").unwrap();

    let refused = drain("a").unwrap_err();
    assert!(
        matches!(&refused, OrderError::LastServing { region, .. } if *region == name("a")),
        "{refused:?}"
    );
}
