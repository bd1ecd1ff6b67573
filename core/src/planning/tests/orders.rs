//! What operators order: laws over histories, then the rules one by one.

use super::*;
use crate::planning::{Strategy, explain, next_plan, plan_order, what_if};
use OverrideKind::{Drain, Hold, Promote};
use regionmesh_protocol::{
    identity::RegionName,
    plan::{OVERRIDES_MAX, Order, OrderAction, OrderError, OverrideKind},
    status::condition::Condition,
};

/// An order as it is usually given: neither forced nor immediate.
fn order(action: OrderAction, region: Option<&str>, for_ms: u64, by: &str) -> Order {
    let region = region.map(name);
    let by = by.into();
    let why = "maintenance".into();

    Order {
        action,
        region,
        by,
        why,
        for_ms,
        is_forced: false,
        is_immediate: false,
    }
}

impl World {
    /// Ann's order, forced and immediate: what she wants is done.
    pub(super) fn try_order(
        &mut self,
        action: OrderAction,
        region: Option<&str>,
        for_ms: u64,
    ) -> Result<String, OrderError> {
        self.give_order(Order {
            is_forced: true,
            is_immediate: true,
            ..order(action, region, for_ms, "ann")
        })
    }

    fn give_order(&mut self, order: Order) -> Result<String, OrderError> {
        let plan = plan_order(self.plan.as_ref(), &order, &self.inputs, self.now_ms)?;
        self.plan = Some(plan);
        Ok(self.plan.as_ref().unwrap().reason.clone())
    }

    fn set(
        &mut self,
        kind: OverrideKind,
        region: Option<&str>,
        for_ms: u64,
    ) -> Result<String, OrderError> {
        self.try_order(OrderAction::Set(kind), region, for_ms)
    }

    fn kind_of(&self, region: Option<&str>) -> Option<OverrideKind> {
        let region = region.map(name);
        self.plan
            .as_ref()
            .unwrap()
            .override_of(region.as_ref())
            .map(|standing| standing.kind)
    }

    fn check_orders(&self, before: &Plan) -> Result<(), TestCaseError> {
        let plan = self.plan.as_ref().unwrap();
        prop_assert!(
            plan.overrides
                .iter()
                .all(|standing| !standing.is_expired(self.now_ms))
        );

        let kind_for =
            |region: &RegionName| plan.override_of(Some(region)).map(|standing| standing.kind);
        let usable = |region: &RegionName| {
            let is_usable = self
                .inputs
                .regions
                .get(region)
                .is_some_and(|input| self.is_usable(input));

            is_usable && kind_for(region) != Some(Drain)
        };

        // In service, or healthy and complete; whoever waits outside and is not known to be well is
        // let in for nobody.
        let can_serve = |region: &RegionName| {
            let input = &self.inputs.regions[region];
            let part = &plan.regions[region];
            let is_in_service = matches!(
                part.standing,
                Standing::Serving | Standing::Reduced | Standing::Ramping { .. }
            );
            let is_fit = input.condition == Condition::Healthy && input.is_complete;

            usable(region) && (is_in_service || is_fit)
        };

        let can_anybody_serve = self.inputs.regions.keys().any(can_serve);
        for standing in &plan.overrides {
            match (&standing.region, standing.kind) {
                (Some(region), Drain) if can_anybody_serve => {
                    prop_assert_eq!(
                        plan.regions[region].weight_bp,
                        0,
                        "{} is drained: {:?}",
                        region,
                        plan
                    );
                }
                (Some(region), Promote) if usable(region) => {
                    prop_assert!(
                        (plan.shares()[region] - 1.0).abs() < 1e-9,
                        "{region} is promoted: {plan:?}"
                    );
                }
                (None, Hold)
                    if !self.is_reconfigured
                        && plan.yielded.is_empty()
                        && before.yielded.is_empty() =>
                {
                    let changed = plan.regions.iter().filter(|(region, part)| {
                        let last = before.regions.get(*region);
                        let is_ordered =
                            plan.override_of(Some(region)).is_some() || plan.overrides.len() > 1;
                        !is_ordered && last.is_some_and(|last| last.standing != part.standing)
                    });
                    let was_held =
                        before.override_of(None).is_some() && before.overrides == plan.overrides;

                    prop_assert!(
                        !was_held || changed.count() == 0,
                        "held, and moved: {before:?} then {plan:?}"
                    );
                }
                _ => {}
            }
        }

        Ok(())
    }
}

