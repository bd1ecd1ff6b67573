//! Changes of the register's members.

use super::mesh::Mesh;
use crate::leader::{ElectionNotice, Notice, RegisterNotice, proposer::StepDown};
use regionmesh_protocol::{
    identity::RegionName,
    plan::{CommittedPlan, MemberOrder, Order, OrderAction, OverrideKind},
    register::{
        acceptor::AcceptorState,
        members::{Incarnation, MemberChange},
    },
    status::condition::Condition,
    wire::OrderRefusal,
};

#[test]
fn an_acceptor_whose_store_was_emptied_is_suspended_and_rejoins() {
    let mut mesh = Mesh::start();
    let leader = mesh.leader();
    let lost = mesh.others(&leader).remove(0);
    let before = mesh.plan(|plan| plan.plan.members.acceptors.values().all(Option::is_some));

    let acceptor = &mut mesh.agents.get_mut(&lost).unwrap().acceptor;
    *acceptor = AcceptorState::begin(Incarnation(!acceptor.incarnation.0));

    let vote = |plan: &CommittedPlan| plan.plan.members.acceptors[&lost];
    let after = mesh.plan(|plan| vote(plan).is_some() && vote(plan) != vote(&before));

    assert!(
        after.plan.reason.contains("joined the register and votes"),
        "{}",
        after.plan.reason
    );

    let changes = |is_wanted: fn(&MemberChange) -> bool| {
        mesh.count(&leader, |notice| {
            matches!(
                notice,
                Notice::Register(RegisterNotice::Changing(change)) if is_wanted(change)
            )
        })
    };

    let suspensions = changes(|change| matches!(change, MemberChange::Suspend(_)));
    let joins = changes(|change| matches!(change, MemberChange::Join(..)));
    assert_eq!(suspensions, 1, "suspend");
    assert_eq!(joins, 1, "join");
}

/// An order that removes a region from the register.
fn removal(region: &RegionName, force: bool) -> Order {
    Order {
        action: OrderAction::Member(MemberOrder::Remove { force }),
        region: Some(region.clone()),
        by: "ann".into(),
        why: "test".into(),
        for_ms: 0,
        is_forced: false,
        is_immediate: false,
        proof: None,
    }
}

#[test]
fn a_leader_whose_region_is_removed_steps_down_and_the_others_elect_a_new_one() {
    let mut mesh = Mesh::start();
    let leader = mesh.leader();
    mesh.plan(|plan| plan.plan.members.acceptors.values().all(Option::is_some));

    let others = mesh.others(&leader);

    let refused = mesh.send_order(&leader, removal(&leader, false));
    assert!(
        matches!(
            &refused,
            Err(OrderRefusal::Wrong(why)) if why.to_string().contains("of the traffic")
        ),
        "{refused:?}"
    );

    let committed = mesh.send_order(&leader, removal(&leader, true)).unwrap();
    assert!(!committed.plan.regions.contains_key(&leader) && !committed.plan.members.has(&leader));

    mesh.until("it steps down", |mesh| {
        let removed = mesh.count(&leader, |notice| {
            matches!(
                notice,
                Notice::Election(ElectionNotice::SteppedDown {
                    reason: StepDown::Removed,
                    ..
                })
            )
        });
        (removed == 1).then_some(())
    });

    // One of the others leads, with two votes and without automatic failover.
    let next = mesh.leader();
    assert!(others.contains(&next), "{next}");

    let plan = mesh.plan(|plan| plan.stamp.ballot.agent.region == next);
    assert_eq!(plan.plan.members.len(), 2);
    mesh.set_verdict(&others[0], Condition::Failed);

    assert!(plan.plan.members.why_not_automatic().is_some());

    // No other region can serve, so the drain takes effect in name only and must be forced.
    let drain = Order {
        action: OrderAction::Set(OverrideKind::Drain),
        region: Some(others[1].clone()),
        for_ms: 600_000,
        is_forced: true,
        ..removal(&leader, false)
    };
    let drained = mesh.send_order(&next, drain).unwrap();

    assert!(
        drained.plan.regions[&others[0]].weight_bp > 0,
        "a verdict moved traffic although automation is refused"
    );
}
