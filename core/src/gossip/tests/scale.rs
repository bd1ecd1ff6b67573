//! What an idle mesh costs, and how fast news reaches all, by the number of agents.

use super::world::*;
use super::*;
use regionmesh_protocol::status::condition::{Condition, Observation};

/// Agents of a region that hold links to other regions.
const GATEWAYS: usize = 3;

/// Every agent of `regions` regions with `per_region` agents each, linked as agents link: within
/// the region all with all, and each gateway to one of every other region.
fn linked(regions: usize, per_region: usize) -> World {
    let count = regions * per_region;
    let names = (0..count).map(|index| format!("region-{}/node-{index}", index % regions));
    let mut world = World::new(7, names);
    world.has_membership = false;
    let mut rng = StdRng::seed_from_u64(3);

    for a in 0..count {
        for b in (a + 1..count).filter(|b| b % regions == a % regions) {
            world.link(a, b, true);
        }
        let is_gateway = a / regions < GATEWAYS;
        for region in (0..regions).filter(|region| is_gateway && *region != a % regions) {
            let b = region + regions * rng.random_range(0..per_region.min(GATEWAYS));
            world.link(a, b, true);
        }
    }

    world
}

/// What an observer of three regions publishes.
fn observations(condition: Condition, round_trip_us: u64) -> StatusEntry {
    let seen = (0..3).map(|index| Observation {
        region: format!("region-{index}").parse().unwrap(),
        condition,
        is_definite: false,
        evidence: "200 in 12 ms from 10.0.0.1".into(),
        since_ms: 1_700_000_000_000,
        round_trip_us: Some(round_trip_us),
        addresses: Vec::new(),
    });

    StatusEntry::Observations(Observations {
        regions: seen.collect(),
        own: Some(Condition::Healthy),
        own_address: None,
    })
}

/// Lets time pass while `publishers` publish what idle agents publish: observations and counters,
/// each every two seconds.
fn idle(world: &mut World, publishers: usize, seconds: u64) {
    let step = Duration::from_secs(2) / u32::try_from(publishers).unwrap();
    for round in 0..seconds / 2 {
        for index in 0..publishers {
            world.publish(index, observations(Condition::Healthy, round));
            world.publish((index + publishers / 2) % publishers, serving(round));
            world.run(step);
        }
    }
}

/// An idle mesh that was started some seconds ago.
fn settled(regions: usize, per_region: usize) -> World {
    let mut world = linked(regions, per_region);
    let count = world.nodes.len();
    idle(&mut world, count, 4);
    world
}

/// Exchanges begun and their bytes, per agent and second.
fn cost(world: &mut World, publishers: usize) -> (f64, f64) {
    let before = world.traffic;
    let begin = world.now;
    idle(world, publishers, 10);

    let per_agent =
        |count: u64| count as f64 / world.nodes.len() as f64 / (world.now - begin).as_secs_f64();
    (
        per_agent(world.traffic.exchanges - before.exchanges),
        per_agent(world.traffic.exchange_bytes - before.exchange_bytes),
    )
}

/// How long until all agents know what one publishes.
fn spread_time(world: &mut World, status_entry: StatusEntry) -> Duration {
    let id = world.nodes[1].id.clone();
    world.publish(1, status_entry.clone());
    world.all_see(|view| has(view, &id, &status_entry))
}

/// Measures and checks a mesh of three regions.
fn check(per_region: usize) {
    let mut world = settled(3, per_region);
    let agents = world.nodes.len();
    let (exchanges, bytes) = cost(&mut world, agents);
    let observers = 3 * per_region.min(GATEWAYS);
    let (exchanges_few, bytes_few) = cost(&mut world, observers);
    let urgent = spread_time(&mut world, observations(Condition::Failed, 1));
    let routine = spread_time(&mut world, observations(Condition::Failed, 2));

    println!(
        "{agents} agents, per agent and second: all publish: {exchanges:.1} exchanges, {bytes:.0} \
            bytes; {observers} publish: {exchanges_few:.1} exchanges, {bytes_few:.0} bytes; \
            urgent news reaches all in {urgent:?}, routine news in {routine:?}"
    );
    assert!(exchanges < 16.0 && exchanges_few < 13.0);
    assert!(urgent < Duration::from_millis(1200), "{urgent:?}");
    assert!(routine < Duration::from_secs(6), "{routine:?}");
}

#[test]
fn the_work_of_an_agent_does_not_grow_with_the_mesh() {
    for per_region in [1, 2, 8] {
        check(per_region);
    }
}

#[test]
#[ignore = "takes minutes; run it with --release"]
fn the_work_of_an_agent_is_the_same_among_hundreds() {
    for per_region in [20, 100] {
        check(per_region);
    }
}

#[test]
fn in_a_small_mesh_news_does_not_wait() {
    for per_region in [1, 2] {
        let mut world = settled(3, per_region);
        let mut times = Vec::new();
        for round in 0..20 {
            times.push(spread_time(&mut world, serving(1000 + round)));
            world.run(Duration::from_millis(330));
        }

        // As long as a change waits for others, and one way; with two agents per region, one more
        // hop within the region. Or after the exchange under way.
        let hop = Duration::from_millis(10) + Duration::from_millis(1);
        let hops = u32::try_from(per_region).unwrap();
        times.sort();
        assert!(times[10] <= hop * hops + ONE_WAY, "{times:?}");
        assert!(times[19] <= hop * hops + ONE_WAY * 3, "{times:?}");
    }
}
