#![allow(clippy::unwrap_used, clippy::panic)]

mod laws;

use super::{
    interval::{BAND_COVERAGE, half_width},
    *,
};
use crate::ONE;
use proptest::prelude::*;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};
use time::macros::date;

const LAST: Date = date!(2026 - 09 - 20);

/// Costs of consecutive days that end with [`LAST`].
fn costs(amounts: &[Amount]) -> DailyCosts {
    let day = |index: usize| LAST - Duration::days((amounts.len() - 1 - index) as i64);
    DailyCosts::new(
        Currency::USD,
        LAST,
        amounts
            .iter()
            .enumerate()
            .map(|(index, amount)| (day(index), *amount)),
    )
}

fn amounts(values: impl IntoIterator<Item = f64>) -> Vec<Amount> {
    values
        .into_iter()
        .map(|value| Amount::from_f64(value).unwrap())
        .collect()
}

/// Amounts as bills have them, and as they should not: gaps, credits, spikes of any size.
fn any_amounts(longest: usize) -> impl Strategy<Value = Vec<Amount>> {
    let whole = |value: i64| Amount(i128::from(value) * ONE);
    let amount = prop_oneof![
        4 => (0..10_000i64).prop_map(whole),
        2 => Just(Amount::ZERO),
        1 => (-1_000..0i64).prop_map(whole),
        1 => (-10i64.pow(12)..10i64.pow(12)).prop_map(whole),
        1 => (1..1_000i128).prop_map(Amount),
    ];

    prop::collection::vec(amount, 1..longest)
}

fn is_ordered(estimate: Estimate) -> bool {
    estimate.low <= estimate.expected && estimate.expected <= estimate.high
}

#[test]
fn a_week_is_repeated() {
    let week = [100.0, 110.0, 120.0, 115.0, 105.0, 40.0, 30.0];
    let forecast = forecast(&costs(&amounts((0..120).map(|day| week[day % 7]))), 14, 0).unwrap();
    for (index, day) in forecast.days.iter().enumerate() {
        let actual = week[(120 + index) % 7];
        assert!(
            (day.cost.expected.to_f64() / actual - 1.0).abs() < 0.01,
            "{day:?} {actual}"
        );

        assert!(
            (day.cost.high - day.cost.low).to_f64() / actual < 0.05,
            "{day:?}"
        );
    }
}

#[test]
fn growth_continues() {
    let forecast = forecast(
        &costs(&amounts((0..100).map(|day| 100.0 + f64::from(day)))),
        30,
        2,
    )
    .unwrap();
    let last = forecast.days[29].cost;

    // Day 127 of the series.
    assert!(
        (210.0..260.0).contains(&last.expected.to_f64()),
        "{last:?} {}",
        forecast.method
    );
}

#[test]
fn theta_continues_with_half_the_slope() {
    let line: Vec<f64> = (0..60).map(f64::from).collect();
    let forecast = theta::theta(&line, 11);
    assert!(
        (forecast[10] - forecast[0] - 5.0).abs() < 1e-9,
        "{forecast:?}"
    );
}

#[test]
fn bands_widen_beyond_what_was_tested() {
    // 30 days are tested over ten.
    let noise = (0..30).map(|day| 100.0 + f64::from((day * 7_919) % 11));
    let forecast = forecast(&costs(&amounts(noise)), 90, 0).unwrap();
    let width =
        |index: usize| (forecast.days[index].cost.high - forecast.days[index].cost.low).to_f64();
    let ratio = width(89) / width(9);

    assert!(
        (2.5..4.0).contains(&ratio),
        "{ratio} for nine times as many days"
    );
}

#[test]
fn growth_by_ratios_does_not_run_away() {
    let growing = amounts((0..60).map(|day| 1.2f64.powi(day)));
    let highest = growing[59].to_f64();
    let forecast = forecast(&costs(&growing), HORIZON_DAYS_MAX, 0).unwrap();

    assert!(
        forecast
            .days
            .iter()
            .all(|day| day.cost.expected.to_f64() <= 4.1 * highest)
    );
}

