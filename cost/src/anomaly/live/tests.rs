#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use proptest::prelude::*;
use regionmesh_protocol::codec;

const DAY: i64 = 1_440;

fn watch() -> LiveAnomalies {
    LiveAnomalies::new(
        Scope::from([("region".to_owned(), "eu-west-1".to_owned())]),
        Currency::USD,
    )
    .unwrap()
}

/// Money per hour: a day's wave, with a ripple that depends on the minute.
fn rate(minute: i64) -> f64 {
    let wave = (minute as f64 * std::f64::consts::TAU / DAY as f64).sin();
    10.0 + 3.0 * wave + ((minute * 7_919) % 101) as f64 / 100.0
}

fn feed(watch: &mut LiveAnomalies, minute: i64, gpu: f64, disk: f64) -> Option<LiveChange> {
    let parts =
        [("gpu", gpu), ("disk", disk)].map(|(part, rate)| (part.to_owned(), amount_of(rate)));
    watch.observe(minute * 60, &BTreeMap::from(parts))
}

/// What happens when the GPUs cost `factor` times as much from `from` to `to`.
fn changes(factor: f64, from: i64, to: i64, end: i64) -> Vec<(i64, LiveChange)> {
    let mut watch = watch();
    let cost = |minute: i64| {
        rate(minute)
            * if (from..to).contains(&minute) {
                factor
            } else {
                1.0
            }
    };

    (0..end)
        .filter_map(|minute| Some((minute, feed(&mut watch, minute, cost(minute), 1.0)?)))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn a_spike_opens_within_15_minutes_and_closes_once(
        start in 2 * DAY..4 * DAY,
        length in 20i64..300,
    ) {
        let changes = changes(3.0, start, start + length, start + length + 200);
        let opened: Vec<i64> = changes
            .iter()
            .filter(|(_, change)| matches!(change, LiveChange::Opened(_)))
            .map(|(at, _)| *at)
            .collect();

        prop_assert_eq!(opened.len(), 1);
        prop_assert!(
            opened[0] - start < 15,
            "opened after {} min",
            opened[0] - start + 1
        );

        let LiveChange::Closed(anomaly) = &changes.last().unwrap().1 else {
            panic!("still open")
        };
        prop_assert_eq!(anomaly.since.unix_timestamp(), start * 60);
        prop_assert!(
            (anomaly.until.unwrap().unix_timestamp() - (start + length) * 60).abs() <= 120
        );

        let sum: Amount = anomaly.contributors.iter().map(|part| part.excess).sum();
        prop_assert_eq!(sum, anomaly.excess.amount);
        prop_assert_eq!(&anomaly.contributors[0].part, "gpu");
    }

    #[test]
    fn a_restart_forgets_nothing(at in 1i64..600) {
        let start = 2 * DAY + 300;
        let cost = |minute: i64| rate(minute) * if minute >= start { 3.0 } else { 1.0 };
        let mut whole = watch();

        for minute in 0..2 * DAY + at {
            feed(&mut whole, minute, cost(minute), 1.0);
        }

        let mut restored: LiveAnomalies =
            codec::decode_document(&codec::encode_document(&whole).unwrap()).unwrap();
        for minute in 2 * DAY + at..2 * DAY + 700 {
            prop_assert_eq!(
                feed(&mut restored, minute, cost(minute), 1.0),
                feed(&mut whole, minute, cost(minute), 1.0)
            );
        }

        prop_assert_eq!(restored, whole);
    }
}

/// When incidents open, given rates by minute.
fn opened(rates: impl Iterator<Item = f64>) -> Vec<i64> {
    let mut watch = watch();
    let opens = |(minute, rate): (i64, f64)| {
        matches!(
            feed(&mut watch, minute, rate, 0.0),
            Some(LiveChange::Opened(_))
        )
        .then_some(minute)
    };

    (0..).zip(rates).filter_map(opens).collect()
}

