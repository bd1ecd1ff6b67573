//! When endpoints are probed, and with what.

use super::*;

/// The default pace, with an inference on every 4th probe of b.
fn of_default_pace() -> Settings {
    let mut settings = settings();
    settings.policy.probes.interval_ms = 500;
    settings.policy.probes.confirm_interval_ms = 100;
    settings
        .endpoints
        .get_mut(&"b".parse().unwrap())
        .unwrap()
        .inference_every = Some(4);
    settings
}

fn inferences(world: &World) -> Vec<bool> {
    let of_b = world
        .probes
        .iter()
        .filter(|probe| probe.region.as_str() == "b");
    of_b.map(|probe| probe.is_inference).collect()
}

#[test]
fn first_probes_are_spread_over_one_interval_and_then_follow_at_the_regular_pace() {
    let mut world = World::new(of_default_pace());
    let began = world.now.monotonic;
    world.start();
    world.run_for(Duration::from_millis(499));

    let first: Vec<Duration> = world.probes.iter().map(|probe| probe.at - began).collect();
    assert_eq!(first.len(), 3);
    assert!(first[0] != first[1] && first[1] != first[2], "{first:?}");

    world.set("b", 0, Answer::Hangs);
    world.run_for(Duration::from_secs(10));
    for region in ["a", "b", "c"] {
        let of_region = world
            .probes
            .iter()
            .filter(|probe| probe.region.as_str() == region);
        assert!((20..=21).contains(&of_region.count()), "{region}");
    }
}

#[test]
fn an_inference_is_sent_on_every_nth_probe_and_after_a_failed_one() {
    let mut world = World::started(of_default_pace());
    world.run_for(Duration::from_millis(4_500));
    let expected = [true, false, false, false, true, false, false, false, true];
    assert_eq!(inferences(&world)[..9], expected);

    world.probes.clear();
    world.set("b", 0, Answer::InfersWrongly);
    world.run_for(Duration::from_secs(5));
    let seen = inferences(&world);
    let first = seen.iter().position(|is_inference| *is_inference).unwrap();
    assert!(
        seen[first..].iter().all(|is_inference| *is_inference),
        "{seen:?}"
    );
    world.until_observed("b", Condition::Failed);

    world.probes.clear();
    world.set("b", 0, Answer::Answers);
    world.run_for(Duration::from_secs(2));
    assert_eq!(inferences(&world)[..4], [true, false, false, false]);
}

#[test]
fn a_definite_failure_is_confirmed_at_the_quicker_pace() {
    let mut world = World::started(of_default_pace());
    world.until_observed("c", Condition::Healthy);
    world.set("c", 0, Answer::Refuses);
    world.probes.clear();
    world.until_observed("c", Condition::Failed);
    world.run_for(Duration::from_secs(1));

    let of_c: Vec<&Probe> = world
        .probes
        .iter()
        .filter(|probe| probe.region.as_str() == "c")
        .collect();
    let are_confirmations: Vec<bool> = of_c.iter().map(|probe| probe.is_confirmation).collect();
    assert_eq!(are_confirmations[..5], [false, true, true, true, false]);

    let pauses_ms: Vec<u128> = of_c
        .windows(2)
        .map(|pair| (pair[1].at - pair[0].at).as_millis())
        .collect();
    // A confirmation waits from the end of the probe before it, which takes 1 ms.
    assert_eq!(pauses_ms[..4], [101, 101, 101, 500]);
}

#[test]
fn results_of_unknown_regions_and_addresses_are_ignored() {
    let mut world = World::healthy();
    let now = world.now.monotonic;
    for (region, index) in [("zz", 0), ("b", 1)] {
        let before = world.notices.len();
        world.input(Input::ProbeFinished(FinishedProbe {
            region: region.parse().unwrap(),
            index,
            is_inference: false,
            result: ProbeResult::DefiniteFailure("connection refused".into()),
            started: now,
            ended: now,
        }));
        assert_eq!(world.notices.len(), before);
    }
}

#[test]
fn lost_probes_and_checks_are_asked_for_again_at_the_next_tick_and_are_no_results() {
    let mut settings = settings();
    settings.has_canaries = true;
    let mut world = World::started(settings);
    for region in ["a", "b", "c"] {
        world.until_observed(region, Condition::Healthy);
    }

    world.published.clear();
    world.loses = true;
    world.run_for(Duration::from_secs(2));
    world.loses = false;
    world.probes.clear();
    world.run_for(Duration::from_secs(5));

    for region in ["a", "b", "c"] {
        let probes = world.probes.iter();
        let of_region = probes.filter(|probe| probe.region.as_str() == region);
        let count = of_region.count();
        assert!((200..=255).contains(&count), "{region}: {count}");
    }
    let conditions = |seen: &Observations| -> Vec<Condition> {
        let regions = seen.regions.iter();
        regions.map(|observation| observation.condition).collect()
    };
    assert!(
        !world
            .published
            .iter()
            .flat_map(conditions)
            .any(|seen| seen == Condition::Failed)
    );
    let last = world.published.last().unwrap();
    assert_eq!(conditions(last), [Condition::Healthy; 3]);

    // The check of the canaries goes on.
    world.is_canary_reached = false;
    world.until_published(|seen| seen.regions[1].evidence.contains("abstains"));
}
