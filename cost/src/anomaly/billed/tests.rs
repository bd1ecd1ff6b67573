#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use crate::{
    BilledSeries, Cells, CellsBuilder, ChargeKind, Currency, Dimension, Ledger, Period,
    PricingClass, Scope, StoredPart, Sums, billed_series, cells::CellKey, day_number,
};
use proptest::prelude::*;
use time::macros::date;

/// 1 January 2026, a Thursday.
fn start() -> i32 {
    day_number(date!(2026 - 01 - 01))
}

/// About 100 a day, fewer at weekends, from a seed.
fn usual(day: i32, seed: i32) -> f64 {
    let weekday = if (day - start()) % 7 >= 5 { 0.7 } else { 1.0 };
    100.0 * weekday + f64::from((day.wrapping_mul(7_919) + seed) % 7)
}

fn series(
    name: &str,
    parts: &[(&str, &dyn Fn(i32) -> f64)],
    days: std::ops::Range<i32>,
) -> BilledSeries {
    let of = |cost: &dyn Fn(i32) -> f64| {
        days.clone()
            .map(|day| (day, amount_of(cost(day))))
            .collect()
    };
    let parts = parts
        .iter()
        .map(|(part, cost)| ((*part).to_owned(), of(*cost)))
        .collect();
    let scope = Scope::from([("region".to_owned(), name.to_owned())]);

    BilledSeries {
        scope,
        currency: Currency::USD,
        last_day: days.end - 1,
        parts,
    }
}

fn found(cost: impl Fn(i32) -> f64, days: i32) -> Vec<Anomaly> {
    let series = series("a", &[("EC2", &cost)], start()..start() + days);
    billed_anomalies(&[series], &BilledSettings::default())
}

fn days_of(anomalies: &[Anomaly]) -> Vec<(AnomalyKind, i32)> {
    anomalies
        .iter()
        .map(|anomaly| (anomaly.kind, day_number(anomaly.since.date()) - start()))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn excess_is_actual_less_expected_and_contributors_sum_to_it(
        amounts in proptest::collection::vec(
            (0i128..10i128.pow(18), 0i128..10i128.pow(18)),
            60..120,
        ),
        high in proptest::collection::btree_set(20usize..60, 0..5),
    ) {
        let mut parts: BTreeMap<String, BTreeMap<i32, Amount>> = BTreeMap::new();
        for (index, (a, b)) in amounts.iter().enumerate() {
            let factor = if high.contains(&index) { 100 } else { 1 };
            parts
                .entry("a".into())
                .or_default()
                .insert(index as i32, Amount(*a * factor));

            parts
                .entry("b".into())
                .or_default()
                .insert(index as i32, Amount(*b));
        }

        let last_day = amounts.len() as i32 - 1;
        let series = BilledSeries {
            scope: Scope::new(),
            currency: Currency::USD,
            last_day,
            parts,
        };

        let settings = BilledSettings {
            floor: Amount(1),
            floor_percent: 0,
        };

        for anomaly in billed_anomalies(&[series], &settings) {
            let sum: Amount = anomaly.contributors.iter().map(|part| part.excess).sum();
            prop_assert_eq!(sum, anomaly.excess.amount);
            prop_assert_eq!(
                anomaly.kind == AnomalyKind::Drop,
                anomaly.excess.amount < Amount::ZERO
            );
        }
    }

    #[test]
    fn any_days_are_accepted(
        day in any::<i32>(),
        last_day in any::<i32>(),
        amount in any::<i64>(),
    ) {
        let parts = BTreeMap::from([(
            "a".to_owned(),
            BTreeMap::from([(day, Amount(i128::from(amount)))]),
        )]);
        let series = BilledSeries {
            scope: Scope::new(),
            currency: Currency::USD,
            last_day,
            parts,
        };

        billed_anomalies(&[series], &BilledSettings::default());
    }
}

#[test]
fn usual_days_raise_no_anomaly() {
    for seed in 0..20 {
        assert_eq!(found(|day| usual(day, seed), 200), []);
    }
}

#[test]
fn a_spike_reports_its_start_and_amount() {
    let found = found(
        |day| {
            if day == start() + 60 {
                400.0
            } else {
                usual(day, 0)
            }
        },
        100,
    );

    assert_eq!(days_of(&found), [(AnomalyKind::Spike, 60)]);
    let excess = found[0].excess.amount.to_f64();
    assert!((270.0..340.0).contains(&excess), "{excess}");
    assert_eq!(found[0].actual, amount_of(400.0));
    assert_eq!(
        found[0].until.map(|until| day_number(until.date())),
        Some(start() + 61)
    );

    assert_eq!(found[0].contributors[0].part, "EC2");
}