/// Two of five minutes, drawn without order, have all the load.
fn bursty(minute: i64) -> f64 {
    let drawn = ((minute / 5) as u64)
        .wrapping_add(1)
        .wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let drawn = (drawn ^ (drawn >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 32;

    if (minute as u64 + drawn) % 5 < 2 {
        20.0
    } else {
        0.0
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]

    #[test]
    fn the_unit_does_not_matter(start in 2 * DAY..3 * DAY, power in 1u32..30) {
        let unit = 2f64.powi(power as i32);
        let cost = |minute: i64| rate(minute) * if minute >= start { 3.0 } else { 1.0 };
        let plain = opened((0..start + 60).map(cost));

        prop_assert_eq!(plain.len(), 1);
        let mut watch = watch();
        let scaled = (0..start + 60).filter(|minute| {
            let rate = Amount(amount_of(cost(*minute)).0 * unit as i128);
            matches!(
                watch.observe(minute * 60, &BTreeMap::from([("gpu".to_owned(), rate)])),
                Some(LiveChange::Opened(_))
            )
        });

        prop_assert_eq!(scaled.collect::<Vec<_>>(), plain);
    }

    #[test]
    fn a_spike_of_a_bursty_stream_opens_within_15_minutes(start in 3 * DAY..4 * DAY) {
        let opened = opened(
            (0..start + 60).map(|minute| bursty(minute) * if minute >= start { 3.0 } else { 1.0 }),
        );
        prop_assert_eq!(opened.len(), 1);
        prop_assert!(
            (start..start + 15).contains(&opened[0]),
            "opened after {} min",
            opened[0] - start + 1
        );
    }

    #[test]
    fn a_spike_on_a_slow_day_opens_within_15_minutes(start in 3 * DAY + 60..4 * DAY) {
        let factor = |minute: i64| match minute {
            minute if minute >= start => 1.5,
            minute if minute >= 3 * DAY => 0.5,
            _ => 1.0,
        };
        let opened = opened((0..start + 60).map(|minute| rate(minute) * factor(minute)));

        prop_assert_eq!(opened.len(), 1);
        prop_assert!(
            (start..start + 15).contains(&opened[0]),
            "opened after {} min",
            opened[0] - start + 1
        );
    }
}

#[test]
fn a_quiet_stream_raises_no_anomaly() {
    for rate in [0.0, 1e-9, 3.0] {
        assert_eq!(
            opened((0..4 * DAY).map(|_| rate)),
            Vec::<i64>::new(),
            "{rate}"
        );
    }
}

#[test]
fn a_spike_does_not_hide_the_next() {
    let start = 3 * DAY;
    let is_spike = |minute: i64| (start..start + 60).contains(&minute) || minute >= start + 180;
    let opened = opened(
        (0..start + 240).map(|minute| rate(minute) * if is_spike(minute) { 3.0 } else { 1.0 }),
    );

    assert_eq!(opened.len(), 2, "{opened:?}");
}

#[test]
fn another_layout_is_refused() {
    let mut bytes = codec::encode_document(&watch()).unwrap();
    assert!(codec::decode_document::<LiveAnomalies>(&bytes).is_ok());
    bytes[0] = 1;

    let error = codec::decode_document::<LiveAnomalies>(&bytes)
        .unwrap_err()
        .to_string();
    assert!(error.contains("layout 1, expected 2"), "{error}");
}

#[test]
fn usual_days_raise_no_anomaly() {
    assert_eq!(changes(1.0, 0, 0, 14 * DAY), []);
}

#[test]
fn twice_the_rate_with_one_peak_is_not_an_anomaly() {
    let start = 3 * DAY;
    let mut watch = watch();
    for minute in 0..4 * DAY {
        let factor = match minute - start {
            0..120 if minute == start + 20 => 5.0,
            0..120 => 1.9,
            _ => 1.0,
        };

        assert_eq!(
            feed(&mut watch, minute, rate(minute) * factor, 0.0),
            None,
            "minute {minute}"
        );
    }
}

#[test]
fn an_outage_shorter_than_usual_ends_without_an_anomaly() {
    let mut watch = watch();
    for minute in 0..8 * DAY {
        let end = if minute < 7 * DAY { 780 } else { 690 };
        let is_out = minute > 2 * DAY && (600..end).contains(&(minute % DAY));
        assert_eq!(
            feed(
                &mut watch,
                minute,
                if is_out { 0.01 } else { rate(minute) },
                0.0
            ),
            None,
            "minute {minute}"
        );
    }
}

#[test]
fn a_burst_of_five_minutes_is_not_an_anomaly() {
    assert_eq!(changes(5.0, 3 * DAY, 3 * DAY + 5, 4 * DAY), []);
}

#[test]
fn a_level_that_lasts_a_day_becomes_usual() {
    let changes = changes(3.0, 3 * DAY, 30 * DAY, 8 * DAY);
    let opened = changes
        .iter()
        .filter(|(_, change)| matches!(change, LiveChange::Opened(_)))
        .count();

    assert_eq!(opened, 1);
    let LiveChange::Closed(anomaly) = &changes.last().unwrap().1 else {
        panic!("still open")
    };
    assert_eq!(anomaly.kind, AnomalyKind::LevelShift);
}

#[test]
fn excess_grows_and_is_reported_when_it_doubles() {
    let changes = changes(3.0, 3 * DAY, 3 * DAY + 240, 4 * DAY);
    let excess = |change: &LiveChange| match change {
        LiveChange::Opened(anomaly) | LiveChange::Grew(anomaly) | LiveChange::Closed(anomaly) => {
            anomaly.excess.amount
        }
    };

    assert!(matches!(changes[1].1, LiveChange::Grew(_)));
    let grown = &changes[..changes.len() - 1];
    assert!(
        grown
            .windows(2)
            .all(|pair| excess(&pair[1].1).0 >= 2 * excess(&pair[0].1).0)
    );

    // Twice the usual rate of about 10 per hour, for four hours.
    let total = excess(&changes.last().unwrap().1).to_f64();
    assert!((70.0..110.0).contains(&total), "{total}");
}

#[test]
fn the_return_from_an_outage_is_not_an_anomaly() {
    let mut watch = watch();
    for minute in 0..5 * DAY {
        let is_out = (3 * DAY..3 * DAY + 120).contains(&minute);
        assert_eq!(
            feed(
                &mut watch,
                minute,
                if is_out { 0.0 } else { rate(minute) },
                0.0
            ),
            None,
            "minute {minute}"
        );
    }
}

#[test]
fn unordered_times_and_odd_rates_are_accepted() {
    let mut watch = watch();
    for (at_s, rate) in [
        (0, 1i128),
        (0, 5),
        (-5, 5),
        (i64::MAX, i128::MAX),
        (i64::MIN, 3),
        (i64::MAX, i128::MIN),
    ] {
        assert_eq!(
            watch.observe(at_s, &BTreeMap::from([("a".to_owned(), Amount(rate))])),
            None
        );
    }
}

#[test]
fn unlimited_parts_take_bounded_memory() {
    let mut watch = watch();
    for minute in 0..3 * DAY {
        watch.observe(
            minute * 60,
            &BTreeMap::from([(format!("part {minute}"), amount_of(5.0))]),
        );
        assert!(watch.usual.len() <= PARTS_MAX + 1);
    }

    assert!(codec::encode_document(&watch).unwrap().len() < 16_384);
}
