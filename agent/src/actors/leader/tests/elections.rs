//! Elections: one leader, its successor, and ballots that no acceptor promised.

use super::*;

#[tokio::test]
async fn all_agents_learn_the_leaders_plan_and_a_successor_keeps_it() {
    let mesh = Mesh::start().await;
    let first = mesh.leader().await;
    let plan = mesh.plan(|plan| plan.plan.regions.len() == 3).await;

    assert!(
        plan.plan
            .regions
            .values()
            .all(|region| region.weight_bp > 0),
        "{plan:?}"
    );

    mesh.set_verdict("eu-west-1", Condition::Failed);
    let failed: RegionName = "eu-west-1".parse().unwrap();
    let moved = mesh
        .plan(|plan| plan.plan.regions[&failed].weight_bp == 0)
        .await;

    assert!(moved.stamp > plan.stamp);

    // A leader in the failed region steps down; the one elected then is killed.
    let leader = mesh.leader().await;
    mesh.kill(&leader).await;

    let second = mesh.leader().await;
    assert_ne!(leader, second);

    let kept = mesh
        .plan(|plan| plan.stamp.ballot.agent.region == second)
        .await;
    assert_eq!(
        kept.plan.regions[&failed].weight_bp, 0,
        "first leader {first}"
    );

    assert!(kept.stamp > moved.stamp);

    // After its return it follows, and has the plan from its disk or its peers.
    mesh.spawn(&leader).await;
    assert_eq!(mesh.leader().await, second);
    mesh.plan(|plan| plan.stamp >= kept.stamp).await;
}

#[tokio::test]
async fn a_leader_without_a_majority_steps_down_and_keeps_its_plan() {
    let mesh = Mesh::start().await;
    mesh.plan(|_| true).await;

    let leader = mesh.leader().await;
    mesh.cut_off_others(&leader);
    let cut_off = &mesh.agents[&leader].snapshots;
    eventually("the leader steps down", || {
        (!cut_off.leader.borrow().is_self).then_some(())
    })
    .await;

    assert!(cut_off.plan.borrow().is_some());
}

#[tokio::test]
async fn no_published_ballot_ends_elections() {
    let mesh = Mesh::start().await;
    mesh.plan(|_| true).await;

    let leader = mesh.leader().await;
    let thief = mesh.agents[&leader].id.clone();
    let last = Ballot {
        number: u64::MAX,
        agent: thief.clone(),
        boot: 7,
    };
    let status = LeaderStatus {
        leading: Some(last.clone()),
        highest: Some(last.clone()),
    };

    let others: Vec<&LeaderArguments> = mesh
        .agents
        .values()
        .filter(|agent| agent.id != thief)
        .collect();

    mesh.kill(&leader).await;
    for agent in &others {
        // The board still shows its agent alive.
        publish_to(
            &agent.snapshots,
            &thief,
            &StatusEntry::Leader(status.clone()),
        );
        let actor = mesh.network.actors.lock()[&agent.id.region].clone();
        let prepare = AcceptorRequest::Prepare(last.clone());
        let asked = actor.call(
            |reply| LeaderMessage::Acceptor(prepare, reply),
            Some(Duration::from_secs(20)),
        );
        let answer = asked.await.unwrap().unwrap().unwrap();

        assert!(
            matches!(answer.reply, AcceptorReply::TooFar(_)),
            "{answer:?}"
        );
    }

    let next = mesh.leader().await;
    assert_ne!(next, leader);
    mesh.plan(|plan| plan.stamp.ballot.agent.region == next)
        .await;

    for agent in others {
        eventually("the claim is counted", || {
            (agent.refusals.count(reason::BALLOT_TOO_FAR) > 0).then_some(())
        })
        .await;
    }
}
