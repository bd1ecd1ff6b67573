//! Agents that restart with a plan on disk, and plans that were never committed.

use super::*;

/// An agent of the mesh as a new process: with its data directory, an empty board and no
/// connection.
pub(super) async fn restarted(mesh: &Mesh) -> (LeaderArguments, Arc<CommittedPlan>) {
    let plan = mesh.plan(|_| true).await;
    let known = mesh.agents.values().next().unwrap();
    let dir = &known.config.data_dir;

    eventually("the plan is on disk", || {
        load_committed_plan(dir)
            .ok()
            .flatten()
            .filter(|kept| kept.committed.stamp >= plan.stamp)
    })
    .await;

    let fresh = LeaderArguments {
        snapshots: Snapshots::default(),
        gossip: Address::vacant("gossip"),
        peers: Arc::new(Link {
            from: known.id.region.clone(),
            network: Network::default(),
        }),
        ..known.clone()
    };

    (fresh, plan)
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

#[tokio::test]
async fn a_plan_of_a_single_agent_is_refused_and_a_restarted_agent_waits_for_a_genuine_one() {
    let mesh = Mesh::start().await;
    let (fresh, plan) = restarted(&mesh).await;
    let region = fresh.id.region.clone();
    let fresh = LeaderArguments {
        peers: Arc::new(Link {
            from: region,
            network: mesh.network.clone(),
        }),
        ..fresh
    };

    let is_other = |id: &&AgentId| id.region != fresh.id.region && **id != plan.stamp.ballot.agent;
    let other = mesh
        .agents
        .values()
        .map(|agent| &agent.id)
        .find(is_other)
        .unwrap()
        .clone();

    publish_to(
        &fresh.snapshots,
        &fresh.id,
        &StatusEntry::Plan((*plan).clone()),
    );
    let (actor, _) = Actor::spawn(None, LeaderActor, fresh.clone())
        .await
        .unwrap();
    assert!(
        !*fresh.snapshots.is_current.borrow(),
        "its own word is not another's"
    );

    for number in [plan.stamp.ballot.number, plan.stamp.ballot.number + 1_000] {
        publish_to(
            &fresh.snapshots,
            &other,
            &StatusEntry::Plan(forged(&plan, number)),
        );
        // Reported once a while for each agent.
        let is_refused = || (fresh.refusals.count(reason::PLAN_NOT_COMMITTED) > 0).then_some(());
        eventually("the forged plan is refused", is_refused).await;
    }

    publish_to(
        &fresh.snapshots,
        &other,
        &StatusEntry::Plan((*plan).clone()),
    );
    let mut is_current = fresh.snapshots.is_current.subscribe();
    is_current.wait_for(|&is_current| is_current).await.unwrap();

    let known = fresh.snapshots.plan.borrow().clone().unwrap();
    assert!(
        known.stamp >= plan.stamp && known.stamp.seq < plan.stamp.seq + 1_000,
        "{known:?}"
    );

    actor.stop(None);
}

#[tokio::test]
async fn an_uncommitted_plan_on_disk_is_replaced_by_that_of_the_register() {
    let mesh = Mesh::start().await;
    let (fresh, plan) = restarted(&mesh).await;
    let dir = tempfile::tempdir().unwrap();

    let saved = SavedPlan {
        committed: forged(&plan, u64::MAX),
        confirmation: None,
    };
    save_committed_plan(dir.path(), &saved).unwrap();
    let config = Config {
        data_dir: dir.path().into(),
        ..(*fresh.config).clone()
    };
    let link = Link {
        from: fresh.id.region.clone(),
        network: mesh.network.clone(),
    };

    let fresh = LeaderArguments {
        peers: Arc::new(link),
        config: Arc::new(config),
        ..fresh
    };
    let (actor, _) = Actor::spawn(None, LeaderActor, fresh.clone())
        .await
        .unwrap();
    let known = eventually("the register's plan", || {
        fresh
            .snapshots
            .plan
            .borrow()
            .clone()
            .filter(|known| known.stamp.ballot.number < u64::MAX)
    })
    .await;

    assert!(known.stamp >= plan.stamp, "{known:?}");
    actor.stop(None);
}
