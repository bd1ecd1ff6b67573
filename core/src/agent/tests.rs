mod settings;
mod world;

use super::*;
use regionmesh_protocol::{identity::RegionName, status::condition::Condition};
use settings::region;
use std::time::Duration;
use world::World;

const SECOND: Duration = Duration::from_secs(1);

/// The regions to which the plan that an agent knows sends traffic.
fn serving(world: &World, index: usize) -> Vec<String> {
    let plan = world.nodes[index].plan.as_ref();
    let shares = plan.map(|plan| plan.plan.shares()).unwrap_or_default();
    let served = shares.into_iter().filter(|(_, share)| *share > 0.0);
    served.map(|(name, _)| name.to_string()).collect()
}

fn all_serve(world: &World, regions: &[&str]) -> bool {
    (0..world.nodes.len())
        .filter(|index| world.nodes[*index].is_up)
        .all(|index| serving(world, index) == regions)
}

fn leader(world: &World) -> Option<RegionName> {
    let agents = world.nodes.iter().filter(|node| node.is_up);
    let ballots: Vec<_> = agents.map(|node| node.leader.ballot.as_ref()).collect();
    let first = ballots.first().copied().flatten()?;
    let is_agreed = ballots.iter().all(|ballot| *ballot == Some(first));
    is_agreed.then(|| first.agent.region.clone())
}

/// A mesh with a leader and a plan in which every region serves.
fn healthy(seed: u64, begin: Instant) -> World {
    let mut world = World::start(seed, begin);
    world.until("a first plan", 20 * SECOND, |world| {
        leader(world).is_some() && all_serve(world, &["a", "b", "c"])
    });
    world
}

#[test]
fn a_healthy_mesh_elects_a_leader_and_commits_a_first_plan() {
    let mut world = healthy(1, Instant::now());
    world.run(5 * SECOND);

    assert!(leader(&world).is_some());
    assert!(all_serve(&world, &["a", "b", "c"]));
    for node in &world.nodes {
        assert_eq!(node.plan, world.nodes[0].plan);
        assert!(node.is_current && node.has_catalogues);
        assert!(node.board.agents.values().all(|agent| agent.is_alive));
        assert!(
            node.verdicts
                .values()
                .all(|verdict| verdict.condition == Condition::Healthy)
        );
    }
}

#[test]
fn a_region_whose_probes_fail_leaves_the_plan_within_seconds_and_comes_back() {
    let mut world = healthy(2, Instant::now());
    let failing = world.index(&region("c"));

    world.nodes[failing].is_serving = false;
    let left = world.until("c leaves the plan", 10 * SECOND, |world| {
        all_serve(world, &["a", "b"])
    });
    assert!(left < 3 * SECOND, "left after {left:?}");

    world.run(5 * SECOND);
    assert!(all_serve(&world, &["a", "b"]));

    world.nodes[failing].is_serving = true;
    world.until("c comes back", 60 * SECOND, |world| {
        all_serve(world, &["a", "b", "c"])
    });
}

#[test]
fn the_same_seed_gives_the_same_sequence_of_effects() {
    let begin = Instant::now();
    let log = |seed| {
        let mut world = World::start(seed, begin);
        world.run(5 * SECOND);
        world.nodes[2].is_serving = false;
        world.run(5 * SECOND);
        world.log
    };

    let first = log(3);
    let again = log(3);
    let differing = first.iter().zip(&again).find(|(a, b)| a != b);
    assert_eq!(differing, None);
    assert_eq!(first.len(), again.len());

    let other = log(4);
    assert_ne!(first, other);
}

#[test]
fn another_agent_leads_when_the_leader_dies() {
    let mut world = healthy(5, Instant::now());
    let old = leader(&world).unwrap();
    let dead = world.index(&old);

    world.nodes[dead].is_up = false;
    world.until("another leader", 30 * SECOND, |world| {
        leader(world).is_some_and(|leader| leader != old)
    });
}

#[test]
fn a_restarted_caller_continues_with_the_same_plan() {
    let mut world = healthy(6, Instant::now());
    let leading = leader(&world).unwrap();
    let index = world.index(&leading);
    let before = world.nodes[index].plan.clone().unwrap();

    world.input(index, Input::Restarted);
    world.link(index);
    world.run(20 * SECOND);

    let after = world.nodes[index].plan.clone().unwrap();
    assert!(after.stamp >= before.stamp);
    assert!(leader(&world).is_some());
    assert!(all_serve(&world, &["a", "b", "c"]));
}

#[test]
fn a_stalled_process_acts_again_once_it_hears_another_region() {
    let mut world = healthy(7, Instant::now());
    world.nodes[0].is_current = false;
    world.input(0, Input::Resumed);

    // Without a contact it would wait for 3 s.
    let paused = world.until("contact", 2 * SECOND, |world| world.nodes[0].is_current);
    assert!(paused > Duration::ZERO);
}

#[test]
fn every_agent_learns_the_age_of_the_plan_from_its_peers() {
    let mut world = healthy(8, Instant::now());
    world.run(5 * SECOND);

    let now = world.now();
    let clocks = world.nodes.iter().map(|node| node.plan_clock.unwrap());
    let ages: Vec<u64> = clocks.map(|clock| clock.age(now).unwrap().age_ms).collect();
    let spread_ms = ages.iter().max().unwrap() - ages.iter().min().unwrap();
    assert!(spread_ms < 100, "{ages:?}");
}

#[test]
fn an_agent_of_a_quiet_mesh_wakes_less_than_60_times_a_second() {
    let mut world = healthy(9, Instant::now());
    world.log.clear();
    world.run(10 * SECOND);

    let wakes = world.log.iter().filter(|line| line.contains("WakeAt"));
    let count = wakes.count();
    assert!(count < 3 * 10 * 60, "{count} wakes of three agents in 10 s");
}
