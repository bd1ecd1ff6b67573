//! Crashes and restarts of the actors and of whole agents.

use super::*;
use crate::actors::core::tests::{
    network::Wires,
    world::{config, directory, kill},
};
use parking_lot::Mutex;
use regionmesh_protocol::{
    plan::{OrderAction, OverrideKind},
    status::entry::EntryVersion,
};
use regionmesh_store::load_committed_plan;

/// Every entry that a node holds, but for those that its core made since.
fn versions(node: &Node) -> Vec<(AgentId, StatusKind, EntryVersion)> {
    let board = node.snapshots.board.borrow();
    let entries = board.agents.iter().flat_map(|(agent, view)| {
        view.status_entries
            .iter()
            .map(|(kind, seen)| (agent.clone(), *kind, seen.version))
    });

    let is_own = |agent: &AgentId, kind: &StatusKind| {
        *agent == node.id && !matches!(kind, StatusKind::Serving | StatusKind::Certificate)
    };
    entries
        .filter(|(agent, kind, _)| !is_own(agent, kind))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_crashed_core_continues_with_its_board_and_peers_notice_nothing() {
    let mesh = Mesh::star().await;
    mesh.nodes[2].publish(serving(1));
    mesh.all_alive().await;
    mesh.all_see(|view| has(view, &mesh.nodes[2].id, &serving(1)))
        .await;

    kill(&mesh.nodes[2].home.core).await;
    let before = versions(&mesh.nodes[2]);
    tokio::time::sleep(Duration::from_millis(100)).await;
    mesh.nodes[2].start_core().await;
    assert_eq!(versions(&mesh.nodes[2]), before);

    let mut watched = mesh.nodes[0].snapshots.board.subscribe();
    for _ in 0..50 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(is_alive(&watched.borrow_and_update(), &mesh.nodes[2].id));

        let own = mesh.nodes[2].snapshots.board.borrow().clone();
        assert!(
            mesh.nodes.iter().all(|node| is_alive(&own, &node.id)),
            "it forgot who is alive"
        );
    }

    mesh.nodes[2].publish(serving(2));
    mesh.all_see(|view| has(view, &mesh.nodes[2].id, &serving(2)))
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_made_while_the_core_starts_is_used_immediately() {
    let mesh = Mesh::star().await;
    mesh.all_alive().await;

    let restarted = &mesh.nodes[4];
    kill(&restarted.home.core).await;

    // The other side still has the connection to the previous actor, so it has no reason to send
    // first.
    let links = restarted.snapshots.links.send_replace(Arc::default());
    let (actor, _) = Actor::spawn(None, CoreActor, restarted.core.clone())
        .await
        .unwrap();

    // Started, but not yet registered: the message about this link can't reach it.
    restarted.snapshots.links.send_replace(links);
    restarted.home.core.occupy(actor);
    restarted.publish(serving(4));

    let took = mesh.nodes[0]
        .sees(|view| has(view, &restarted.id, &serving(4)))
        .await;
    assert!(took < Duration::from_millis(300), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn exchanges_that_a_crashed_gossip_actor_lost_are_made_again() {
    let mesh = Mesh::star().await;
    mesh.all_alive().await;

    let node = &mesh.nodes[3];
    node.publish(serving(1));
    kill(&node.core.actors.gossip).await;
    node.publish(serving(2));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(node.counter("regionmesh_gossip_exchanges_total", "broken") > 0);

    node.start_gossip().await;
    mesh.all_see(|view| has(view, &node.id, &serving(2))).await;
    mesh.all_alive().await;
}

#[tokio::test]
async fn an_order_is_committed_after_every_dns_leader_actor_restarted() {
    let mesh = Mesh::full().await;
    mesh.leader().await;
    mesh.plan(|_| true).await;

    for node in &mesh.nodes {
        kill(&node.home.leader).await;
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    for node in &mesh.nodes {
        node.start_leader().await;
    }

    let leader = mesh.leader().await;
    let drain = OrderAction::Set(OverrideKind::Drain);
    let committed = mesh.order(&leader, drain, "eu-west-1").await.unwrap();
    mesh.plan(|plan| plan.stamp >= committed.stamp).await;
}

#[tokio::test]
async fn a_restarted_agent_continues_with_its_last_plan_if_no_peer_is_reachable() {
    let mesh = Mesh::full().await;
    let plan = mesh.plan(|_| true).await;
    let known = &mesh.nodes[0];
    eventually("the plan is on disk", || {
        load_committed_plan(known.data_dir())
            .ok()
            .flatten()
            .filter(|kept| kept.committed.stamp >= plan.stamp)
    })
    .await;

    // A new process: with its data directory, an empty board and no connection.
    let wires = Arc::new(Mutex::new(Wires::default()));
    let config = (*known.core.config).clone();
    let fresh = Node::new(config, &Script::default(), None, &wires);
    fresh.start().await;

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
}

#[tokio::test]
async fn a_stall_that_happened_while_the_core_was_down_is_noticed() {
    let (_dir, path) = directory();
    let wires = Arc::new(Mutex::new(Wires::default()));
    let config = config(&["a"], "a", "", &path);
    let node = Node::new(config, &Script::default(), None, &wires);
    node.start().await;
    eventually("a region alone is current", || {
        node.snapshots.is_current.borrow().then_some(())
    })
    .await;

    // What DNS does.
    kill(&node.home.core).await;
    node.snapshots.is_current.send_replace(false);
    node.snapshots.resumed.send_replace(Some(Instant::now()));

    node.start_core().await;
    eventually("it is current again", || {
        node.snapshots.is_current.borrow().then_some(())
    })
    .await;
}
