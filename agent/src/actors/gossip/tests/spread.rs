//! How entries reach the other agents.

use super::*;

#[tokio::test(start_paused = true)]
async fn an_entry_reaches_all_agents_through_the_middle_node() {
    let mesh = Mesh::star().await;
    mesh.all_alive().await;
    mesh.nodes[1].publish(serving(7));

    let took = mesh
        .all_see(|view| has(view, &mesh.nodes[1].id, &serving(7)))
        .await;
    println!("to all, over two hops of 30 ms: {took:?}");
    assert!(took < Duration::from_millis(250), "{took:?}");

    let view = mesh.nodes[4].snapshots.board.borrow().clone();
    assert!(
        view.agents
            .values()
            .all(|agent| agent.status_entries.contains_key(&StatusKind::Certificate))
    );

    // A direct peer learns of it from the request itself.
    tokio::time::sleep(Duration::from_secs(3)).await;
    mesh.nodes[1].publish(serving(8));

    let took = mesh.nodes[0]
        .sees(|view| has(view, &mesh.nodes[1].id, &serving(8)))
        .await;
    assert!(took < Duration::from_millis(60), "{took:?}");
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

#[tokio::test(start_paused = true)]
async fn entries_arrive_despite_packet_loss() {
    let mesh = Mesh::star().await;
    mesh.wires.lock().lose_every = 3;
    for (index, node) in mesh.nodes.iter().enumerate() {
        node.publish(serving(index as u64));
    }

    let ids: Vec<_> = mesh.nodes.iter().map(|node| node.id.clone()).collect();
    let all = |view: &BoardView| {
        ids.iter()
            .zip(0..)
            .all(|(id, value)| has(view, id, &serving(value)))
    };
    let took = mesh.all_see(all).await;

    assert!(took < Duration::from_secs(20), "{took:?}");
    assert!(mesh.nodes[0].metric("regionmesh_gossip_exchanges_total", "broken") > 0);
}

#[tokio::test(start_paused = true)]
async fn a_new_certificate_reaches_every_agent_with_all_entries() {
    let mesh = Mesh::star().await;
    mesh.nodes[1].publish(serving(1));
    mesh.all_see(|view| has(view, &mesh.nodes[1].id, &serving(1)))
        .await;
    mesh.nodes[1].key.1.store(1, Ordering::Relaxed);
    mesh.nodes[1]
        .home
        .cast(GossipMessage::CertificateReloaded)
        .unwrap();

    let certificate = StatusEntry::Certificate(mesh.nodes[1].key.chain());
    let id = &mesh.nodes[1].id;
    mesh.all_see(|view| has(view, id, &certificate) && has(view, id, &serving(1)))
        .await;
    assert!(
        mesh.nodes.iter().all(|node| node
            .metric("regionmesh_gossip_entries_rejected_total", "bad_signature")
            == 0)
    );
}

#[tokio::test(start_paused = true)]
async fn garbage_is_refused_counted_and_harmless() {
    let mesh = Mesh::star().await;
    mesh.all_alive().await;

    let node = &mesh.nodes[0];
    let from = mesh.nodes[1].id.clone();
    let answer = node
        .home
        .call(
            |reply| GossipMessage::Exchange {
                from: from.clone(),
                request: vec![0xff; 1000],
                reply,
            },
            EXCHANGE_TIMEOUT,
        )
        .await
        .unwrap();

    assert!(matches!(
        ExchangeReply::decode(&answer),
        Ok(ExchangeReply::Refused(_))
    ));

    assert_eq!(
        node.metric("regionmesh_gossip_exchanges_total", "refused_malformed"),
        1
    );

    node.home
        .cast(GossipMessage::Datagram {
            from,
            payload: vec![0xff; 200],
        })
        .unwrap();

    node.publish(serving(1));
    node.sees(|view| has(view, &node.id, &serving(1))).await;
    assert_eq!(
        node.metric("regionmesh_gossip_datagrams_refused_total", "malformed"),
        1
    );
}

#[tokio::test(start_paused = true)]
async fn a_quiet_mesh_stays_quiet() {
    let mesh = Mesh::star().await;
    mesh.all_alive().await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    mesh.nodes[1].publish(StatusEntry::Links(Links::default()));
    mesh.nodes[1].publish(StatusEntry::Links(Links::default()));
    tokio::time::sleep(Duration::from_secs(5)).await;

    let before = mesh.wires.lock().exchanges;
    tokio::time::sleep(Duration::from_secs(60)).await;

    let exchanges = mesh.wires.lock().exchanges - before;
    // One per second and agent: anti-entropy, and nothing else.
    assert!(exchanges <= 5 * 61, "{exchanges} exchanges in a minute");
}
