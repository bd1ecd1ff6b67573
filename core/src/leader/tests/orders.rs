//! Operators' orders.

use super::mesh::{Mesh, name};
use crate::leader::{Notice, OrderNotice, OrderOutcome};
use regionmesh_protocol::{plan::OverrideKind, wire::OrderRefusal};

#[test]
fn an_order_is_answered_once_committed_and_survives_the_leader_that_took_it() {
    let mut mesh = Mesh::start();
    let leader = mesh.leader();
    mesh.plan(|_| true);

    let others = mesh.others(&leader);
    let refused = mesh.order(&others[0], OverrideKind::Drain, "eu-west-1");
    assert!(
        matches!(refused, Err(OrderRefusal::NotNow(_))),
        "{refused:?}"
    );

    let drained = name("eu-west-1");
    let committed = mesh
        .order(&leader, OverrideKind::Drain, "eu-west-1")
        .unwrap();

    assert_eq!(committed.plan.regions[&drained].weight_bp, 0);
    let known = mesh.plan(|plan| plan.stamp >= committed.stamp);
    assert_eq!(known.plan.overrides, committed.plan.overrides);

    let outcomes = mesh.count(&leader, |notice| {
        *notice == Notice::Order(OrderNotice::Ended(OrderOutcome::Committed))
    });
    assert_eq!(outcomes, 1);
    for agent in mesh.running() {
        assert!(agent.view.ballot.is_some(), "{}", agent.id);
    }

    mesh.kill(&leader);
    let next = mesh.leader();
    let kept = mesh.plan(|plan| plan.stamp.ballot.agent.region == next);

    assert_eq!(
        (&kept.plan.overrides, kept.plan.regions[&drained].weight_bp),
        (&committed.plan.overrides, 0)
    );
}

#[test]
fn an_order_without_a_majority_is_not_reported_as_done() {
    let mut mesh = Mesh::start();
    mesh.plan(|_| true);

    let leader = mesh.leader();
    mesh.cut_off_others(&leader);
    let refused = mesh.order(&leader, OverrideKind::Drain, "eu-west-1");
    assert!(
        matches!(
            refused,
            Err(OrderRefusal::Unknown(_) | OrderRefusal::NotNow(_))
        ),
        "{refused:?}"
    );
}
