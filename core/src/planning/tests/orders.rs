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
pub(super) fn order(action: OrderAction, region: Option<&str>, for_ms: u64, by: &str) -> Order {
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
        proof: None,
    }
}

impl World {
    /// Ann's order, forced and immediate.
    pub(super) fn try_order(
        &mut self,
        action: OrderAction,
        region: Option<&str>,
        for_ms: u64,
    ) -> Result<String, OrderError> {
        self.give_order(Order {
            is_forced: true,
            is_immediate: true,
            proof: None,
            ..order(action, region, for_ms, "ann")
        })
    }

    pub(super) fn give_order(&mut self, order: Order) -> Result<String, OrderError> {
        let plan = plan_order(self.plan.as_ref(), &order, &self.inputs, self.now_ms)?;
        self.plan = Some(plan);
        Ok(self.plan.as_ref().unwrap().reason.clone())
    }

    pub(super) fn set(
        &mut self,
        kind: OverrideKind,
        region: Option<&str>,
        for_ms: u64,
    ) -> Result<String, OrderError> {
        self.try_order(OrderAction::Set(kind), region, for_ms)
    }

    pub(super) fn kind_of(&self, region: Option<&str>) -> Option<OverrideKind> {
        let region = region.map(name);
        self.plan
            .as_ref()
            .unwrap()
            .override_of(region.as_ref())
            .map(|existing| existing.kind)
    }

    /// Whether the region can take traffic: not known to be down, and not drained.
    fn is_open(&self, region: &RegionName) -> bool {
        let plan = self.plan.as_ref().unwrap();
        let input = self.inputs.regions.get(region);
        let kind = plan.override_of(Some(region)).map(|existing| existing.kind);

        input.is_some_and(|input| self.is_usable(input)) && kind != Some(Drain)
    }

    /// Whether the region is in service, or healthy and complete: only such a region can take over
    /// from another.
    fn can_serve(&self, region: &RegionName) -> bool {
        let input = &self.inputs.regions[region];
        let part = &self.plan.as_ref().unwrap().regions[region];
        let is_in_service = matches!(
            part.traffic_state,
            TrafficState::Serving | TrafficState::Reduced | TrafficState::Ramping { .. }
        );
        let is_fit = input.condition == Condition::Healthy && input.is_complete;

        self.is_open(region) && (is_in_service || is_fit)
    }

    fn check_orders(&self, before: &Plan) -> Result<(), TestCaseError> {
        let plan = self.plan.as_ref().unwrap();
        let is_expired = |existing: &Override| existing.is_expired(self.now_ms);
        prop_assert!(!plan.overrides.iter().any(is_expired));

        let can_any_serve = self.inputs.regions.keys().any(|name| self.can_serve(name));
        for existing in &plan.overrides {
            match (&existing.region, existing.kind) {
                (Some(region), Drain) if can_any_serve => {
                    prop_assert_eq!(
                        plan.regions[region].weight_bp,
                        0,
                        "{} is drained: {:?}",
                        region,
                        plan
                    );
                }
                (Some(region), Promote) if self.is_open(region) => {
                    prop_assert!(
                        (plan.shares()[region] - 1.0).abs() < 1e-9,
                        "{region} is promoted: {plan:?}"
                    );
                }
                (None, Hold) => self.check_hold(before)?,
                _ => {}
            }
        }

        Ok(())
    }

    /// Under a hold of the whole mesh no traffic state changes, unless the region has an order of
    /// its own.
    fn check_hold(&self, before: &Plan) -> Result<(), TestCaseError> {
        let plan = self.plan.as_ref().unwrap();
        let yields = !plan.yielded.is_empty() || !before.yielded.is_empty();
        if self.is_reconfigured || yields {
            return Ok(());
        }

        let changed = plan.regions.iter().filter(|(region, part)| {
            let last = before.regions.get(*region);
            let is_ordered = plan.override_of(Some(region)).is_some() || plan.overrides.len() > 1;
            !is_ordered && last.is_some_and(|last| last.traffic_state != part.traffic_state)
        });
        let was_held = before.override_of(None).is_some() && before.overrides == plan.overrides;

        prop_assert!(
            !was_held || changed.count() == 0,
            "held, and moved: {before:?} then {plan:?}"
        );
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

        // After the longest order none is left.
        world.now_ms += 200_000;
        world.apply();
        prop_assert_eq!(&world.plan.unwrap().overrides, &Vec::new());
    }

    #[test]
    fn what_if_predicts_the_next_plan_and_changes_nothing(
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
        let predicted = what_if(
            plan.as_ref(),
            &inputs,
            &[(region.clone(), condition)].into(),
            now_ms,
        );

        prop_assert_eq!((&world.plan, &world.inputs), (&plan, &inputs));
        let input = world.inputs.regions.get_mut(&region).unwrap();
        (input.condition, input.since_ms, input.reason) = (condition, now_ms, "as assumed".into());
        prop_assert_eq!(predicted, next_plan(plan.as_ref(), &world.inputs, now_ms));
    }
}

#[test]
fn a_drain_is_immediate_names_who_and_why_and_ends_in_a_cool_down() {
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

    assert!(world.is_cooling_down("a"));
    world.wait(10 * SECOND);
    assert_eq!(world.traffic_state("a"), world.ramping_now(0));
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
fn a_hold_freezes_suspicions_cool_downs_and_ramps_until_it_ends() {
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

    // A drain outranks the hold, which only stops automation.
    world.set(Drain, Some("c"), MINUTE).unwrap();
    assert_eq!(THREE.map(|region| world.weight(region)), [10_000, 0, 0]);

    let reason = world.wait(MINUTE).unwrap();
    assert!(
        reason.contains("expired: hold of the whole mesh") && reason.contains("a: suspect"),
        "{reason}"
    );
}

#[test]
fn a_hold_of_one_region_freezes_only_that_region() {
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
fn a_promotion_is_immediate_under_any_strategy_and_yields_to_a_failure() {
    for strategy in [
        Strategy::Weighted,
        Strategy::ActivePassive,
        Strategy::Latency,
    ] {
        let mut world = World::of(&THREE, strategy);
        world.judge("b", Condition::Failed);
        world.judge("b", Condition::Healthy);

        let reason = world.set(Promote, Some("b"), MINUTE).unwrap();
        assert_says(&reason, "b: promoted by ann, without cool-down or ramp");

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
fn promoting_a_region_that_is_out_takes_cool_down_and_ramp() {
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

        assert_says(&reason, "b comes back by cool-down and ramp first");

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

    // One that serves is promoted immediately.
    let mut world = World::of(&THREE, Strategy::ActivePassive);
    world
        .give_order(order(OrderAction::Set(Promote), Some("c"), MINUTE, "ann"))
        .unwrap();
    assert_eq!(THREE.map(|region| world.weight(region)), [0, 0, 10_000]);
}
