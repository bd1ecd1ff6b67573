//! Elections: one leader, its successor, and ballots that no acceptor promised.

use super::mesh::{Mesh, name};
use crate::leader::Refusal;
use regionmesh_protocol::{
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