#[test]
fn cents_are_forecast_as_dollars_are() {
    let noise = |day: i32| f64::from((day * 7_919) % 101) + if day % 7 < 2 { 50.0 } else { 100.0 };
    let dollars = forecast(&costs(&amounts((0..90).map(noise))), 10, 2).unwrap();
    let cents = forecast(
        &costs(&amounts((0..90).map(|day| noise(day) * 100.0))),
        10,
        2,
    )
    .unwrap();

    assert_eq!(dollars.method, cents.method);
    assert!(
        (cents.total.expected.to_f64() / dollars.total.expected.to_f64() / 100.0 - 1.0).abs()
            < 0.01
    );
}

#[test]
fn one_day_suffices_and_zero_days_do_not() {
    let month = month_end(&costs(&amounts([10.0])), 0).unwrap();
    assert_eq!(month.total.expected, amounts([110.0])[0]);
    assert_eq!((month.known, month.folds), (amounts([10.0])[0], 0));

    // From half to about twice what is expected of the ten days that are left.
    assert!(
        (55.0..65.0).contains(&month.total.low.to_f64()),
        "{month:?}"
    );

    assert!(
        (200.0..220.0).contains(&month.total.high.to_f64()),
        "{month:?}"
    );

    let error = forecast(&costs(&amounts([10.0, 10.0])), 10, INCOMPLETE_DAYS).unwrap_err();
    assert_eq!(error, ForecastError::NoCompleteDay { incomplete_days: 2 });
    assert!(error.to_string().contains("wait for more days"));

    let nothing = DailyCosts::new(Currency::USD, LAST, []);
    assert_eq!(
        month_end(&nothing, 0).unwrap_err(),
        ForecastError::NoCompleteDay { incomplete_days: 0 }
    );
}

#[test]
fn days_without_cost_are_zero() {
    let days = [(LAST - Duration::days(3), Amount(ONE)), (LAST, Amount(ONE))];
    let gaps = DailyCosts::new(Currency::USD, LAST, days);
    assert_eq!(gaps, costs(&amounts([1.0, 0.0, 0.0, 1.0])));

    let zeros = forecast(&costs(&vec![Amount::ZERO; 40]), 10, 2).unwrap();
    assert_eq!(
        zeros.total,
        Estimate {
            expected: Amount::ZERO,
            low: Amount::ZERO,
            high: Amount::ZERO
        }
    );
}

#[test]
fn costs_out_of_reach_are_ignored_and_take_no_memory() {
    let far = [
        (Date::MIN, Amount(ONE)),
        (date!(2026 - 10 - 01), Amount(ONE)),
        (LAST, Amount(ONE)),
        (Date::MAX, Amount(ONE)),
    ];

    assert_eq!(
        DailyCosts::new(Currency::USD, LAST, far),
        costs(&amounts([1.0]))
    );
}

#[test]
fn a_finished_month_is_exact() {
    let last = date!(2026 - 02 - 28);
    let cost = Amount(ONE / 3);
    let month = DailyCosts::new(
        Currency::USD,
        last,
        (0..40).map(|age| (last - Duration::days(age), cost)),
    );
    let month = month_end(&month, 0).unwrap();
    let total = Amount(cost.0 * 28);

    assert_eq!(
        month.total,
        Estimate {
            expected: total,
            low: total,
            high: total
        }
    );

    assert_eq!(
        (month.run_rate, month.method, month.known_days),
        (Some(total), None, 28)
    );
}

#[test]
fn on_the_first_day_of_a_month_all_of_it_is_forecast() {
    let last = date!(2026 - 09 - 01);
    let days = (0..60).map(|age| (last - Duration::days(age), Amount(10 * ONE)));
    let month = month_end(&DailyCosts::new(Currency::USD, last, days), 2).unwrap();

    assert_eq!(
        (month.known_days, month.known, month.run_rate),
        (0, Amount::ZERO, None)
    );

    // The 31st of August is forecast too, but belongs to August.
    assert!(
        (month.total.expected.to_f64() - 300.0).abs() < 0.01,
        "{month:?}"
    );

    assert_eq!(month.period.to_string(), "2026-09");
}

