//! Regions with more agents than observers.

use super::*;
use crate::rendezvous;
use regionmesh_protocol::identity::AgentId;

/// The six agents of region a, those that are chosen first.
fn agents() -> Vec<AgentId> {
    let ids: Vec<AgentId> = (0..6)
        .map(|node| format!("a/node-{node}").parse().unwrap())
        .collect();
    rendezvous::top(6, b"observers", &ids)
        .into_iter()
        .cloned()
        .collect()
}

/// The agent that takes over when the first observer dies. It knows the board.
fn fourth() -> World {
    let mut world = World::new(Settings {
        id: agents()[3].clone(),
        ..settings()
    });
    for agent in agents().iter().filter(|agent| **agent != agents()[3]) {
        let is_observer = agents()[..3].contains(agent);
        let says = ["a", "b", "c"].map(|region| (region, Condition::Healthy));
        let says = if is_observer { &says[..] } else { &[] };
        world.put(&agent.to_string(), says, None, true, Duration::ZERO);
    }

    world.start();
    world
}

#[test]
fn an_agent_that_does_not_observe_probes_nothing_and_has_no_opinion_but_judges() {
    let mut world = fourth();
    world.run_for(Duration::from_secs(3));
    assert!(world.probes.is_empty());
    assert!(world.published.len() > 1);
    assert!(world.published.iter().all(|seen| seen.regions.is_empty()));
    assert!(world.notices.contains(&Notice::Observes(false)));

    let verdict = world.until_verdict("b", Condition::Healthy);
    assert_eq!(verdict.votes, [("a".parse().unwrap(), Condition::Healthy)]);

    world.input(Input::SetDraining(true));
    world.until_published(|seen| seen.own == Some(Condition::Draining));
}

#[test]
fn agents_that_do_not_observe_do_not_dilute_their_regions_vote() {
    let mut world = fourth();
    let observers = &agents()[..2];
    for observer in observers {
        world.says(&observer.to_string(), "b", Condition::Failed);
    }

    let verdict = world.until_verdict("b", Condition::Failed);
    assert!(
        verdict.reason.contains("1 of 1 observing regions"),
        "{}",
        verdict.reason
    );
}

#[test]
fn the_own_view_of_an_agent_that_does_not_observe_is_that_of_its_regions_observers() {
    let mut world = fourth();
    let view = |world: &World| {
        let view = world.own_view[&"b".parse().unwrap()];
        (view.condition, view.is_definite)
    };
    assert_eq!(view(&world), (Condition::Healthy, false));

    // One sees it refuse, another silent, the third healthy.
    world.is_definite = true;
    world.says(&agents()[0].to_string(), "b", Condition::Failed);
    world.is_definite = false;
    world.says(&agents()[1].to_string(), "b", Condition::Failed);
    assert_eq!(view(&world), (Condition::Failed, false));

    world.is_definite = true;
    world.says(&agents()[1].to_string(), "b", Condition::Failed);
    assert_eq!(view(&world), (Condition::Failed, true));
}

#[test]
fn a_successor_probes_at_once() {
    let mut world = fourth();
    world.run_for(Duration::from_secs(3));
    let died = world.now.monotonic;
    world.put(&agents()[0].to_string(), &[], None, false, Duration::ZERO);
    world.hear(&agents()[1].to_string(), &[], None, true, Duration::ZERO);

    world.run_for(Duration::ZERO);
    assert_eq!(world.probes.len(), 3);
    assert!(world.probes.iter().all(|probe| probe.at == died));
    for region in ["a", "b", "c"] {
        world.until_observed(region, Condition::Healthy);
    }
    assert!(world.now.monotonic - died < Duration::from_millis(10));
}

#[test]
fn probing_ends_and_begins_again_with_the_role_and_never_twice_at_a_time() {
    let healthy = ["a", "b", "c"].map(|region| (region, Condition::Healthy));
    let first = agents()[0].clone();
    let mut world = fourth();

    world.run_for(Duration::from_millis(50));
    assert!(world.probes.is_empty());
    for _ in 0..5 {
        world.hear(&first.to_string(), &healthy, None, true, Duration::ZERO);
        world.run_for(Duration::from_millis(5));
        world.hear(&first.to_string(), &[], None, false, Duration::ZERO);
        world.run_for(Duration::from_millis(5));
    }

    // Every 20 ms, three endpoints.
    world.probes.clear();
    world.run_for(Duration::from_secs(1));
    let count = world.probes.len();
    assert!((150..=153).contains(&count), "{count}");

    world.hear(&first.to_string(), &healthy, None, true, Duration::ZERO);
    world.run_for(Duration::from_millis(20));
    world.probes.clear();
    world.run_for(Duration::from_secs(1));
    assert!(world.probes.is_empty());
}