pub(super) fn ordered() -> impl Generator<Value = (OrderAction, Option<&'static str>, u64)> {
    let region = prop_oneof![Just("a"), Just("b"), Just("c"), Just("d")];
    let action = prop_oneof![
        3 => Just(OrderAction::Set(Drain)),
        2 => Just(OrderAction::Set(Hold)),
        2 => Just(OrderAction::Set(Promote)),
        2 => Just(OrderAction::Restore),
    ];

    (
        action,
        prop::option::weighted(0.8, region),
        1_000u64..200_000,
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn orders_are_obeyed_until_they_expire_and_the_answer_is_never_empty(
        mut world in world(),
        events in prop::collection::vec((event(), prop::option::weighted(0.4, ordered())), 0..40),
    ) {
        world.apply();
        for (event, ordered) in &events {
            world.happen(event);
            let before = world.plan.clone().unwrap();
            world.apply();
            if let Some((action, region, for_ms)) = ordered {
                let _ = world.try_order(action.clone(), *region, *for_ms);
                world.is_reconfigured = true;
            }

            let plan = world.plan.clone().unwrap();
            let has_address = world
                .inputs
                .regions
                .values()
                .any(|input| !input.addresses.is_empty());

            prop_assert_eq!(
                plan.total_weight_bp() > 0,
                has_address,
                "never empty: {:?}",
                &plan
            );

            prop_assert!(plan.overrides.len() <= OVERRIDES_MAX);
            world.check_orders(&before)?;
            prop_assert_eq!(
                next_plan(Some(&plan), &world.inputs, world.now_ms),
                None,
                "at rest: {:?}",
                &plan
            );

            for region in world.inputs.regions.keys() {
                prop_assert!(explain(&plan, &world.inputs, region, world.now_ms).is_some());
            }
        }

        // After the longest order nothing stands.
        world.now_ms += 200_000;
        world.apply();
        prop_assert_eq!(&world.plan.unwrap().overrides, &Vec::new());
    }

    #[test]
    fn what_if_is_what_would_be_and_changes_nothing(
        world in world(),
        region in 0usize..4,
        condition in condition(),
    ) {
        let mut world = world;
        world.apply();

        let plan = world.plan.clone();
        let inputs = world.inputs.clone();
        let now_ms = world.now_ms;
        let region = name(["a", "b", "c", "d"][region]);
        let foretold = what_if(
            plan.as_ref(),
            &inputs,
            &[(region.clone(), condition)].into(),
            now_ms,
        );

        prop_assert_eq!((&world.plan, &world.inputs), (&plan, &inputs));
        let input = world.inputs.regions.get_mut(&region).unwrap();
        (input.condition, input.since_ms, input.reason) = (condition, now_ms, "as assumed".into());
        prop_assert_eq!(foretold, next_plan(plan.as_ref(), &world.inputs, now_ms));
    }
}

#[test]
fn a_drain_takes_all_at_once_names_who_and_why_and_ends_in_the_gate() {
    let mut world = World::of(&THREE, Strategy::Weighted);
    let reason = world.set(Drain, Some("a"), MINUTE).unwrap();
    assert_eq!(
        reason,
        "ordered: drain of a by ann (maintenance); a: drained by ann (maintenance)"
    );

    assert_eq!((world.weight("a"), world.flaps("a")), (0, 0));
    world.wait(MINUTE - 1);
    assert_eq!(world.weight("a"), 0);

    let reason = world.wait(1).unwrap();
    assert!(
        reason.starts_with("expired: drain of a by ann (maintenance); a: healthy again"),
        "{reason}"
    );

    assert!(matches!(world.standing("a"), Standing::Gated { .. }));
    world.wait(10 * SECOND);
    assert_eq!(
        world.standing("a"),
        Standing::Ramping {
            step: 0,
            since_ms: world.now_ms
        }
    );
}

#[test]
fn a_drain_survives_a_new_leader_that_knows_nothing_but_the_plan() {
    let mut world = World::of(&THREE, Strategy::Weighted);
    world.set(Drain, Some("a"), MINUTE).unwrap();

    let bytes = regionmesh_protocol::codec::encode(world.plan.as_ref().unwrap()).unwrap();
    world.plan = Some(regionmesh_protocol::codec::decode(&bytes).unwrap());
    world.judge("b", Condition::Failed);
    assert_eq!(THREE.map(|region| world.weight(region)), [0, 0, 10_000]);
}

#[test]
fn a_hold_freezes_suspicions_gates_and_ramps_until_it_ends() {
    let mut world = World::of(&THREE, Strategy::Weighted);
    world.judge("b", Condition::Failed);
    world.judge("b", Condition::Healthy);
    world.set(Hold, None, 5 * MINUTE).unwrap();
    assert_eq!(world.judge("a", Condition::Suspect), None);
    assert_eq!(world.wait(4 * MINUTE), None);
    assert_eq!(
        THREE.map(|region| world.weight(region)),
        [10_000, 0, 10_000]
    );

    // A drain outranks the hold: that is automation's.
    world.set(Drain, Some("c"), MINUTE).unwrap();
    assert_eq!(THREE.map(|region| world.weight(region)), [10_000, 0, 0]);

    let reason = world.wait(MINUTE).unwrap();
    assert!(
        reason.contains("expired: hold of the whole mesh") && reason.contains("a: suspect"),
        "{reason}"
    );
}

#[test]
fn a_held_region_alone_is_frozen() {
    let mut world = World::of(&THREE, Strategy::Weighted);
    world.set(Hold, Some("a"), MINUTE).unwrap();
    assert_eq!(world.judge("a", Condition::Suspect), None);
    world.judge("b", Condition::Suspect);
    assert_eq!(
        THREE.map(|region| world.weight(region)),
        [10_000, 1_000, 10_000]
    );
}

#[test]
fn a_promotion_gives_all_at_once_whatever_the_strategy_and_yields_to_a_failure() {
    for strategy in [
        Strategy::Weighted,
        Strategy::ActivePassive,
        Strategy::Latency,
    ] {
        let mut world = World::of(&THREE, strategy);
        world.judge("b", Condition::Failed);
        world.judge("b", Condition::Healthy);

        let reason = world.set(Promote, Some("b"), MINUTE).unwrap();
        assert!(
            reason.contains("b: promoted by ann, without cool-down or ramp"),
            "{reason}"
        );

        assert_eq!(THREE.map(|region| world.weight(region)), [0, 10_000, 0]);
        assert_eq!(world.judge("b", Condition::Suspect), None);
        world.judge("b", Condition::Failed);
        assert_eq!(world.weight("b"), 0, "{strategy:?}");
        assert!(world.weight("a") > 0);
        world.judge("b", Condition::Healthy);
        assert_eq!(THREE.map(|region| world.weight(region)), [0, 10_000, 0]);
        world.wait(MINUTE);
        assert!(world.weight("a") > 0);
    }
}

#[test]
fn an_order_replaces_the_one_for_the_same_region_and_a_promotion_any_other_promotion() {
    let mut world = World::of(&THREE, Strategy::Weighted);
    world.set(Drain, Some("a"), MINUTE).unwrap();
    world.set(Promote, Some("a"), MINUTE).unwrap();
    world.set(Promote, Some("b"), MINUTE).unwrap();
    world.set(Hold, None, MINUTE).unwrap();
    assert_eq!(
        [None, Some("a"), Some("b")].map(|of| world.kind_of(of)),
        [Some(Hold), None, Some(Promote)]
    );

    world.try_order(OrderAction::Restore, Some("b"), 0).unwrap();
    assert_eq!(world.kind_of(Some("b")), None);
    assert_eq!(world.weight("c"), 10_000);
    world.try_order(OrderAction::Restore, None, 0).unwrap();
    assert!(world.plan.as_ref().unwrap().overrides.is_empty());
}

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
        Err(OrderError::NothingStands(Some(name("a"))))
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
    assert!(
        reason.contains("a is drained in name only and keeps its traffic"),
        "{reason}"
    );

    assert!(
        reason.contains("drain of a by ann (maintenance) yields: no other region can serve"),
        "{reason}"
    );

    assert_eq!((world.weight("a"), world.weight("b")), (10_000, 0));
    world.judge("b", Condition::Healthy);
    assert_eq!(
        world.weight("a"),
        0,
        "as soon as somebody else is there the drain is carried out"
    );
}

