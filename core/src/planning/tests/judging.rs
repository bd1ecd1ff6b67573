//! What agents let a leader do.

use super::*;
use crate::{
    planning::{
        PlanSettings, RegionSettings,
        judging::{Grounds, Objection, Sight, Times, judge},
        plan_membership, plan_order,
    },
    testing::proof,
};
use regionmesh_protocol::register::members::{Incarnation, MemberChange, Members};
use std::collections::{BTreeMap, BTreeSet};

mod theft;

/// An agent with the same configuration and the same verdicts as the leader, whose verdicts are
/// not new.
struct Judge {
    settings: PlanSettings,
    configured: BTreeSet<RegionName>,
    proposer: RegionName,
}

impl Judge {
    fn of(world: &World) -> Self {
        let region = |(name, input): (&RegionName, &RegionInput)| {
            let settings = RegionSettings {
                weight_bp: input.weight_bp,
                priority: input.priority,
                addresses: input.addresses.clone(),
                capacity_rps: input.capacity_rps,
            };
            (name.clone(), settings)
        };
        let inputs = &world.inputs;
        let settings = PlanSettings {
            regions: inputs.regions.iter().map(region).collect(),
            strategy: inputs.strategy,
            suspect_percent: inputs.suspect_percent,
            recovery: inputs.recovery.clone(),
            max_out: inputs.max_out,
            ttl_ms: inputs.ttl_ms,
            is_serving_embedded: false,
            judges_each_address: false,
            has_inference_probes: false,
            measured_capacity: false,
            shifts_for_cost: false,
        };

        Self {
            settings,
            configured: BTreeSet::new(),
            proposer: name("elsewhere"),
        }
    }

    fn grounds(&self, world: &World) -> Grounds<'_> {
        let sight = |condition| match condition {
            Condition::Healthy => Sight::Healthy,
            Condition::Failed | Condition::Draining => Sight::Down,
            Condition::Suspect | Condition::Unknown => Sight::Unsure,
        };
        let regions = world.inputs.regions.iter();
        let drains =
            |(_, input): &(&RegionName, &RegionInput)| input.condition == Condition::Draining;

        Grounds {
            settings: &self.settings,
            configured: &self.configured,
            sights: regions
                .clone()
                .map(|(name, input)| (name.clone(), sight(input.condition)))
                .collect(),
            draining: regions
                .filter(drains)
                .map(|(name, _)| name.clone())
                .collect(),
            doubtful: BTreeSet::new(),
            orders: Vec::new(),
            stale: Vec::new(),
            order_ages: BTreeMap::new(),
            steps: BTreeMap::new(),
            away: BTreeSet::new(),
            expired: Vec::new(),
            proposer: &self.proposer,
            well_ms: BTreeMap::new(),
            own: (&self.proposer, Incarnation(0)),
            times: Times::Measured,
            load_rps: None,
            now_ms: world.now_ms,
        }
    }
}

/// What an agent that sees what `world` sees has against a plan.
fn objection(world: &World, next: &Plan) -> Option<Objection> {
    let judge_of = Judge::of(world);
    let grounds = judge_of.grounds(world);
    judge(world.plan.as_ref(), next, &grounds).err()
}

fn state() -> impl Generator<Value = TrafficState> {
    let since_ms = 999_000;
    let healthy_ms = Some(since_ms);
    prop_oneof![
        Just(TrafficState::Serving),
        Just(TrafficState::Reduced),
        Just(TrafficState::Limited {
            since_ms,
            healthy_ms: None
        }),
        Just(TrafficState::Limited {
            since_ms,
            healthy_ms
        }),
        Just(TrafficState::Out { since_ms }),
        Just(TrafficState::CoolingDown { since_ms }),
        (0usize..3).prop_map(move |step| TrafficState::Ramping { step, since_ms }),
    ]
}

fn absence() -> impl Generator<Value = Option<Absence>> {
    prop_oneof![
        Just(None),
        Just(Some(Absence::Failed)),
        Just(Some(Absence::Idle)),
        Just(Some(Absence::Draining)),
        Just(Some(Absence::Ordered)),
        Just(Some(Absence::Joined)),
    ]
}

