//! What an agent has against proposals, by the plans and the orders that it knows.

use super::mesh::{Mesh, name};
use crate::{planning::judging::Objection, slots::Proposal};
use regionmesh_protocol::{
    plan::{CommittedPlan, Order, OrderAction, OverrideKind, Plan},
    register::{ballot::Stamp, members::Incarnation},
};
use std::time::Duration;

/// A mesh, and its plan with an order that drains a region.
fn drained() -> (Mesh, CommittedPlan) {
    let mut mesh = Mesh::start();
    mesh.plan(|_| true);
    let leader = mesh.leader();
    let order = mesh.order(&leader, OverrideKind::Drain, "eu-west-1");
    (mesh, order.unwrap())
}

/// How long what an acceptor accepted may turn out to be committed.
const OPEN_FOR_MS: u64 = 15_000;

fn pass(mesh: &mut Mesh, ms: u64) {
    let until = mesh.now().monotonic + Duration::from_millis(ms);
    mesh.until("time passes", |mesh| {
        (mesh.now().monotonic >= until).then_some(())
    });
}

fn later(stamp: &Stamp) -> Stamp {
    let mut later = stamp.clone();
    later.seq += 1;
    later
}

fn propose(stamp: &Stamp, plan: &Plan, accepted: Option<(Stamp, Plan)>) -> Proposal {
    Proposal {
        stamp: later(stamp),
        plan: plan.clone(),
        incarnation: Incarnation(0),
        accepted,
    }
}

#[test]
fn an_order_that_the_acceptor_accepted_is_kept_although_its_agent_does_not_know_it_yet() {
    let (_, ordered) = drained();
    let mut mesh = Mesh::start();
    let known = mesh.plan(|_| true);
    let agent = name("ap-south-1");

    let mut next = known.plan.clone();
    next.reason = "another".into();
    let mut stamp = later(&known.stamp);
    let mut accepted = known.plan.clone();
    accepted.overrides = ordered.plan.overrides;
    accepted.orders = ordered.plan.orders;

    let proposal = propose(&stamp, &next, Some((stamp.clone(), accepted.clone())));
    let judged = mesh.judge(&agent, proposal.clone());
    assert!(matches!(judged, Err(Objection::EndsOrder(_))), "{judged:?}");

    pass(&mut mesh, OPEN_FOR_MS - 1_000);
    assert_eq!(mesh.judge(&agent, proposal.clone()), judged);
    pass(&mut mesh, 1_100);
    assert_eq!(
        mesh.judge(&agent, proposal),
        Ok(()),
        "it was never committed"
    );

    assert_eq!(mesh.judge(&agent, propose(&stamp, &next, None)), Ok(()));
    // What it accepted before the plan that it knows was followed by that.
    stamp.seq = 0;
    let proposal = propose(&known.stamp, &next, Some((stamp, accepted)));
    assert_eq!(mesh.judge(&agent, proposal), Ok(()));
}

#[test]
fn a_proven_order_counts_once() {
    let (mut mesh, ordered) = drained();
    let leader = mesh.leader();
    let agent = name("ap-south-1");
    let order = ordered.plan.orders[0].clone();
    let restore = Order {
        action: OrderAction::Restore,
        ..order
    };
    mesh.send_order(&leader, restore).unwrap();
    let lifted = mesh.plan(|plan| plan.plan.overrides.is_empty());

    let again = propose(&lifted.stamp, &ordered.plan, None);
    let judged = mesh.judge(&agent, again);
    assert!(
        matches!(judged, Err(Objection::UnprovenOrder(_))),
        "{judged:?}"
    );
}
