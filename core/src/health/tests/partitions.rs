//! Partitions and pauses: what is over, or not known any more, takes no region out.

use super::*;

/// In a mesh with a fourth region.
fn four_regions() -> World {
    let mut settings = settings();
    let d = ("d".parse().unwrap(), EndpointSettings::default());
    settings.endpoints.extend([d]);
    let mut world = World::started(settings);

    for region in ["a", "b", "c", "d"] {
        world.until_observed(region, Condition::Healthy);
    }
    world
}

#[test]
fn what_an_agent_saw_healthy_outlives_it_until_a_leader_without_a_majority_gives_up() {
    let mut world = four_regions();
    let failed = [("a", Condition::Failed)];
    let healthy = [("a", Condition::Healthy)];
    world.hear("c/node-0", &failed, None, true, Duration::ZERO);
    world.hear("d/node-0", &healthy, None, true, Duration::ZERO);
    world.until_verdict("a", Condition::Healthy);

    // A partition takes d away.
    world.put(
        "d/node-0",
        &healthy,
        None,
        false,
        Duration::from_millis(1_400),
    );
    world.hear("c/node-0", &failed, None, true, Duration::ZERO);
    assert_eq!(verdict(&world, "a"), Condition::Healthy);
    world.run_for(Duration::from_millis(3_500));
    assert_eq!(verdict(&world, "a"), Condition::Healthy);

    world.hear("c/node-0", &failed, None, true, Duration::ZERO);
    world.run_for(Duration::from_millis(700));
    assert_eq!(verdict(&world, "a"), Condition::Failed);
}

#[test]
fn the_own_report_of_a_dead_agent_does_not_count() {
    let mut world = World::healthy();
    let says = [("b", Condition::Healthy)];
    let draining = Some(Condition::Draining);
    world.hear("c/node-0", &says, draining, true, Duration::ZERO);
    world.until_verdict("c", Condition::Draining);

    world.hear("c/node-0", &says, draining, false, Duration::ZERO);
    assert_eq!(verdict(&world, "c"), Condition::Healthy);
}

#[test]
fn a_process_that_was_suspended_has_no_opinion_until_it_has_probed_again() {
    let mut world = World::healthy();
    world.set("b", 0, Answer::Refuses);
    world.until_observed("b", Condition::Failed);
    world.until_verdict("b", Condition::Failed);

    world.input(Input::Resumed);
    assert_eq!(
        observed(world.published.last().unwrap(), "b"),
        Condition::Unknown
    );
    assert_eq!(verdict(&world, "b"), Condition::Unknown);
    world.until_verdict("b", Condition::Failed);
}

fn verdict(world: &World, region: &str) -> Condition {
    world.verdicts[&region.parse().unwrap()].condition
}
