//! What an idle mesh costs, and how fast news reaches all, by the number of agents.

use super::world::*;
use super::*;
use regionmesh_protocol::status::condition::{Condition, Observation};

/// Every agent of `regions` regions with `per_region` agents each, linked as agents link today:
/// within the region all with all, and each to one agent of every other region.
fn linked(regions: usize, per_region: usize) -> World {
    let count = regions * per_region;
    let names = (0..count).map(|index| format!("region-{}/node-{index}", index % regions));
    let mut world = World::new(7, names);
    let mut rng = StdRng::seed_from_u64(3);

    for a in 0..count {
        for b in (a + 1..count).filter(|b| b % regions == a % regions) {
            world.link(a, b, true);
        }
        for region in (0..regions).filter(|region| *region != a % regions) {
            let b = region + regions * rng.random_range(0..per_region);
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

/// Lets time pass while `observers` publish what idle agents publish: observations every two
/// seconds, counters every second.
fn idle(world: &mut World, observers: usize, seconds: u64) {
    let step = Duration::from_millis(2000) / u32::try_from(observers).unwrap();
    for second_pair in 0..seconds.div_ceil(2) {
        for index in 0..observers {
            world.publish(index, observations(Condition::Healthy, second_pair));
            world.publish((index + observers / 2) % observers, serving(second_pair));
            world.run(step);
        }
    }
}

/// Exchanges begun and their bytes, per agent and second.
fn cost(world: &mut World, observers: usize, seconds: u64) -> (f64, f64) {
    let before = world.traffic;
    let begin = world.now;
    idle(world, observers, seconds);

    let agents = world.nodes.len() as f64;
    let passed = (world.now - begin).as_secs_f64();
    let exchanges = (world.traffic.exchanges - before.exchanges) as f64;
    let bytes = (world.traffic.exchange_bytes - before.exchange_bytes) as f64;
    (exchanges / agents / passed, bytes / agents / passed)
}

#[test]
fn report() {
    let sizes = std::env::var("SIZES").unwrap_or("3x1,3x8".into());
    for size in sizes.split(',') {
        let (regions, per_region) = size.split_once('x').unwrap();
        let (regions, per_region) = (regions.parse().unwrap(), per_region.parse().unwrap());
        let agents: usize = regions * per_region;
        let mut world = linked(regions, per_region);
        let long = if agents > 100 { 2 } else { 20 };
        idle(&mut world, agents, long);
        let (exchanges, bytes) = cost(&mut world, agents, long);
        println!("{size}: all publish: {exchanges:.1} exchanges, {bytes:.0} bytes");
        let observers = (regions * per_region.min(3)).max(1);
        idle(&mut world, observers, long);
        let (exchanges, bytes) = cost(&mut world, observers, long);
        println!("{size}: {observers} publish: {exchanges:.1} exchanges, {bytes:.0} bytes");
    }
}
