//! Agents that restart with a plan on disk.

use super::*;

/// An agent of the mesh as a new process: with its data directory, an empty board and no
/// connection.
async fn restarted(mesh: &Mesh) -> (LeaderArguments, Arc<CommittedPlan>) {
    let plan = mesh.plan(|_| true).await;
    let known = mesh.agents.values().next().unwrap();
    let dir = &known.config.data_dir;

    eventually("the plan is on disk", || {
        load_committed_plan(dir)
            .ok()
            .flatten()
            .filter(|kept| kept.stamp >= plan.stamp)
    })
    .await;

    let fresh = LeaderArguments {
        snapshots: Snapshots::default(),
        gossip: Address::vacant("gossip"),
        peers: Arc::new(Link {
            network: Network::default(),
        }),
        ..known.clone()
    };

    (fresh, plan)
}

#[tokio::test]
async fn a_restarted_agent_continues_with_its_last_plan_if_no_peer_is_reachable() {
    let mesh = Mesh::start().await;
    let (fresh, plan) = restarted(&mesh).await;
    let (actor, _) = Actor::spawn(None, LeaderActor, fresh.clone())
        .await
        .unwrap();

    assert!(
        fresh
            .snapshots
            .plan
            .borrow()
            .as_ref()
            .is_some_and(|known| known.stamp >= plan.stamp)
    );

    assert!(!*fresh.snapshots.is_current.borrow(), "no region was heard");
    eventually("it continues alone", || {
        fresh.snapshots.is_current.borrow().then_some(())
    })
    .await;

    actor.stop(None);
}
