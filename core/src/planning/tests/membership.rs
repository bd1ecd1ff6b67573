//! Orders about members: what is refused, and what becomes of the plan by what is not.

use super::*;
use crate::planning::{
    MemberSight, MemberStep, Strategy, check_membership, next_plan, plan_membership, plan_order,
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
    };

    let configured: BTreeSet<RegionName> = configured.iter().map(|region| name(region)).collect();
    let answering = answering
        .iter()
        .map(|region| (name(region), incarnation(&name(region))))
        .collect();
    let leader = "a/x".parse().unwrap();
    let sight = MemberSight {
        leader: &leader,
        configured: &configured,
        answering: &answering,
    };

    check_membership(plan, &order, sight).map_err(|error| match error {
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

#[test]
fn what_would_leave_too_few_to_decide_or_users_without_a_region_is_refused() {
    let world = World::of(&ABC, Strategy::Weighted);
    let plan = plan_of(&world, &ABC);
    let all = ["a", "b", "c", "d", "e", WITNESS];
    let is = |refused: Result<MemberStep, MemberOrderError>,
              wanted: fn(&MemberOrderError) -> bool| {
        let refused = refused.unwrap_err();
        assert!(wanted(&refused), "{refused}");
    };

    is(judge(&plan, "a", ADD, &all, &ABC), |e| {
        matches!(e, MemberOrderError::Members(MembersError::IsAMember(_)))
    });
    is(judge(&plan, "z", ADD, &all, &ABC), |e| {
        matches!(e, MemberOrderError::NotConfigured { .. })
    });
    is(judge(&plan, "d", ADD, &all, &ABC), |e| {
        matches!(e, MemberOrderError::NotAutomatic(_))
    });
    is(
        judge(
            &plan,
            "d",
            MemberOrder::Add { force: true },
            &all,
            &["a", "b"],
        ),
        |e| {
            matches!(
                e,
                MemberOrderError::NoMajorityLeft {
                    answering: 2,
                    members: 4
                }
            )
        },
    );

    is(judge(&plan, "b", REMOVE, &all, &ABC), |e| {
        matches!(e, MemberOrderError::HasTraffic { percent: 34, .. })
    });
    is(judge(&plan, "z", REMOVE, &all, &ABC), |e| {
        matches!(e, MemberOrderError::Members(MembersError::NotAMember(_)))
    });

    let force = MemberOrder::Remove { force: true };
    is(judge(&plan, "c", force.clone(), &all, &["a", "c"]), |e| {
        matches!(
            e,
            MemberOrderError::NoMajorityLeft {
                answering: 1,
                members: 2
            }
        )
    });

    is(
        judge(&plan_of(&world, &["a"]), "a", force.clone(), &all, &ABC),
        |e| matches!(e, MemberOrderError::Members(MembersError::Last(_))),
    );

    let rename = |to: &str| MemberOrder::Rename { to: name(to) };
    is(judge(&plan, "c", rename("z"), &all, &ABC), |e| {
        matches!(e, MemberOrderError::NotConfigured { .. })
    });
    is(judge(&plan, "c", rename("a"), &all, &ABC), |e| {
        matches!(e, MemberOrderError::Members(MembersError::IsAMember(_)))
    });

    // An acceptor that answers as another incarnation has no vote.
    let mut lost = plan.clone();
    lost.members
        .acceptors
        .insert(name("b"), Some(Incarnation(1)));
    is(judge(&lost, "c", force.clone(), &all, &ABC), |e| {
        matches!(e, MemberOrderError::NoMajorityLeft { .. })
    });

    // What is left: with a witness first, by force, and where the removed one does not answer.
    assert_eq!(
        judge(&plan, WITNESS, ADD, &all, &ABC),
        Ok(MemberStep::Join(name(WITNESS)))
    );

    let with = plan_of(&world, &["a", "b", "c", WITNESS]);
    assert_eq!(
        judge(&with, "d", ADD, &all, &["a", "b", WITNESS]),
        Ok(MemberStep::Join(name("d")))
    );

    let removed = judge(&plan, "c", force, &all, &["a", "b"]);
    assert_eq!(
        removed,
        Ok(MemberStep::Commit(MemberChange::Remove(name("c"))))
    );

    assert_eq!(
        judge(
            &plan_of(&world, &["a"]),
            "b",
            MemberOrder::Add { force: true },
            &all,
            &["a"]
        ),
        Ok(MemberStep::Join(name("b")))
    );
}

#[test]
fn a_renamed_region_keeps_its_share_its_standing_and_its_orders() {
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
fn a_removed_region_loses_its_traffic_to_the_others_in_the_same_step_and_an_added_one_waits_for_its_gate()
 {
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
    world.inputs.regions.get_mut(&name("c")).unwrap().condition = Condition::Failed;
    world.apply();

    let late = world.plan.as_ref().unwrap().regions[&name("c")].clone();
    assert_eq!(
        (late.weight_bp, late.absence, late.flaps),
        (0, Some(Absence::Joined), 0)
    );

    // It comes by the shortest gate.
    world.judge("c", Condition::Healthy);
    world.now_ms += 10 * SECOND;
    world.apply();
    assert!(world.weight("c") > 0, "{:?}", world.plan);
}

#[test]
fn where_automation_is_refused_nothing_moves_by_verdicts_and_orders_are_carried_out() {
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
    };

    let drained = plan_order(world.plan.as_ref(), &order, &failed.held(), world.now_ms).unwrap();
    assert_eq!(drained.shares()[&name("a")], 1.0);
}