#[test]
fn a_spike_does_not_hide_the_next() {
    let found = found(
        |day| {
            if [60, 75].contains(&(day - start())) {
                400.0
            } else {
                usual(day, 0)
            }
        },
        100,
    );

    assert_eq!(
        days_of(&found),
        [(AnomalyKind::Spike, 60), (AnomalyKind::Spike, 75)]
    );
}

#[test]
fn a_shift_is_reported_once_and_then_becomes_usual() {
    let found = found(
        |day| usual(day, 0) * if day >= start() + 60 { 3.0 } else { 1.0 },
        200,
    );

    assert_eq!(days_of(&found), [(AnomalyKind::LevelShift, 60)]);
    assert!(found[0].until.is_some());
}

#[test]
fn a_refund_neither_is_nor_hides_an_anomaly() {
    let refunded = |day: i32| match day - start() {
        50 | 59 => -5_000.0,
        60 => 400.0,
        _ => usual(day, 0),
    };

    assert_eq!(days_of(&found(refunded, 100)), [(AnomalyKind::Spike, 60)]);
}

#[test]
fn a_monthly_fee_stops_being_an_anomaly_the_third_time_and_hides_none() {
    let is_first = |day: i32| crate::day_of(day).is_some_and(|date| date.day() == 1);
    let fee = |day: i32| {
        usual(day, 0)
            + if day > start() && is_first(day) {
                500.0
            } else {
                0.0
            }
    };

    let days = days_of(&found(fee, 200));
    assert_eq!(
        days,
        [(AnomalyKind::Spike, 31), (AnomalyKind::Spike, 59)],
        "1 February, 1 March"
    );

    let with_spike = |day: i32| if day == start() + 93 { 350.0 } else { fee(day) };
    assert_eq!(
        days_of(&found(with_spike, 200)).last(),
        Some(&(AnomalyKind::Spike, 93)),
        "three days after a fee"
    );
}

#[test]
fn small_amounts_raise_no_anomaly() {
    assert_eq!(
        found(
            |day| if day == start() + 60 {
                4.0
            } else {
                1.0 + usual(day, 0) / 1e4
            },
            100
        ),
        []
    );

    // Far outside of the noise, and still only a fifth more.
    assert_eq!(
        found(|day| if day == start() + 60 { 120.0 } else { 100.0 }, 100),
        []
    );
}

#[test]
fn a_drop_of_the_last_two_days_is_not_an_anomaly() {
    let down_from = |from: i32| {
        move |day: i32| {
            if day >= start() + from {
                5.0
            } else {
                usual(day, 0)
            }
        }
    };

    assert_eq!(found(down_from(98), 100), []);
    let found = found(down_from(95), 100);
    assert_eq!(days_of(&found), [(AnomalyKind::Drop, 95)]);

    let excess = found[0].excess.amount.to_f64();
    assert!(
        (-300.0..-190.0).contains(&excess),
        "three days, without the last two: {excess}"
    );
}

#[test]
fn a_first_spend_is_new_after_two_weeks_of_history() {
    let cost = |day: i32| usual(day, 0);
    let last = start() + 99;
    let settings = BilledSettings::default();
    let old = series("old", &[("EC2", &cost)], start()..last + 1);
    let at = |from: i32| {
        let new = series("new", &[("EC2", &cost)], start() + from..last + 1);
        days_of(&billed_anomalies(&[old.clone(), new], &settings))
    };

    assert_eq!(at(40), [(AnomalyKind::New, 40)]);
    assert_eq!(at(14), [(AnomalyKind::New, 14)]);
    assert_eq!(at(13), []);

    let small = series("small", &[("EC2", &|_| 2.0)], start() + 40..last + 1);
    assert_eq!(billed_anomalies(&[old, small], &settings), []);
}

#[test]
fn ids_stay_when_days_are_added() {
    let cost = |day: i32| {
        if day >= start() + 60 {
            400.0
        } else {
            usual(day, 0)
        }
    };

    let ids = |days| {
        found(cost, days)
            .into_iter()
            .map(|anomaly| anomaly.id)
            .collect::<Vec<_>>()
    };

    assert_eq!(ids(62), ids(100));
    assert_eq!(ids(62).len(), 1);
}

