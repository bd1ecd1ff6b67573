//! How entries reach the other agents.

use super::world::*;
use super::*;

#[test]
fn an_entry_reaches_all_agents_through_the_middle_node() {
    let mut world = World::star(5);
    let id = world.nodes[1].id.clone();
    world.all_alive();
    world.publish(1, serving(7));

    let took = world.all_see(|view| has(view, &id, &serving(7)));
    println!("to all, over two hops of 30 ms: {took:?}");
    assert!(took < Duration::from_millis(250), "{took:?}");

    let mut agents = world.view(4).agents.values();
    assert!(agents.all(|agent| agent.status_entries.contains_key(&StatusKind::Certificate)));

    // A direct peer learns of it from the request itself.
    world.run(Duration::from_secs(3));
    world.publish(1, serving(8));

    let took = world.run_until(Duration::from_secs(60), |world| {
        has(world.view(0), &id, &serving(8))
    });
    assert!(
        took.is_some_and(|took| took < Duration::from_millis(60)),
        "{took:?}"
    );
}

#[test]
fn entries_arrive_despite_packet_loss() {
    let mut world = World::star(5);
    let ids: Vec<_> = world.nodes.iter().map(|node| node.id.clone()).collect();
    world.lose_every = 3;
    for index in 0..5 {
        world.publish(index, serving(index as u64));
    }

    let took = world.all_see(|view| {
        ids.iter()
            .zip(0..)
            .all(|(id, value)| has(view, id, &serving(value)))
    });

    assert!(took < Duration::from_secs(20), "{took:?}");
    assert!(world.nodes[0].notices.iter().any(|notice| matches!(
        notice,
        Notice::ExchangeFailed { error, .. } if error.outcome == "broken"
    )));
}

#[test]
fn a_new_certificate_reaches_every_agent_with_all_entries() {
    let mut world = World::star(5);
    let id = world.nodes[1].id.clone();
    world.publish(1, serving(1));
    world.all_see(|view| has(view, &id, &serving(1)));
    world.nodes[1].keys.rotate();
    world.input(1, Input::CertificateReloaded);

    let certificate = StatusEntry::Certificate(world.nodes[1].keys.chain());
    world.all_see(|view| has(view, &id, &certificate) && has(view, &id, &serving(1)));
    let is_bad = |notice: &Notice| {
        let bad = Rejection::BadSignature;
        matches!(notice, Notice::EntriesRejected { reason, .. } if *reason == bad)
    };
    assert!(
        world
            .nodes
            .iter()
            .all(|node| !node.notices.iter().any(is_bad))
    );
}

#[test]
fn garbage_is_refused_reported_and_harmless() {
    let mut world = World::star(5);
    let from = world.nodes[1].id.clone();
    let id = world.nodes[0].id.clone();
    world.all_alive();

    let mut effects = Vec::new();
    let asked = Input::ExchangeAsked {
        from: from.clone(),
        request: vec![0xff; 1000],
        ticket: Ticket(7),
    };
    let now = crate::now::Now {
        monotonic: world.now,
        unix_ms: 0,
    };
    let mut rng = StdRng::seed_from_u64(1);
    world.nodes[0]
        .gossip
        .handle(asked, now, &mut rng, &mut effects);

    let answer = effects.iter().find_map(|effect| match effect {
        Effect::Reply(Ticket(7), answer) => Some(answer),
        _ => None,
    });
    assert!(matches!(
        ExchangeReply::decode(answer.unwrap()),
        Ok(ExchangeReply::Refused(_))
    ));
    assert!(
        effects
            .iter()
            .any(|effect| matches!(effect, Effect::Notice(Notice::ExchangeRefused { .. })))
    );

    world.input(
        0,
        Input::Datagram {
            from,
            payload: vec![0xff; 200],
        },
    );
    world.publish(0, serving(1));
    assert!(has(world.view(0), &id, &serving(1)));
    assert!(world.nodes[0].notices.iter().any(|notice| matches!(
        notice,
        Notice::DatagramRefused { error, .. } if error.as_str() == "malformed"
    )));
}

#[test]
fn an_exchange_within_the_region_shows_what_others_know_if_their_entries_arrive() {
    let names = ["a/1", "a/2", "b/1"].map(String::from);
    let mut world = World::new(1, names);
    world.link(0, 1, true);
    world.run(Duration::from_secs(5));
    assert_eq!(world.nodes[0].heard, None, "region b was never heard of");

    world.link(1, 2, true);
    world.publish(2, serving(1));
    world.run(Duration::from_secs(5));
    let heard = world.nodes[0].heard;
    assert!(heard > Some(world.begin + Duration::from_secs(5)));

    world.link(1, 2, false);
    world.run(Duration::from_secs(60));
    let last = world.nodes[0].heard.unwrap();
    assert!(last < world.begin + Duration::from_secs(15), "b is silent");
}

#[test]
fn a_quiet_mesh_stays_quiet() {
    let mut world = World::star(5);
    world.all_alive();
    world.run(Duration::from_secs(5));
    world.publish(1, StatusEntry::Links(Links::default()));
    world.publish(1, StatusEntry::Links(Links::default()));
    world.run(Duration::from_secs(5));

    let before = world.traffic.exchanges;
    world.run(Duration::from_secs(60));

    let exchanges = world.traffic.exchanges - before;
    // One per second and agent: anti-entropy, and nothing else.
    assert!(exchanges <= 5 * 61, "{exchanges} exchanges in a minute");
}
