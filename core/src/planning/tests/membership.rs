//! Orders about members: what is refused, and the plans that follow from the rest.

use super::*;
use crate::planning::{
    MemberStep, MemberView, Strategy, check_membership, next_plan, plan_membership, plan_order,
};
use regionmesh_protocol::{
    identity::RegionName,
    plan::{MemberOrder, MemberOrderError, Order, OrderAction, OrderError, OverrideKind},
    register::{
        ballot::WITNESS,
        members::{Incarnation, MemberChange, Members, MembersError},
    },
    status::condition::Condition,
};
use std::collections::BTreeSet;

fn incarnation(region: &RegionName) -> Incarnation {
    Incarnation(u64::from(region.as_str().as_bytes()[0]))
}

fn members(names: &[&str]) -> Members {
    let acceptors = names
        .iter()
        .map(|region| (name(region), Some(incarnation(&name(region)))));
    Members {
        register: 7,
        acceptors: acceptors.collect(),
    }
}

/// What a leader that knows `configured` and hears `answering` does about the order.
fn judge(
    plan: &Plan,
    region: &str,
    order: MemberOrder,
    configured: &[&str],
    answering: &[&str],
) -> Result<MemberStep, MemberOrderError> {
    let action = OrderAction::Member(order);
    let order = Order {
        action,
        region: Some(name(region)),
        by: "ann".into(),
        why: "test".into(),
        for_ms: 0,
        is_forced: false,
        is_immediate: false,
        proof: None,
    };

    let configured: BTreeSet<RegionName> = configured.iter().map(|region| name(region)).collect();
    let answering = answering
        .iter()
        .map(|region| (name(region), incarnation(&name(region))))
        .collect();
    let leader = "a/x".parse().unwrap();
    let view = MemberView {
        leader: &leader,
        configured: &configured,
        answering: &answering,
    };

    check_membership(plan, &order, view).map_err(|error| match error {
        OrderError::Member(error) => error,
        other => panic!("{other}"),
    })
}

fn plan_of(world: &World, names: &[&str]) -> Plan {
    Plan {
        members: members(names),
        ..world.plan.clone().unwrap()
    }
}

const ABC: [&str; 3] = ["a", "b", "c"];
const ADD: MemberOrder = MemberOrder::Add { force: false };
const REMOVE: MemberOrder = MemberOrder::Remove { force: false };

const ALL: [&str; 6] = ["a", "b", "c", "d", "e", WITNESS];
const FORCE_ADD: MemberOrder = MemberOrder::Add { force: true };
const FORCE_REMOVE: MemberOrder = MemberOrder::Remove { force: true };

/// Asserts that an order about `$of` is refused with an error of this pattern.
macro_rules! assert_refused {
    ($plan:expr, $of:expr, $order:expr, $answering:expr, $pattern:pat) => {
        let refused = judge($plan, $of, $order, &ALL, $answering).unwrap_err();
        assert!(matches!(refused, $pattern), "{refused}");
    };
}

#[test]
fn an_addition_that_would_lose_the_majority_is_refused() {
    use MemberOrderError::{Members, NoMajorityLeft, NotAutomatic, NotConfigured};

    let world = World::of(&ABC, Strategy::Weighted);
    let plan = &plan_of(&world, &ABC);
    let is_a_member = MembersError::IsAMember(name("a"));

    assert_eq!(judge(plan, "a", ADD, &ALL, &ABC), Err(Members(is_a_member)));
    assert_refused!(plan, "z", ADD, &ABC, NotConfigured { .. });
    assert_refused!(plan, "d", ADD, &ABC, NotAutomatic(_));
    assert_eq!(
        judge(plan, "d", FORCE_ADD, &ALL, &["a", "b"]),
        Err(NoMajorityLeft {
            answering: 2,
            members: 4
        })
    );
}

#[test]
fn a_removal_that_would_lose_the_majority_or_strand_users_is_refused() {
    use MemberOrderError::{HasTraffic, Members, NoMajorityLeft};

    let world = World::of(&ABC, Strategy::Weighted);
    let plan = &plan_of(&world, &ABC);

    assert_refused!(plan, "b", REMOVE, &ABC, HasTraffic { percent: 34, .. });
    assert_refused!(
        plan,
        "z",
        REMOVE,
        &ABC,
        Members(MembersError::NotAMember(_))
    );
    assert_eq!(
        judge(plan, "c", FORCE_REMOVE, &ALL, &["a", "c"]),
        Err(NoMajorityLeft {
            answering: 1,
            members: 2
        })
    );

    let alone = &plan_of(&world, &["a"]);
    assert_refused!(
        alone,
        "a",
        FORCE_REMOVE,
        &ABC,
        Members(MembersError::Last(_))
    );

    // An acceptor that answers as another incarnation has no vote.
    let mut lost = plan.clone();
    let incarnation = Some(Incarnation(1));
    lost.members.acceptors.insert(name("b"), incarnation);
    assert_refused!(&lost, "c", FORCE_REMOVE, &ABC, NoMajorityLeft { .. });
}

#[test]
fn renaming_to_a_member_or_to_an_unconfigured_region_is_refused() {
    use MemberOrderError::{Members, NotConfigured};

    let world = World::of(&ABC, Strategy::Weighted);
    let plan = &plan_of(&world, &ABC);
    let rename = |to: &str| MemberOrder::Rename { to: name(to) };

    assert_refused!(plan, "c", rename("z"), &ABC, NotConfigured { .. });
    assert_refused!(
        plan,
        "c",
        rename("a"),
        &ABC,
        Members(MembersError::IsAMember(_))
    );
}

