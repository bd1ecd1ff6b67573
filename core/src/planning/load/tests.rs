use super::*;

fn agent(name: &str) -> AgentId {
    let (region, agent) = name.split_once('/').unwrap();
    AgentId {
        region: region.parse().unwrap(),
        agent: agent.parse().unwrap(),
    }
}

fn served(answered: u64, errors: u64) -> Served {
    Served {
        answered,
        errors,
        ..Served::default()
    }
}

fn observe(meter: &mut LoadMeter, counters: &[(&str, Served)], now_ms: u64) {
    let agents: Vec<(AgentId, Served)> = counters
        .iter()
        .map(|(name, served)| (agent(name), *served))
        .collect();

    meter.observe(
        agents.iter().map(|(agent, served)| (agent, *served)),
        now_ms,
    );
}

#[test]
fn rates_are_over_the_last_minute_and_outlive_a_failed_region_for_a_while() {
    let mut meter = LoadMeter::default();
    let region = "a".parse().unwrap();
    observe(&mut meter, &[("a/1", served(1_000_000, 0))], 0);
    assert_eq!(meter.rps(&region), None, "one sample is not a rate");
    for second in 1..=120u64 {
        observe(
            &mut meter,
            &[("a/1", served(1_000_000 + second * 50, second * 2))],
            second * 1_000,
        );
    }

    assert_eq!(meter.rps(&region), Some(52));
    for second in 121..150u64 {
        observe(&mut meter, &[], second * 1_000);
    }
    assert!((20..40).contains(&meter.rps(&region).unwrap()));
    for second in 150..300u64 {
        observe(&mut meter, &[], second * 1_000);
    }
    assert_eq!(meter.rps(&region), Some(0));
}

#[test]
fn a_restarted_agents_counters_resume_from_zero() {
    let mut meter = LoadMeter::default();
    let region = "a".parse().unwrap();
    observe(&mut meter, &[("a/1", served(5_000, 0))], 0);
    observe(&mut meter, &[("a/1", served(100, 0))], 5_000);
    assert_eq!(meter.rps(&region), Some(20));
}

#[test]
fn a_comparison_starts_with_its_step_and_is_missing_while_any_region_is_silent() {
    let mut meter = LoadMeter::default();
    let own = "a".parse().unwrap();
    let control = BTreeSet::from(["b".parse().unwrap()]);

    observe(
        &mut meter,
        &[("a/1", served(10, 0)), ("b/1", served(10, 0))],
        0,
    );

    observe(
        &mut meter,
        &[("a/1", served(20, 0)), ("b/1", served(500, 0))],
        1_000,
    );

    let Evidence::Measured(comparison) = meter.comparison(&own, 0, 7, &control) else {
        panic!("measured")
    };
    assert_eq!(
        (comparison.own, comparison.control),
        (Served::default(), Some(Served::default()))
    );

    observe(
        &mut meter,
        &[
            ("a/1", served(25, 1)),
            ("b/1", served(600, 2)),
            ("b/2", served(9_999, 0)),
        ],
        2_000,
    );

    let Evidence::Measured(comparison) = meter.comparison(&own, 0, 7, &control) else {
        panic!("measured")
    };
    assert_eq!(
        (comparison.own, comparison.control),
        (served(5, 1), Some(served(100, 2)))
    );

    let Evidence::Measured(comparison) = meter.comparison(&own, 1, 9, &control) else {
        panic!("measured")
    };
    assert_eq!(
        (comparison.step, comparison.since_ms, comparison.own),
        (1, 9, Served::default())
    );

    observe(&mut meter, &[("a/1", served(30, 1))], 3_000);
    assert_eq!(meter.comparison(&own, 1, 9, &control), Evidence::Missing);

    let no_control = BTreeSet::new();
    let Evidence::Measured(comparison) = meter.comparison(&own, 1, 9, &no_control) else {
        panic!("measured")
    };

    assert_eq!((comparison.own, comparison.control), (served(5, 0), None));
}
