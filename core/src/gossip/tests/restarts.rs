//! Crashes, restarts and deaths.

use super::world::*;
use super::*;

#[test]
fn a_killed_agent_is_listed_as_dead_and_its_entries_stay() {
    let mut world = World::star(5);
    let id = world.nodes[3].id.clone();
    world.publish(3, serving(3));
    world.all_alive();
    world.all_see(|view| has(view, &id, &serving(3)));
    world.crash(3);

    let took = world.all_see(|view| !is_alive(view, &id));
    println!("shown dead after {took:?}");
    assert!(took < Duration::from_secs(4), "{took:?}");
    assert!(has(world.view(4), &id, &serving(3)));
    assert_eq!(world.nodes[4].members_alive, 4);
}

#[test]
fn a_lost_connection_marks_no_agent_dead() {
    let mut world = World::star(5);
    world.link(1, 2, true);
    world.all_alive();
    world.link(0, 1, false);
    world.run(Duration::from_secs(10));

    for node in &world.nodes[..3] {
        assert!(
            is_alive(&node.view, &world.nodes[1].id) && is_alive(&node.view, &world.nodes[0].id),
            "{}",
            node.id
        );
    }
}

#[test]
fn a_restarted_part_continues_with_its_board_and_peers_notice_nothing() {
    let mut world = World::star(5);
    let ids: Vec<_> = world.nodes.iter().map(|node| node.id.clone()).collect();
    world.publish(2, serving(1));
    world.all_alive();
    world.all_see(|view| has(view, &ids[2], &serving(1)));

    let before = world.nodes[2].gossip.board.digest();
    let generation = world.nodes[2].gossip.generation();
    world.crash(2);
    world.run(Duration::from_millis(100));
    world.start(2);
    assert_eq!(world.nodes[2].gossip.board.digest(), before);
    assert!(world.nodes[2].gossip.generation() > generation);

    for _ in 0..50 {
        world.run(Duration::from_millis(100));
        assert!(is_alive(world.view(0), &ids[2]));
        assert!(
            ids.iter().all(|id| is_alive(world.view(2), id)),
            "it forgot who is alive"
        );
    }

    world.publish(2, serving(2));
    world.all_see(|view| has(view, &ids[2], &serving(2)));
}

#[test]
fn a_restarted_process_replaces_its_entries() {
    let mut world = World::star(5);
    let id = world.nodes[2].id.clone();
    let leader = StatusEntry::Leader(LeaderStatus::default());
    world.publish(2, serving(1));
    world.publish(2, leader.clone());
    world.all_alive();
    world.all_see(|view| has(view, &id, &leader));

    // Its clock was even set back.
    world.replace(2, 500);
    world.publish(2, serving(9));

    world.all_see(|view| has(view, &id, &serving(9)) && is_alive(view, &id));
    assert!(!has(world.view(4), &id, &leader));
}

#[test]
fn an_agent_dead_for_an_hour_is_forgotten_everywhere() {
    let mut world = World::star(3);
    let id = world.nodes[2].id.clone();
    world.all_alive();
    world.crash(2);
    world.run(liveness::FORGET_AFTER - Duration::from_secs(30));
    assert!(world.view(0).agents.contains_key(&id));

    world.run(Duration::from_secs(90));
    world.all_see(|view| !view.agents.contains_key(&id));
}
