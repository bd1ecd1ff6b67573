//! Crashes, restarts and deaths.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_killed_agent_is_listed_as_dead_and_its_entries_stay() {
    let mesh = Mesh::star().await;
    mesh.nodes[3].publish(serving(3));
    mesh.all_alive().await;
    mesh.all_see(|view| has(view, &mesh.nodes[3].id, &serving(3)))
        .await;
    mesh.nodes[3].crash();

    let took = mesh
        .all_see(|view| !is_alive(view, &mesh.nodes[3].id))
        .await;
    println!("shown dead after {took:?}");
    assert!(took < Duration::from_secs(4), "{took:?}");
    assert!(has(
        &mesh.nodes[4].snapshots.board.borrow(),
        &mesh.nodes[3].id,
        &serving(3)
    ));

    assert_eq!(
        mesh.nodes[4].metric("regionmesh_gossip_members_alive", ""),
        4
    );
}

#[tokio::test(start_paused = true)]
async fn a_lost_connection_marks_no_agent_dead() {
    let mesh = Mesh::star().await;
    mesh.link(1, 2, true);
    mesh.all_alive().await;
    mesh.link(0, 1, false);
    tokio::time::sleep(Duration::from_secs(10)).await;

    for node in &mesh.nodes[..3] {
        let view = node.snapshots.board.borrow().clone();
        assert!(
            is_alive(&view, &mesh.nodes[1].id) && is_alive(&view, &mesh.nodes[0].id),
            "{}",
            node.id
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_crashed_actor_continues_with_its_board_and_peers_notice_nothing() {
    let mesh = Mesh::star().await;
    mesh.nodes[2].publish(serving(1));
    mesh.all_alive().await;
    mesh.all_see(|view| has(view, &mesh.nodes[2].id, &serving(1)))
        .await;

    let before = mesh.nodes[2].arguments.board.lock().digest();
    mesh.nodes[2].crash();
    tokio::time::sleep(Duration::from_millis(100)).await;
    mesh.nodes[2].start().await;
    assert_eq!(mesh.nodes[2].arguments.board.lock().digest(), before);

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
async fn a_restarted_process_replaces_its_entries() {
    let mut mesh = Mesh::star().await;
    mesh.nodes[2].publish(serving(1));
    mesh.nodes[2].publish(StatusEntry::Leader(LeaderStatus::default()));
    mesh.all_alive().await;
    mesh.all_see(|view| {
        has(
            view,
            &mesh.nodes[2].id,
            &StatusEntry::Leader(LeaderStatus::default()),
        )
    })
    .await;

    mesh.nodes[2].crash();
    // Its clock was even set back.
    mesh.nodes[2] = Mesh::node(2, 500, &mesh.wires);
    mesh.nodes[2].start().await;
    mesh.link(0, 2, true);
    mesh.nodes[2].publish(serving(9));

    let id = mesh.nodes[2].id.clone();
    mesh.all_see(|view| has(view, &id, &serving(9)) && is_alive(view, &id))
        .await;
    assert!(!has(
        &mesh.nodes[4].snapshots.board.borrow(),
        &id,
        &StatusEntry::Leader(LeaderStatus::default())
    ));
}

#[tokio::test(start_paused = true)]
async fn an_agent_dead_for_an_hour_is_forgotten_everywhere() {
    let mesh = Mesh::star_of(3).await;
    mesh.all_alive().await;
    mesh.nodes[2].crash();
    tokio::time::sleep(FORGET_AFTER - Duration::from_secs(30)).await;
    assert!(
        mesh.nodes[0]
            .snapshots
            .board
            .borrow()
            .agents
            .contains_key(&mesh.nodes[2].id)
    );

    tokio::time::sleep(Duration::from_secs(90)).await;
    mesh.all_see(|view| !view.agents.contains_key(&mesh.nodes[2].id))
        .await;
}