#[test]
fn members_are_added_with_a_witness_first_or_by_force_and_silent_ones_are_removed() {
    let world = World::of(&ABC, Strategy::Weighted);
    let plan = &plan_of(&world, &ABC);
    assert_eq!(
        judge(plan, WITNESS, ADD, &ALL, &ABC),
        Ok(MemberStep::Join(name(WITNESS)))
    );

    let with = plan_of(&world, &["a", "b", "c", WITNESS]);
    assert_eq!(
        judge(&with, "d", ADD, &ALL, &["a", "b", WITNESS]),
        Ok(MemberStep::Join(name("d")))
    );

    let removal = MemberChange::Remove(name("c"));
    assert_eq!(
        judge(plan, "c", FORCE_REMOVE, &ALL, &["a", "b"]),
        Ok(MemberStep::Commit(removal))
    );

    let alone = plan_of(&world, &["a"]);
    assert_eq!(
        judge(&alone, "b", FORCE_ADD, &ALL, &["a"]),
        Ok(MemberStep::Join(name("b")))
    );
}

#[test]
fn a_renamed_region_keeps_its_share_traffic_state_and_orders() {
    let mut world = World::of(&ABC, Strategy::Weighted);
    world.judge("b", Condition::Failed);

    let action = OrderAction::Set(OverrideKind::Drain);
    let order = Order {
        action,
        region: Some(name("c")),
        by: "ann".into(),
        why: "disks".into(),
        for_ms: MINUTE,
        is_forced: false,
        is_immediate: false,
        proof: None,
    };

    let mut plan = plan_order(world.plan.as_ref(), &order, &world.inputs, world.now_ms).unwrap();
    plan.members = members(&ABC);
    for (old, new) in [("a", "x"), ("b", "y"), ("c", "z")] {
        let mut inputs = world.inputs.clone();
        let input = inputs.regions.remove(&name(old)).unwrap();
        inputs.regions.insert(name(new), input);

        let change = MemberChange::Rename(name(old), name(new));
        let next =
            plan_membership(&plan, &change, "renamed".into(), &inputs, world.now_ms).unwrap();

        assert_eq!(next.regions[&name(new)], plan.regions[&name(old)], "{old}");
        assert!(!next.regions.contains_key(&name(old)) && next.members.has(&name(new)));
        assert_eq!(
            next.members.acceptors[&name(new)],
            plan.members.acceptors[&name(old)]
        );

        assert_eq!(next.override_of(Some(&name("z"))).is_some(), old == "c");
        assert_eq!(next.override_of(Some(&name("c"))).is_some(), old != "c");
    }
}

#[test]
fn a_removed_regions_traffic_moves_immediately_and_an_added_region_cools_down_first() {
    let world = World::of(&ABC, Strategy::Weighted);
    let plan = plan_of(&world, &ABC);
    let mut inputs = world.inputs.clone();

    inputs.regions.remove(&name("c"));
    let change = MemberChange::Remove(name("c"));
    let without = plan_membership(&plan, &change, "removed".into(), &inputs, world.now_ms).unwrap();

    assert_eq!(
        without.shares(),
        [(name("a"), 0.5), (name("b"), 0.5)].into()
    );

    assert!(
        without.reason.starts_with("removed") && without.reason.contains("c: left the mesh"),
        "{}",
        without.reason
    );

    let change = MemberChange::Join(name("c"), Incarnation(9));
    let back = plan_membership(
        &without,
        &change,
        "added".into(),
        &world.inputs,
        world.now_ms,
    )
    .unwrap();

    assert_eq!(
        (
            back.regions[&name("c")].weight_bp,
            back.regions[&name("c")].absence
        ),
        (0, Some(Absence::Joined))
    );

    assert_eq!(back.members.acceptors[&name("c")], Some(Incarnation(9)));
}

#[test]
fn a_region_that_is_not_up_at_the_first_plan_is_not_counted_as_failed() {
    let mut world = World::of(&ABC, Strategy::Weighted);
    world.plan = None;
    world.region_mut("c").condition = Condition::Failed;
    world.apply();

    let late = world.plan.as_ref().unwrap().regions[&name("c")].clone();
    assert_eq!(
        (late.weight_bp, late.absence, late.flaps),
        (0, Some(Absence::Joined), 0)
    );

    // It enters after the shortest cool-down.
    world.judge("c", Condition::Healthy);
    world.now_ms += 10 * SECOND;
    world.apply();
    assert!(world.weight("c") > 0, "{:?}", world.plan);
}

#[test]
fn without_automation_only_orders_move_traffic() {
    let world = World::of(&["a", "b"], Strategy::Weighted);
    let mut failed = world.inputs.clone();
    failed.regions.get_mut(&name("b")).unwrap().condition = Condition::Failed;
    assert!(next_plan(world.plan.as_ref(), &failed, world.now_ms).is_some());
    assert_eq!(
        next_plan(world.plan.as_ref(), &failed.held(), world.now_ms),
        None
    );

    let action = OrderAction::Set(OverrideKind::Drain);
    let order = Order {
        action,
        region: Some(name("b")),
        by: "ann".into(),
        why: "dead".into(),
        for_ms: MINUTE,
        is_forced: false,
        is_immediate: false,
        proof: None,
    };

    let drained = plan_order(world.plan.as_ref(), &order, &failed.held(), world.now_ms).unwrap();
    assert_eq!(drained.shares()[&name("a")], 1.0);
}