#[test]
fn bad_requests_are_refused() {
    let some = costs(&amounts([1.0; 10]));
    assert_eq!(
        forecast(&some, 0, 2).unwrap_err(),
        ForecastError::Horizon { days: 0 }
    );

    assert_eq!(
        forecast(&some, 367, 2).unwrap_err().to_string(),
        "can't forecast 367 days; expected 1 to 366"
    );

    let late = DailyCosts::new(Currency::USD, Date::MAX, [(Date::MAX, Amount(ONE))]);
    assert_eq!(forecast(&late, 1, 0).unwrap_err(), ForecastError::Calendar);

    let absurd = costs(&[Amount(i128::MAX), Amount(i128::MIN)]);
    assert_eq!(month_end(&absurd, 0).unwrap_err(), ForecastError::TooLarge);
}

#[test]
fn a_forecast_is_plain_json() {
    let forecast = forecast(&costs(&amounts([5.0; 30])), 1, 0).unwrap();
    let json = serde_json::to_value(&forecast).unwrap();
    assert_eq!(json["days"][0]["day"], "2026-09-21");
    assert_eq!(json["days"][0]["expected"], "5");
    assert_eq!(json["method"], forecast.method.as_str());
}

/// Visits of ten pages over 18 months: every month from its first 20 days.
/// `examples/forecast-figures.rs` has more series.
#[test]
fn bands_of_real_series_cover_the_actual_months() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../shared/data/daily-series/wikipedia_traffic_daily.csv");
    let Ok(text) = fs::read_to_string(&file) else {
        println!("skipped: data not present ({})", file.display());
        return;
    };
    let format = time::macros::format_description!("[year]-[month]-[day]");
    let mut pages: BTreeMap<&str, Vec<(Date, Amount)>> = BTreeMap::new();

    for line in text.lines().skip(1) {
        let fields: Vec<&str> = line.rsplitn(3, ',').collect();
        let day = Date::parse(fields[1], format).unwrap();
        pages
            .entry(fields[2])
            .or_default()
            .push((day, fields[0].parse().unwrap()));
    }

    let mut errors = Vec::new();
    let mut run_rate_errors = Vec::new();
    let mut held = 0;

    for days in pages.values() {
        let months: BTreeSet<Date> = days
            .iter()
            .map(|(day, _)| day.replace_day(1).unwrap())
            .collect();

        for start in months {
            let in_month = |day: &Date| (day.year(), day.month()) == (start.year(), start.month());
            let actual: Amount = days
                .iter()
                .filter(|(day, _)| in_month(day))
                .map(|(_, amount)| *amount)
                .sum();
            let known = DailyCosts::new(
                Currency::USD,
                start.replace_day(20).unwrap(),
                days.iter().copied(),
            );
            let month = month_end(&known, 0).unwrap();
            let error = |amount: Amount| (amount.to_f64() / actual.to_f64() - 1.0).abs();

            errors.push(error(month.total.expected));
            run_rate_errors.push(error(month.run_rate.unwrap()));
            held += usize::from(month.total.low <= actual && actual <= month.total.high);
        }
    }

    let count = errors.len();
    let median = |mut errors: Vec<f64>| theta::median(&mut errors);
    let error = median(errors);
    let run_rate_error = median(run_rate_errors);
    let share = held as f64 / count as f64;

    println!(
        "{count} months: median error {error:.4}, run rate {run_rate_error:.4}, bands hold \
            {share:.3}"
    );

    assert!(
        count == 180 && error <= 0.043 && error < 0.85 * run_rate_error,
        "{error} {run_rate_error}"
    );

    assert!((0.75..=0.90).contains(&share), "{share}");
}
