//! Elections: one leader, its successor, and ballots that no acceptor promised.

use super::mesh::{Mesh, name, ordered};
use crate::leader::{Notice, Refusal, RegisterNotice};
use regionmesh_protocol::{
    identity::RegionName,
    plan::{Order, OverrideKind},
    register::{
        acceptor::{AcceptorReply, AcceptorRequest},
        ballot::Ballot,
    },
    status::{LeaderStatus, StatusEntry, condition::Condition},
};

#[test]
fn all_agents_learn_the_leaders_plan_and_a_successor_keeps_it() {
    let mut mesh = Mesh::start();
    let first = mesh.leader();
    let plan = mesh.plan(|plan| plan.plan.regions.len() == 3);

    assert!(
        plan.plan
            .regions
            .values()
            .all(|region| region.weight_bp > 0),
        "{plan:?}"
    );

    let failed = name("eu-west-1");
    mesh.set_verdict(&failed, Condition::Failed);
    let moved = mesh.plan(|plan| plan.plan.regions[&failed].weight_bp == 0);

    assert!(moved.stamp > plan.stamp);

    // A leader in the failed region steps down; the one elected then is killed.
    let leader = mesh.leader();
    mesh.kill(&leader);

    let second = mesh.leader();
    assert_ne!(leader, second);

    let kept = mesh.plan(|plan| plan.stamp.ballot.agent.region == second);
    assert_eq!(
        kept.plan.regions[&failed].weight_bp, 0,
        "first leader {first}"
    );

    assert!(kept.stamp > moved.stamp);

    // After its return it follows, and has the plan from its disk or its peers.
    mesh.spawn(&leader, Some((*moved).clone()));
    assert_eq!(mesh.leader(), second);
    mesh.plan(|plan| plan.stamp >= kept.stamp);
}

/// A mesh, its leader's region, and another one.
fn with_a_leader() -> (Mesh, RegionName, RegionName) {
    let mut mesh = Mesh::start();
    let leader = mesh.leader();
    mesh.plan(|plan| plan.plan.regions.len() == 3);
    let other = mesh.others(&leader).remove(0);
    (mesh, leader, other)
}

/// The leader's region fails and its agent dies: its successor's first round of accepts commits a
/// plan that moves the region's traffic and keeps these orders.
fn assert_moved_in_one_round(mesh: &mut Mesh, failed: &RegionName, orders: &[Order]) {
    mesh.set_verdict(failed, Condition::Failed);
    mesh.kill(failed);

    let next = mesh.leader();
    let before = mesh.rounds(&next);
    let first = mesh.plan(|plan| plan.stamp.ballot.agent.region == next);

    assert_eq!(first.plan.regions[failed].weight_bp, 0, "{first:?}");
    assert_eq!(first.plan.orders, orders);
    assert_eq!(first.plan.overrides.len(), orders.len());
    for existing in &first.plan.overrides {
        let drained = existing.region.as_ref().unwrap();
        assert_eq!(first.plan.regions[drained].weight_bp, 0, "{first:?}");
    }

    let commits = mesh.count(&next, |notice| {
        matches!(
            notice,
            Notice::Register(RegisterNotice::Committed { stamp, .. }) if *stamp <= first.stamp
        )
    });
    assert_eq!((mesh.rounds(&next), before, commits), (1, 1, 1));
}

#[test]
fn a_new_leader_moves_traffic_in_its_first_round() {
    let (mut mesh, leader, _) = with_a_leader();
    assert_moved_in_one_round(&mut mesh, &leader, &[]);
}

#[test]
fn a_new_leader_moves_traffic_in_its_first_round_and_keeps_an_acknowledged_order() {
    let (mut mesh, leader, other) = with_a_leader();
    let committed = mesh.order(&leader, OverrideKind::Drain, other.as_str());
    let committed = committed.unwrap();
    mesh.plan(|plan| plan.stamp >= committed.stamp);

    assert_moved_in_one_round(&mut mesh, &leader, &committed.plan.orders);
}

#[test]
fn a_new_leader_moves_traffic_in_its_first_round_and_keeps_an_order_that_one_acceptor_accepted() {
    let (mut mesh, leader, other) = with_a_leader();
    mesh.begin_order(&leader, ordered(OverrideKind::Drain, other.as_str()));
    let accepted = mesh.until("an acceptor accepts the order", |mesh| {
        let (_, plan) = mesh.agents[&other].acceptor.accepted.clone()?;
        (!plan.orders.is_empty()).then_some(plan)
    });
    // The third acceptor is asked in vain, and no agent learns of a commit.
    mesh.cut_off_others(&other);
    mesh.kill(&leader);
    let known = mesh.agents[&other].plan.clone().unwrap();
    assert!(known.plan.orders.is_empty());
    let holders = mesh.running().filter(|agent| {
        let accepted = agent.acceptor.accepted.as_ref();
        accepted.is_some_and(|(_, plan)| !plan.orders.is_empty())
    });
    assert_eq!(holders.count(), 1);
    mesh.cut.clear();

    assert_moved_in_one_round(&mut mesh, &leader, &accepted.orders);
}

#[test]
fn a_leader_without_a_majority_steps_down_and_keeps_its_plan() {
    let mut mesh = Mesh::start();
    mesh.plan(|_| true);

    let leader = mesh.leader();
    mesh.cut_off_others(&leader);
    mesh.until("the leader steps down", |mesh| {
        (!mesh.agents[&leader].view.is_self).then_some(())
    });

    assert!(mesh.agents[&leader].plan.is_some());
}

#[test]
fn no_published_ballot_ends_elections() {
    let mut mesh = Mesh::start();
    mesh.plan(|_| true);

    let leader = mesh.leader();
    let others = mesh.others(&leader);
    let thief = mesh.agents[&leader].id.clone();
    let last = Ballot {
        number: u64::MAX,
        agent: thief.clone(),
        boot: 7,
    };
    let status = StatusEntry::Leader(LeaderStatus {
        leading: Some(last.clone()),
        highest: Some(last.clone()),
    });

    mesh.kill(&leader);
    for other in &others {
        // The board still shows its agent alive.
        mesh.publish_to(other, &thief, &status);
        let prepare = AcceptorRequest::Prepare(last.clone());
        let from = others.iter().find(|region| *region != other).unwrap();
        let answer = mesh.call(from, other, &prepare).unwrap();

        assert!(
            matches!(answer.reply, AcceptorReply::TooFar(_)),
            "{answer:?}"
        );
    }

    let next = mesh.leader();
    assert_ne!(next, leader);
    mesh.plan(|plan| plan.stamp.ballot.agent.region == next);

    for other in others {
        mesh.until("the claim is counted", |mesh| {
            mesh.agents[&other]
                .refusals
                .contains(&Refusal::BallotTooFar)
                .then_some(())
        });
    }
}