#[test]
fn a_second_failure_keeps_a_cut_share_until_the_operator_drains_the_first() {
    let mut world = World::of(&THREE, Strategy::Weighted);
    world.judge("a", Condition::Failed);

    let reason = world.judge("b", Condition::Failed).unwrap();
    assert!(
        reason.contains(
            "b: keeps 10 % of its share, since traffic.max_out is 1 and a is out already"
        ),
        "{reason}"
    );

    assert_eq!(THREE.map(|region| world.weight(region)), [0, 1_000, 10_000]);
    let words = explain(
        world.plan.as_ref().unwrap(),
        &world.inputs,
        &name("b"),
        world.now_ms,
    )
    .unwrap();

    assert!(words.guards[0].contains("a is out already"), "{words:?}");
    // What an operator drains is not automation's any more: the place is free.
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
    assert!(matches!(
        world.standing("b"),
        Standing::Ramping { step: 0, .. }
    ));

    assert_eq!(world.weight("b"), 1_000);
}

#[test]
fn nobody_ends_anothers_order_unless_it_is_forced_and_then_it_is_said() {
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

        let said = format!(
            "this {kind} would replace the drain of a by ann (maintenance), 1 h 30 min left"
        );
        assert_eq!((refused.to_string(), &world.plan), (said, &before));

        let reason = world
            .give_order(Order {
                is_forced: true,
                ..bobs
            })
            .unwrap();

        assert!(
            reason.contains("which replaces the drain of a by ann (maintenance), 1 h 30 min left"),
            "{reason}"
        );
    }

    // One's own may be replaced, and that is said, too.
    let mut world = World::of(&THREE, Strategy::Weighted);
    world
        .give_order(order(OrderAction::Set(Drain), Some("a"), MINUTE, "ann"))
        .unwrap();

    let reason = world
        .give_order(order(OrderAction::Set(Hold), Some("a"), MINUTE, "ann"))
        .unwrap();
    assert!(
        reason.contains("which replaces the drain of a by ann (maintenance), 1 min left"),
        "{reason}"
    );

    // Another region's promotion ends with a new one, so that counts.
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
    assert!(
        reason.contains("b: restored by bob (maintenance), which ends the promote of b by ann"),
        "{reason}"
    );
}

