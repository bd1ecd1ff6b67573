#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use proptest::prelude::*;

/// A load with a mean of 10 that wanders by a tenth, from a seed.
fn loads(seed: u64, minutes: usize) -> Vec<f64> {
    let mut state = seed | 1;
    let mut uniform = move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1u64 << 53) as f64
    };

    (0..minutes).map(|_| 9.0 + 2.0 * uniform()).collect()
}

fn judge(expectation: &mut Expectation, loads: &[f64]) -> Vec<Option<Judgement>> {
    loads
        .iter()
        .map(|load| expectation.observe(*load, 10.0, None))
        .collect()
}

fn unusual(judgements: &[Option<Judgement>]) -> usize {
    judgements
        .iter()
        .flatten()
        .filter(|judgement| judgement.is_unusual)
        .count()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_unit_does_not_matter(seed in any::<u64>(), power in -60i32..60, start in 100usize..200) {
        let mut loads = loads(seed, 240);
        for load in &mut loads[start..] {
            *load *= 3.0;
        }

        let unit = 2f64.powi(power);
        let mut plain = Expectation::default();
        let mut scaled = Expectation::default();

        for load in loads {
            let before = plain.observe(load, 10.0, Some(9.5));
            let after = scaled.observe(load * unit, 10.0 * unit, Some(9.5 * unit));
            prop_assert_eq!(
                before.map(|it| it.is_unusual),
                after.map(|it| it.is_unusual)
            );

            prop_assert_eq!(
                before.map(|it| it.expected * unit),
                after.map(|it| it.expected)
            );
        }
    }

    #[test]
    fn a_steady_rate_is_expected_and_never_unusual(rate in 1e-9f64..1e12) {
        let mut expectation = Expectation::default();
        for _ in 0..200 {
            let judgement = expectation.observe(rate, rate, Some(rate));
            prop_assert!(judgement.is_none_or(|it| !it.is_unusual
                && it.expected >= 0.999 * rate
                && it.expected <= 1.001 * rate));
        }
    }

    #[test]
    fn three_times_the_load_is_unusual_within_ten_minutes(seed in any::<u64>()) {
        let mut expectation = Expectation::default();
        let loads = loads(seed, 200);
        prop_assert_eq!(unusual(&judge(&mut expectation, &loads)), 0);
        let spike: Vec<f64> = loads[..10].iter().map(|load| 3.0 * load).collect();
        prop_assert!(unusual(&judge(&mut expectation, &spike)) > 0);
    }

    #[test]
    fn a_drifting_load_is_compared_with_its_recent_level(
        seed in any::<u64>(),
        start in 2_000usize..2_400,
    ) {
        let wave =
            |minute: usize| (0.4 * (minute as f64 * std::f64::consts::TAU / 400.0).sin()).exp();
        let loads: Vec<f64> = loads(seed, start + 10)
            .iter()
            .enumerate()
            .map(|(minute, load)| load * wave(minute))
            .collect();
        let mut expectation = Expectation::default();

        prop_assert_eq!(unusual(&judge(&mut expectation, &loads[..start])), 0);
        prop_assert!(expectation.errors[0] < expectation.errors[1]);

        let spike: Vec<f64> = loads[start..].iter().map(|load| 3.0 * load).collect();
        prop_assert!(unusual(&judge(&mut expectation, &spike)) > 0);
    }

    #[test]
    fn a_burst_of_five_minutes_is_never_unusual(seed in any::<u64>(), factor in 1f64..1e6) {
        let mut expectation = Expectation::default();
        let mut loads = loads(seed, 1_500);
        for load in &mut loads[1_440..1_445] {
            *load *= factor;
        }
        prop_assert_eq!(unusual(&judge(&mut expectation, &loads)), 0);
    }

    #[test]
    fn any_rates_are_accepted_in_bounded_memory(
        rates in proptest::collection::vec(-1e14f64..1e14, 300),
        level in -1e14f64..1e14,
    ) {
        let mut expectation = Expectation::default();
        for rate in rates {
            expectation.observe(rate, level, Some(-level));
        }
        prop_assert!(
            expectation
                .errors
                .iter()
                .all(|error| (0.0..=ERROR_MAX).contains(error))
        );

        prop_assert!((0.0..=DEVIATION_MAX).contains(&expectation.deviation));
        prop_assert!(expectation.rates.len() <= 2 * WINDOW && expectation.earlier.len() <= EARLIER);
    }
}

#[test]
fn nothing_is_expected_of_a_silent_stream() {
    let mut expectation = Expectation::default();
    assert!((0..300).all(|_| expectation.observe(0.0, 0.0, None).is_none()));
}

#[test]
fn a_rise_that_undoes_a_fall_is_not_unusual() {
    let mut loads = loads(5, 400);
    for load in &mut loads[200..350] {
        *load *= 0.01;
    }

    // The level has followed the fall.
    let mut expectation = Expectation::default();
    let judgements: Vec<_> = loads
        .iter()
        .map(|load| expectation.observe(*load, 0.1, None))
        .collect();

    assert_eq!(unusual(&judgements), 0);
}

#[test]
fn a_bursty_stream_is_compared_with_its_level() {
    // A third of the minutes have all the load.
    let bursts = |loads: Vec<f64>| {
        loads
            .into_iter()
            .map(|load| if load > 10.3 { 10.0 * 20.0 / 7.0 } else { 0.0 })
    };
    let mut expectation = Expectation::default();
    let loads: Vec<f64> = bursts(loads(3, 3_000)).collect();

    assert_eq!(unusual(&judge(&mut expectation, &loads)), 0);
    assert!(expectation.errors[1] < expectation.errors[0]);
}