fn ledger<const N: usize>(bills: [(&str, Cells); N]) -> Ledger {
    let mut ledger = Ledger::default();
    for (source, cells) in bills {
        let period = Period::of(date!(2026 - 01 - 01));
        ledger.insert(
            StoredPart::new(source.into(), period, 0, "test".into(), cells)
                .unwrap()
                .into(),
        );
    }

    ledger
}

/// So many days of usage in `region`, and a purchase of nothing some days later.
fn bill(provider: &str, region: &str, days: i32, purchase_after: Option<i32>) -> Cells {
    let mut builder = CellsBuilder::new(Vec::new());
    let mut add = |day: i32, kind, cost| {
        let texts = [provider, "1", region, "", "compute", "Compute"];
        let pricing = PricingClass::OnDemand;
        let currency = Currency::USD;
        let key = CellKey {
            day: crate::day_of(day).unwrap(),
            kind,
            pricing,
            currency,
            texts,
            tags: &[],
        };

        let place = builder.place(&key);
        builder.add(
            place,
            Sums {
                effective: amount_of(cost),
                rows: 1,
                ..Sums::default()
            },
        );
    };

    (0..days).for_each(|day| add(start() + day, ChargeKind::Usage, usual(day, 0)));
    if let Some(after) = purchase_after {
        add(start() + days - 1 + after, ChargeKind::Purchase, 0.0);
    }

    builder.finish()
}

#[test]
fn days_beyond_the_end_of_a_bill_are_not_a_drop() {
    let found = |bills: Ledger| {
        let ends = bills.ends(crate::day_of(start() + 150).unwrap());
        let by = [Dimension::Region, Dimension::Service, Dimension::Provider];
        let series = by
            .map(|by| billed_series(&bills, &ends, by, Dimension::Account))
            .concat();

        days_of(&billed_anomalies(&series, &BilledSettings::default()))
    };
    let aws = || bill("AWS", "us-east-1", 100, None);

    assert_eq!(
        found(ledger([
            ("AWS 1", aws()),
            ("Microsoft 1", bill("Microsoft", "eastus", 94, None))
        ])),
        []
    );

    assert_eq!(
        found(ledger([("AWS 1", bill("AWS", "us-east-1", 100, Some(10)))])),
        []
    );

    // Ended long ago: then the days after are known to cost nothing, in what it was a part of, too.
    let old = bill("Microsoft", "eastus", 50, None);
    let drops = [(AnomalyKind::Drop, 50); 3];

    assert_eq!(
        found(ledger([("AWS 1", aws()), ("Microsoft 1", old)])),
        drops
    );
}

#[test]
fn cells_become_series_of_usage_only() {
    let mut builder = CellsBuilder::new(Vec::new());
    let mut add = |kind: ChargeKind, service: &str, effective: &str| {
        let texts = ["AWS", "1", "eu-west-1", "", service, "Compute"];
        let key = CellKey {
            day: date!(2026 - 01 - 01),
            kind,
            pricing: PricingClass::OnDemand,
            currency: Currency::USD,
            texts,
            tags: &[],
        };

        let place = builder.place(&key);
        builder.add(
            place,
            Sums {
                effective: effective.parse().unwrap(),
                ..Sums::default()
            },
        );
    };

    add(ChargeKind::Usage, "EC2", "10.5");
    add(ChargeKind::Usage, "S3", "2");
    add(ChargeKind::Usage, "Refunded", "-4");
    add(ChargeKind::Credit, "EC2", "-3");
    add(ChargeKind::Adjustment, "EC2", "7");
    add(ChargeKind::Purchase, "EC2", "5000");

    let ledger = ledger([("AWS 1", builder.finish())]);
    let ends = ledger.ends(date!(2026 - 01 - 20));
    let series = billed_series(&ledger, &ends, Dimension::Region, Dimension::Service);
    let parts = [("EC2", "10.5"), ("S3", "2")];
    let parts = parts.map(|(part, amount)| {
        (
            part.to_owned(),
            BTreeMap::from([(start(), amount.parse().unwrap())]),
        )
    });

    let scope = Scope::from([("region".to_owned(), "eu-west-1".to_owned())]);
    let parts = BTreeMap::from(parts);
    assert_eq!(
        series,
        [BilledSeries {
            scope,
            currency: Currency::USD,
            last_day: start(),
            parts
        }]
    );
}