fn part() -> impl Generator<Value = (u16, TrafficState, Option<Absence>)> {
    let weight = prop_oneof![Just(0u16), Just(FULL_WEIGHT_BP), 1u16..FULL_WEIGHT_BP];
    (weight, state(), absence())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn an_honest_leaders_plan_meets_no_objection(
        mut world in world(),
        events in prop::collection::vec(event(), 0..40),
    ) {
        let first = next_plan(None, &world.inputs, world.now_ms).unwrap();
        prop_assert_eq!(objection(&world, &first), None, "{:?}", first);
        world.plan = Some(first);

        // Agents whose configuration changes one after another may disagree meanwhile.
        let is_observed = |(_, event): &&(u64, world::Event)| {
            use world::Event::{Complete, Judged, Nothing};
            matches!(event, Judged(..) | Complete(..) | Nothing)
        };
        for event in events.iter().filter(is_observed) {
            world.happen(event);
            if let Some(next) = next_plan(world.plan.as_ref(), &world.inputs, world.now_ms) {
                prop_assert_eq!(
                    objection(&world, &next), None, "{:?}\nto\n{:?}", world.plan, next
                );
                world.plan = Some(next);
            }
        }
    }

    #[test]
    fn without_a_reason_no_share_changes(
        parts in prop::collection::vec(part(), 4),
        is_passive in any::<bool>(),
    ) {
        let strategy = if is_passive { Strategy::ActivePassive } else { Strategy::Weighted };
        let world = World::of(&["a", "b", "c", "d"], strategy);
        let plan = world.plan.clone().unwrap();
        let mut forged = plan.clone();
        let all = forged.regions.values_mut().zip(parts);
        for (region, (weight_bp, traffic_state, absence)) in all {
            region.weight_bp = weight_bp;
            region.traffic_state = traffic_state;
            region.absence = absence;
        }

        if forged.shares() != plan.shares() {
            prop_assert!(objection(&world, &forged).is_some(), "{:?}", forged);
        }
    }
}

fn order(action: OrderAction, region: &str, nonce: u8) -> Order {
    Order {
        action,
        region: Some(name(region)),
        by: "ann".into(),
        why: "disks".into(),
        for_ms: 10 * MINUTE,
        is_forced: true,
        is_immediate: false,
        proof: Some(proof(0, nonce)),
    }
}

/// What an agent has against a plan if these orders are proven.
fn objection_with(world: &World, next: &Plan, proven: &[&Order]) -> Option<Objection> {
    let judge_of = Judge::of(world);
    let grounds = Grounds {
        orders: proven.to_vec(),
        ..judge_of.grounds(world)
    };
    judge(world.plan.as_ref(), next, &grounds).err()
}

#[test]
fn an_order_moves_traffic_only_with_its_proof() {
    let mut world = World::of(&THREE, Strategy::Weighted);
    let drain = order(OrderAction::Set(OverrideKind::Drain), "b", 1);
    let current = world.plan.clone();
    let mut drained = plan_order(current.as_ref(), &drain, &world.inputs, world.now_ms).unwrap();
    drained.add_order(drain.clone());

    assert!(matches!(
        objection(&world, &drained),
        Some(Objection::ForgedOrder(_))
    ));
    assert_eq!(objection_with(&world, &drained, &[&drain]), None);

    // Neither for longer, nor for another region.
    let mut longer = drained.clone();
    longer.overrides[0].expires_ms += MINUTE;
    assert!(objection_with(&world, &longer, &[&drain]).is_some());
    let mut another = drained.clone();
    another.overrides[0].region = Some(name("c"));
    assert!(objection_with(&world, &another, &[&drain]).is_some());

    // Once it is in effect it needs no further proof; but it ends by an order or its expiry only.
    world.plan = Some(drained.clone());
    let restore = order(OrderAction::Restore, "b", 2);
    let mut restored = plan_order(Some(&drained), &restore, &world.inputs, world.now_ms).unwrap();
    let lifted = restored.clone();
    restored.add_order(restore.clone());

    assert!(matches!(
        objection(&world, &lifted),
        Some(Objection::EndsOrder(_))
    ));
    assert_eq!(objection_with(&world, &restored, &[&restore]), None);
    world.now_ms += 10 * MINUTE;
    let expired = next_plan(Some(&drained), &world.inputs, world.now_ms).unwrap();
    assert_eq!(expired.overrides, []);
    assert_eq!(objection(&world, &expired), None);
}

#[test]
fn a_region_gets_traffic_back_step_by_step_and_not_while_it_is_down() {
    let mut world = World::of(&THREE, Strategy::Weighted);
    world.judge("b", Condition::Failed);
    world.judge("b", Condition::Healthy);
    assert!(world.is_cooling_down("b"));

    let with = |world: &World, traffic_state, weight_bp| {
        let mut plan = world.plan.clone().unwrap();
        let part = plan.regions.get_mut(&name("b")).unwrap();
        part.traffic_state = traffic_state;
        part.weight_bp = weight_bp;
        plan
    };
    let too_fast = Some(Objection::TooFast(name("b")));
    let ramping = |step| TrafficState::Ramping {
        step,
        since_ms: 1_000_000,
    };

    let full = with(&world, TrafficState::Serving, FULL_WEIGHT_BP);
    assert_eq!(objection(&world, &full), too_fast);
    let first = with(&world, ramping(0), 1_000);
    assert_eq!(objection(&world, &first), too_fast);

    world.now_ms += 6 * SECOND;
    assert_eq!(objection(&world, &first), None);
    assert_eq!(
        objection(&world, &with(&world, ramping(1), 5_000)),
        too_fast
    );
    world.region_mut("b").condition = Condition::Failed;
    assert_eq!(
        objection(&world, &first),
        Some(Objection::GivesTraffic(name("b")))
    );
}

