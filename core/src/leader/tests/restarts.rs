//! Agents that restart with a plan on disk, and plans that were never committed.

use super::mesh::{Mesh, mesh_name};
use crate::{
    gossip::BoardView,
    leader::{Refusal, certificate::confirm},
    testing::Key,
};
use regionmesh_protocol::{
    identity::{AgentId, RegionName},
    plan::CommittedPlan,
    status::StatusEntry,
};
use std::sync::Arc;

/// A mesh, one of its followers, and the plan that all know. The follower is stopped; it is to
/// start as a new process with an empty board.
pub(super) fn stopped() -> (Mesh, RegionName, Arc<CommittedPlan>) {
    let mut mesh = Mesh::start();
    let leader = mesh.leader();
    let plan = mesh.plan(|_| true);

    let fresh = mesh.others(&leader).remove(0);
    mesh.kill(&fresh);

    let agent = mesh.agents.get_mut(&fresh).unwrap();
    agent.board = BoardView::default();
    agent.hears = false;
    (mesh, fresh, plan)
}

/// An agent that neither made this plan nor is of the region.
pub(super) fn follower(mesh: &Mesh, region: &RegionName, plan: &CommittedPlan) -> AgentId {
    let ids = mesh.agents.values().map(|agent| &agent.id);
    let mut others = ids.filter(|id| id.region != *region && **id != plan.stamp.ballot.agent);
    others.next().unwrap().clone()
}

/// A plan like `plan` that was never committed, ahead of all others.
pub(super) fn forged(plan: &CommittedPlan, number: u64) -> CommittedPlan {
    let mut forged = plan.clone();
    forged.stamp.ballot.number = number;
    forged.stamp.seq += 1_000;
    forged
        .plan
        .regions
        .values_mut()
        .for_each(|region| region.addresses = vec!["127.66.66.66".parse().unwrap()]);

    forged
}

#[test]
fn a_restarted_agent_continues_with_its_last_plan_if_no_peer_is_reachable() {
    let (mut mesh, fresh, plan) = stopped();
    mesh.cut.insert(fresh.clone());
    mesh.spawn(&fresh, Some((*plan).clone()));

    let agent = &mesh.agents[&fresh];
    assert!(
        agent
            .plan
            .as_ref()
            .is_some_and(|known| known.stamp >= plan.stamp)
    );

    assert!(!agent.is_current, "no region was heard");
    let begun_ms = mesh.elapsed_ms;
    mesh.until("it continues alone", |mesh| {
        mesh.agents[&fresh].is_current.then_some(())
    });

    assert!(mesh.elapsed_ms - begun_ms >= 3_000, "it waits for a region");
}

#[test]
fn a_plan_of_a_single_agent_is_refused_and_a_restarted_agent_waits_for_a_genuine_one() {
    let (mut mesh, fresh, plan) = stopped();
    let own = mesh.agents[&fresh].id.clone();

    let other = follower(&mesh, &fresh, &plan);

    mesh.publish_to(&fresh, &own, &StatusEntry::Plan((*plan).clone()));
    mesh.spawn(&fresh, Some((*plan).clone()));
    assert!(
        !mesh.agents[&fresh].is_current,
        "its own word is not another's"
    );

    let begun_ms = mesh.elapsed_ms;
    for number in [plan.stamp.ballot.number, plan.stamp.ballot.number + 1_000] {
        let claim = StatusEntry::Plan(forged(&plan, number));
        mesh.publish_to(&fresh, &other, &claim);

        // Reported once a while for each agent.
        mesh.until("the forged plan is refused", |mesh| {
            mesh.agents[&fresh]
                .refusals
                .contains(&Refusal::PlanNotCommitted)
                .then_some(())
        });
    }

    mesh.publish_to(&fresh, &other, &StatusEntry::Plan((*plan).clone()));
    mesh.until("the plan is current", |mesh| {
        mesh.agents[&fresh].is_current.then_some(())
    });

    assert!(mesh.elapsed_ms - begun_ms < 3_000, "a region was heard");
    let known = mesh.agents[&fresh].plan.clone().unwrap();
    assert!(
        known.stamp >= plan.stamp && known.stamp.seq < plan.stamp.seq + 1_000,
        "{known:?}"
    );
}

#[test]
fn an_uncommitted_plan_on_disk_is_replaced_by_that_of_the_register() {
    for is_signed in [false, true] {
        let (mut mesh, fresh, plan) = stopped();
        let own = mesh.agents[&fresh].id.clone();
        let saved = forged(&plan, u64::MAX);
        let confirmation = confirm(&mesh_name(), &own, &Key(own.clone(), 0), &saved).unwrap();

        mesh.spawn_with(&fresh, Some(saved), is_signed.then_some(confirmation));
        assert_eq!(mesh.agents[&fresh].plan.is_some(), is_signed);

        let known = mesh.until("the register's plan", |mesh| {
            mesh.agents[&fresh]
                .plan
                .clone()
                .filter(|known| known.stamp.ballot.number < u64::MAX)
        });

        assert!(known.stamp >= plan.stamp, "{known:?}");
    }
}