#[test]
fn a_promotion_of_a_region_that_is_out_goes_by_cool_down_and_ramp_and_lifts_all_traffic_gently() {
    for strategy in [
        Strategy::Weighted,
        Strategy::ActivePassive,
        Strategy::Latency,
    ] {
        let mut world = World::of(&THREE, strategy);
        world.judge("b", Condition::Failed);
        world.judge("b", Condition::Healthy);

        let reason = world
            .give_order(order(
                OrderAction::Set(Promote),
                Some("b"),
                10 * MINUTE,
                "ann",
            ))
            .unwrap();

        assert!(
            reason.contains("b comes back by cool-down and ramp first"),
            "{reason}"
        );

        assert_eq!(world.weight("b"), 0);
        let share =
            |world: &World| (world.plan.as_ref().unwrap().shares()[&name("b")] * 100.0).round();
        world.wait(10 * SECOND);
        assert_eq!(share(&world), 10.0, "{strategy:?}");
        world.wait(5 * SECOND);
        assert_eq!(share(&world), 50.0, "{strategy:?}");
        world.wait(5 * SECOND);
        assert_eq!(share(&world), 100.0, "{strategy:?}");
    }

    // One that serves is promoted at once, as ever.
    let mut world = World::of(&THREE, Strategy::ActivePassive);
    world
        .give_order(order(OrderAction::Set(Promote), Some("c"), MINUTE, "ann"))
        .unwrap();
    assert_eq!(THREE.map(|region| world.weight(region)), [0, 0, 10_000]);
}

#[test]
fn a_region_restored_under_a_hold_is_said_to_stay_at_nothing() {
    let mut world = World::of(&THREE, Strategy::Weighted);
    world.set(Drain, Some("a"), 60 * MINUTE).unwrap();
    world
        .give_order(order(OrderAction::Set(Hold), None, 20 * MINUTE, "bob"))
        .unwrap();

    let reason = world
        .give_order(order(OrderAction::Restore, Some("a"), 0, "ann"))
        .unwrap();
    let said =
        "a stays at 0 % while the hold of the whole mesh by bob (maintenance) stands, 20 min left";

    assert!(reason.ends_with(said), "{reason}");
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

#[test]
fn time_left_is_told_in_two_units() {
    let told = [
        900,
        45_000,
        60_000,
        90_000,
        7_200_000,
        5_400_000,
        86_400_000 * 3,
        86_400_000 + 7_200_000,
    ]
    .map(regionmesh_protocol::plan::duration_in_words);

    assert_eq!(
        told,
        [
            "1 s",
            "45 s",
            "1 min",
            "1 min 30 s",
            "2 h",
            "1 h 30 min",
            "3 d",
            "1 d 2 h"
        ]
    );
}