#[test]
fn no_more_regions_are_taken_out_than_allowed_whatever_they_are_called() {
    let mut world = World::of(&["a", "b", "c", "d"], Strategy::Weighted);
    for region in ["b", "c"] {
        world.region_mut(region).condition = Condition::Failed;
    }

    for absence in [Absence::Failed, Absence::Idle, Absence::Joined] {
        let mut plan = world.plan.clone().unwrap();
        for region in ["b", "c"] {
            let part = plan.regions.get_mut(&name(region)).unwrap();
            part.traffic_state = TrafficState::Out {
                since_ms: world.now_ms,
            };
            part.absence = Some(absence);
            part.weight_bp = 0;
        }
        let objection = objection(&world, &plan);
        assert!(
            matches!(objection, Some(Objection::TooManyOut { out: 2, .. })),
            "{objection:?}"
        );
    }
}

#[test]
fn members_change_by_a_proven_order_only() {
    let mut world = World::of(&THREE, Strategy::Weighted);
    let counted = THREE.map(|region| {
        (
            name(region),
            Some(Incarnation(u64::from(region.as_bytes()[0]))),
        )
    });
    world.plan.as_mut().unwrap().members = Members {
        register: 1,
        acceptors: counted.into(),
    };

    let current = world.plan.clone().unwrap();
    let mut inputs = world.inputs.clone();
    inputs.regions.remove(&name("c"));
    let change = MemberChange::Remove(name("c"));
    let removed = plan_membership(&current, &change, "out".into(), &inputs, world.now_ms).unwrap();
    let order = order(
        OrderAction::Member(MemberOrder::Remove { force: true }),
        "c",
        1,
    );

    assert!(matches!(
        objection(&world, &removed),
        Some(Objection::Members(_))
    ));
    assert_eq!(objection_with(&world, &removed, &[&order]), None);

    let mut alone = current.clone();
    alone
        .members
        .acceptors
        .retain(|region, _| *region == name("a"));
    assert!(matches!(
        objection(&world, &alone),
        Some(Objection::Members(_))
    ));
}

#[test]
fn a_drained_region_gets_traffic_only_as_the_last_that_can_serve_and_the_plan_says_so() {
    let mut world = World::of(&THREE, Strategy::Weighted);
    let drain = order(OrderAction::Set(OverrideKind::Drain), "b", 1);
    let current = world.plan.clone();
    world.plan = plan_order(current.as_ref(), &drain, &world.inputs, world.now_ms).ok();

    let mut lifted = world.plan.clone().unwrap();
    let part = lifted.regions.get_mut(&name("b")).unwrap();
    part.traffic_state = TrafficState::Serving;
    part.weight_bp = FULL_WEIGHT_BP;
    let mut yielding = lifted.clone();
    yielding.yielded.push(YieldedOrder {
        order: Some(name("b")),
        region: name("b"),
        since_ms: world.now_ms,
    });

    let refused = Some(Objection::GivesTraffic(name("b")));
    assert_eq!(objection(&world, &lifted), refused);
    assert_eq!(objection(&world, &yielding), refused);
    for region in ["a", "c"] {
        world.region_mut(region).condition = Condition::Failed;
    }
    assert_eq!(objection(&world, &lifted), refused);
    let next = next_plan(world.plan.as_ref(), &world.inputs, world.now_ms).unwrap();
    assert!(next.regions[&name("b")].weight_bp > 0);
    assert_eq!(objection(&world, &next), None);
}

#[test]
fn several_proven_changes_of_members_may_lie_between_two_plans() {
    let mut world = World::of(&THREE, Strategy::Weighted);
    let counted = |region: &str| {
        let vote = Incarnation(u64::from(region.as_bytes()[0]));
        (name(region), Some(vote))
    };
    let members = |regions: &[&str]| Members {
        register: 1,
        acceptors: regions.iter().map(|region| counted(region)).collect(),
    };
    world.plan.as_mut().unwrap().members = members(&THREE);

    let mut next = world.plan.clone().unwrap();
    next.members = members(&["b", "c", "d"]);
    next.regions.remove(&name("a"));
    let member = |action, region, nonce| order(OrderAction::Member(action), region, nonce);
    let remove = member(MemberOrder::Remove { force: true }, "a", 1);
    let add = member(MemberOrder::Add { force: true }, "d", 2);

    let refused = objection_with(&world, &next, &[&remove]);
    assert!(
        matches!(refused, Some(Objection::Members(_))),
        "{refused:?}"
    );
    assert_eq!(objection_with(&world, &next, &[&remove, &add]), None);
    next.members.register = 2;
    let refused = objection_with(&world, &next, &[&remove, &add]);
    assert!(
        matches!(refused, Some(Objection::Members(_))),
        "{refused:?}"
    );
}
