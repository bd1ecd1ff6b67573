//! Crashes and restarts of the actor.

use super::*;
use regionmesh_protocol::status::entry::EntryVersion;

/// Every entry that a node holds.
fn versions(node: &Node) -> Vec<(AgentId, StatusKind, EntryVersion)> {
    let board = node.snapshots.board.borrow();
    let entries = board.agents.iter().flat_map(|(agent, view)| {
        view.status_entries
            .iter()
            .map(|(kind, seen)| (agent.clone(), *kind, seen.version))
    });

    entries.collect()
}

#[tokio::test(start_paused = true)]
async fn a_crashed_actor_continues_with_its_board_and_peers_notice_nothing() {
    let mesh = Mesh::star().await;
    mesh.nodes[2].publish(serving(1));
    mesh.all_alive().await;
    mesh.all_see(|view| has(view, &mesh.nodes[2].id, &serving(1)))
        .await;

    let before = versions(&mesh.nodes[2]);
    mesh.nodes[2].crash();
    tokio::time::sleep(Duration::from_millis(100)).await;
    mesh.nodes[2].start().await;
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
async fn a_connection_made_while_gossip_starts_is_used_immediately() {
    let mesh = Mesh::star().await;
    mesh.all_alive().await;

    let restarted = &mesh.nodes[4];
    restarted.crash();

    // The other side still has the connection to the previous actor, so it has no reason to send
    // first.
    let links = restarted.snapshots.links.send_replace(Arc::default());
    let (actor, _) = Actor::spawn(None, GossipActor, restarted.arguments.clone())
        .await
        .unwrap();

    // Started, but not yet registered: the message about this link can't reach it.
    restarted.snapshots.links.send_replace(links);
    restarted.home.occupy(actor);
    restarted.publish(serving(4));

    let took = mesh.nodes[0]
        .sees(|view| has(view, &restarted.id, &serving(4)))
        .await;
    assert!(took < Duration::from_millis(300), "{took:?}");
}
