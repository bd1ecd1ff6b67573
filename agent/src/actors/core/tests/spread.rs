//! How entries reach the other agents.

use super::*;
use regionmesh_core::gossip::ExchangeReply;

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
async fn garbage_is_refused_counted_and_harmless() {
    let mesh = Mesh::star().await;
    mesh.all_alive().await;

    let node = &mesh.nodes[0];
    let from = mesh.nodes[1].id.clone();
    let asked = |reply| CoreMessage::Exchange {
        from: from.clone(),
        request: vec![0xff; 1000],
        reply,
    };
    let answer = node.home.core.call(asked, Duration::from_secs(5)).await;

    assert!(matches!(
        ExchangeReply::decode(&answer.unwrap()),
        Ok(ExchangeReply::Refused(_))
    ));

    assert_eq!(
        node.counter("regionmesh_gossip_exchanges_total", "refused_malformed"),
        1
    );

    let payload = vec![0xff; 200];
    let garbage = CoreMessage::Datagram { from, payload };
    node.home.core.cast(garbage).unwrap();

    node.publish(serving(1));
    node.sees(|view| has(view, &node.id, &serving(1))).await;
    assert_eq!(
        node.counter("regionmesh_gossip_datagrams_refused_total", "malformed"),
        1
    );
}
