#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use proptest::prelude::*;
use regionmesh_protocol::codec;

/// Numbers between -1 and 1, from a seed.
fn noise(seed: u64) -> impl FnMut() -> f64 {
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    }
}

fn scores(detector: &mut Detector, from: i64, values: &[f64]) -> Vec<f64> {
    values
        .iter()
        .zip(from..)
        .map(|(value, index)| detector.observe(index * 300, *value).score)
        .collect()
}

fn series(seed: u64, length: usize) -> Vec<f64> {
    let mut noise = noise(seed);
    (0..length)
        .map(|index| {
            100.0 + 30.0 * (index as f64 * std::f64::consts::TAU / 288.0).sin() + 5.0 * noise()
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_input_gives_scores_from_0_to_below_1(
        values in proptest::collection::vec(any::<f64>(), 400),
        gaps in proptest::collection::vec(-10i64..1_000_000, 400),
    ) {
        let mut detector = Detector::new(300).unwrap();
        let mut at_s = 0i64;
        for (value, gap) in values.iter().zip(gaps) {
            at_s += gap;
            let reading = detector.observe(at_s, *value);
            prop_assert!((0.0..1.0).contains(&reading.score));
            prop_assert!(reading.expected.is_finite() && reading.low <= reading.high);
        }
    }

    #[test]
    fn the_unit_does_not_matter(seed in any::<u64>(), power in -40i32..50) {
        let values = series(seed, 900);
        let scaled: Vec<f64> = values
            .iter()
            .map(|value| value * 2f64.powi(power))
            .collect();
        let mut detectors = [Detector::new(300).unwrap(), Detector::new(300).unwrap()];

        prop_assert_eq!(
            scores(&mut detectors[0], 0, &values),
            scores(&mut detectors[1], 0, &scaled)
        );
    }

    #[test]
    fn a_restart_forgets_nothing(seed in any::<u64>(), at in 1usize..900) {
        let values = series(seed, 900);
        let mut whole = Detector::new(300).unwrap();
        let expected = scores(&mut whole, 0, &values);
        let mut before = Detector::new(300).unwrap();
        let mut found = scores(&mut before, 0, &values[..at]);
        let mut after: Detector =
            codec::decode_document(&codec::encode_document(&before).unwrap()).unwrap();

        found.extend(scores(&mut after, at as i64, &values[at..]));
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn memory_is_bounded(interval in 1u32..=604_800) {
        let mut detector = Detector::new(interval).unwrap();
        let mut noise = noise(u64::from(interval));
        for index in 0..3_000 {
            detector.observe(index * i64::from(interval), 100.0 + noise());
        }

        // A second between points: an hour of them in the short mean.
        prop_assert!(detector.recent.len() <= 3_600);
        prop_assert!(serde_json::to_string(&detector).unwrap().len() < 200_000);
    }
}

#[test]
fn a_constant_never_scores_but_its_end_does() {
    for value in [0.0, 1e-9, 1.0, 1e15, -7.0] {
        let mut detector = Detector::new(300).unwrap();
        assert!(
            scores(&mut detector, 0, &[value; 2_000])
                .iter()
                .all(|score| *score < 1e-9),
            "{value}"
        );

        assert!(
            detector.observe(2_000 * 300, value * 2.0 + 1.0).is_alarm,
            "{value}"
        );
    }
}

#[test]
fn values_that_are_not_finite_change_nothing() {
    let values = series(3, 600);
    let mut clean = Detector::new(300).unwrap();
    scores(&mut clean, 0, &values);

    let mut dirty = clean.clone();
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e200] {
        assert_eq!(dirty.observe(600 * 300, value).score, 0.0);
    }
    assert_eq!(dirty, clean);
}

#[test]
fn a_spike_is_one_alarm() {
    let mut values = series(5, 3_000);
    for value in &mut values[2_500..2_530] {
        *value *= 3.0;
    }

    let mut detector = Detector::new(300).unwrap();
    let alarms: Vec<usize> = (0..values.len())
        .filter(|index| {
            detector
                .observe(*index as i64 * 300, values[*index])
                .is_alarm
        })
        .collect();

    assert_eq!(alarms, [2_500]);
}

#[test]
fn a_rise_by_small_records_scores_once() {
    let mut detector = Detector::new(300).unwrap();
    scores(&mut detector, 0, &series(5, 3_000));

    let rise: Vec<f64> = (0..12).map(|step| 115.0 + 2.0 * f64::from(step)).collect();
    let found = scores(&mut detector, 3_000, &rise);
    let records = RECORD_RATIO / (1.0 + RECORD_RATIO);

    assert_eq!(
        found.iter().filter(|score| **score >= records).count(),
        1,
        "{found:?}"
    );
}

#[test]
fn a_stream_that_is_always_noisy_stays_silent() {
    // Every 50th point is ten times as high, from the start.
    let mut noise = noise(9);
    let mut detector = Detector::new(300).unwrap();
    for index in 0..4_000i64 {
        let value = if index % 50 == 0 { 1_000.0 } else { 100.0 } + 5.0 * noise();
        assert!(
            !detector.observe(index * 300, value).is_alarm,
            "point {index}"
        );
    }
}

#[test]
fn a_value_usual_by_day_is_unusual_by_night() {
    let mut noise = noise(4);
    let mut detector = Detector::new(300).unwrap();
    let is_day = |index: i64| index % 288 >= 144;

    for index in 0..288 * 6 {
        detector.observe(
            index * 300,
            if is_day(index) { 300.0 } else { 100.0 } + 3.0 * noise(),
        );
    }

    let mut by_night = detector.clone();
    for index in 0..50 {
        by_night.observe((288 * 6 + index) * 300, 100.0 + 3.0 * noise());
    }

    let reading = by_night.expect((288 * 6 + 50) * 300);
    assert!(
        (90.0..110.0).contains(&reading.expected) && reading.high < 300.0,
        "{reading:?}"
    );

    assert!(by_night.observe((288 * 6 + 50) * 300, 300.0).is_alarm);
}

#[test]
fn intervals_beyond_a_week_are_refused() {
    assert_eq!(Detector::new(0).unwrap_err(), DetectorError::Interval(0));
    assert!(Detector::new(604_801).is_err());
    for interval in [1, 60, 300, 86_400, 604_800] {
        assert!(Detector::new(interval).is_ok());
    }
}
