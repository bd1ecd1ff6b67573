//! The health part under virtual time, with scripted probes and scripted boards.

mod addresses;
mod observing;
mod own_region;
mod partitions;
mod probing;
mod world;

use super::{judge::FRESH, *};
use regionmesh_protocol::status::Observations;
use world::{Answer, World, observed, settings};

#[test]
fn a_refusing_endpoint_is_observed_as_failed_and_recovers() {
    let mut world = World::healthy();
    world.set("b", 0, Answer::Refuses);
    world.until_observed("b", Condition::Failed);
    world.set("b", 0, Answer::Answers);
    world.until_observed("b", Condition::Healthy);
}

#[test]
fn a_silent_endpoint_is_suspect_first_and_delays_no_other_probe() {
    let mut world = World::healthy();
    world.set("b", 0, Answer::Hangs);
    world.until_observed("b", Condition::Suspect);
    world.until_observed("b", Condition::Failed);

    let seen = world.published.last().unwrap();
    assert_eq!(
        [observed(seen, "a"), observed(seen, "c")],
        [Condition::Healthy; 2]
    );
}

#[test]
fn a_verdict_takes_a_majority_of_the_observing_regions() {
    let mut world = World::healthy();
    world.set("b", 0, Answer::Refuses);
    world.until_verdict("b", Condition::Failed);
    world.says("c/node-0", "b", Condition::Healthy);

    world.until_verdict("b", Condition::Healthy);
    world.says("c/node-0", "b", Condition::Failed);

    let verdict = world.until_verdict("b", Condition::Failed);
    assert!(
        verdict
            .reason
            .contains("2 of 2 observing regions say failed"),
        "{}",
        verdict.reason
    );

    assert!(
        verdict.reason.contains("c failed: as scripted"),
        "{}",
        verdict.reason
    );
}

#[test]
fn dead_stale_and_unknown_observers_have_no_vote() {
    let mut world = World::healthy();
    world.until_verdict("b", Condition::Healthy);

    let failed = [("b", Condition::Failed)];
    world.hear("c/dead", &failed, None, false, Duration::ZERO);
    world.hear(
        "c/stale",
        &failed,
        None,
        true,
        FRESH + Duration::from_secs(1),
    );

    world.hear("zz/stranger", &failed, None, true, Duration::ZERO);
    world.hear("yy/stranger", &failed, None, true, Duration::ZERO);

    // Makes the change visible: when this verdict is there, all of the board was read.
    world.says("c/alive", "a", Condition::Failed);

    world.until_verdict("a", Condition::Failed);
    assert_eq!(
        world.until_verdict("b", Condition::Healthy).votes,
        [("a".parse().unwrap(), Condition::Healthy)]
    );
}

#[test]
fn an_observer_without_canaries_abstains_and_starts_over_when_one_answers() {
    let mut world = World::new(Settings {
        has_canaries: true,
        ..settings()
    });
    world.is_canary_reached = false;
    world.set("b", 0, Answer::Refuses);

    world.start();
    let seen = world.until_published(|_| true);
    assert!(
        seen.regions
            .iter()
            .all(|observation| observation.condition == Condition::Unknown)
    );

    world.is_canary_reached = true;
    world.until_observed("c", Condition::Healthy);
    world.until_observed("b", Condition::Failed);
    world.is_canary_reached = false;

    let seen = world.until_published(|seen| observed(seen, "c") == Condition::Unknown);
    assert_eq!(observed(&seen, "b"), Condition::Unknown);
    assert!(seen.regions[1].evidence.contains("abstains"), "{seen:?}");

    let reported: Vec<&Notice> = world
        .notices
        .iter()
        .filter(|notice| matches!(notice, Notice::CanariesLost | Notice::CanaryReached))
        .collect();
    assert_eq!(reported, [&Notice::CanaryReached, &Notice::CanariesLost]);
}

#[test]
fn a_restarted_part_abstains_first_and_keeps_draining() {
    let mut world = World::healthy();
    let before = world.until_verdict("b", Condition::Healthy);
    world.says("c/node-0", "b", Condition::Healthy);

    world.hear(
        "a/node-0",
        &[],
        Some(Condition::Draining),
        true,
        Duration::ZERO,
    );

    let already = world.published.len();
    world.restart();
    let first = &world.published[already];

    assert_eq!(first.own, Some(Condition::Draining));
    assert!(
        first
            .regions
            .iter()
            .all(|observation| observation.condition == Condition::Unknown),
        "{first:?}"
    );
    assert_eq!(
        world.until_verdict("b", Condition::Healthy).since_ms,
        before.since_ms
    );
}

#[test]
fn unchanged_observations_are_published_again() {
    let mut world = World::healthy();
    let already = world.published.len();
    let began = world.now.monotonic;

    world.until("published twice", |world| {
        world.published.len() >= already + 2
    });
    let took = world.now.monotonic - began;
    assert!(took <= 2 * (REPUBLISH + world::TICK), "{took:?}");
}

#[test]
fn published_times_follow_a_wall_clock_that_is_set() {
    const HOUR_MS: u64 = 3_600_000;
    let mut world = World::healthy();
    let before = world.until_verdict("b", Condition::Healthy);
    let observed_ms = world.published.last().unwrap().regions[1].since_ms;

    world.set_back_ms = HOUR_MS;
    world.until("moved", |world| {
        let since_ms = world.verdicts[&"b".parse().unwrap()].since_ms;
        since_ms == before.since_ms - HOUR_MS
    });

    let since_ms = |seen: &Observations| seen.regions[1].since_ms;
    world.until_published(|seen| since_ms(seen) == observed_ms - HOUR_MS);
}
