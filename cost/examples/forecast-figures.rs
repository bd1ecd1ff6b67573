//! How far month-end forecasts are off, how often their bands hold, and how long a forecast takes.
//!
//! `cargo run --release -p regionmesh-cost --example forecast-figures [FOLDER]`, with the folder of
//! the daily series (`../shared/data/daily-series` by default). Every calendar month that the data
//! cover is forecast from its first 20 days and all days before it.

use regionmesh_cost::{
    Amount, Currency, DailyCosts, Method, day_number, day_of, forecast, month_end,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    error::Error,
    fs,
    path::Path,
    time::Duration,
};
use time::{Date, macros::format_description};

const KNOWN_DAYS: u8 = 20;

type Series = BTreeMap<Date, f64>;

/// What became of one forecast of a month.
struct Outcome {
    series: String,
    /// Off by so much, percent of the actual total.
    error: f64,
    run_rate_error: f64,
    method: Method,
    /// Days of history before the month.
    age: i32,
    is_inside: bool,
    /// The width of the band, percent of the actual total.
    width: f64,
    /// Days of the rest of the month, and those inside of their own bands.
    days: usize,
    days_inside: usize,
}

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "../shared/data/daily-series".to_owned());
    let folder = Path::new(&folder);

    if !folder.is_dir() {
        println!("skipped: data not present ({})", folder.display());
        return Ok(());
    }

    let mut outcomes = Vec::new();
    for (name, series) in read_all(folder)? {
        outcomes.extend(months(&name, &series)?);
    }
    print_table(&outcomes);
    print_times()?;
    Ok(())
}

/// Forecasts each month that the series covers fully.
fn months(name: &str, series: &Series) -> Result<Vec<Outcome>, Box<dyn Error>> {
    let mut outcomes = Vec::new();
    let Some(first) = series.keys().next() else {
        return Ok(outcomes);
    };
    let starts: BTreeSet<Date> = series
        .keys()
        .filter_map(|day| day.replace_day(1).ok())
        .collect();

    for start in starts {
        let length = start.month().length(start.year());
        let days: Vec<(Date, f64)> = series
            .range(start..)
            .take(usize::from(length))
            .map(|(day, cost)| (*day, *cost))
            .collect();
        let is_whole = start >= *first
            && days.len() == usize::from(length)
            && days
                .last()
                .is_some_and(|(day, _)| day.month() == start.month());

        if !is_whole {
            continue;
        }

        let (known, rest) = days.split_at(usize::from(KNOWN_DAYS));
        let costs = costs(series.range(..=known[known.len() - 1].0))?;
        let month = month_end(&costs, 0)?;
        let daily = forecast(&costs, rest.len() as u16, 0)?;

        let actual: f64 = days.iter().map(|(_, cost)| cost).sum();
        let percent = |amount: Amount| (amount.to_f64() / actual - 1.0) * 100.0;
        let is_day_inside = |(day, (_, cost)): (&regionmesh_cost::ForecastDay, &(Date, f64))| {
            (day.cost.low.to_f64()..=day.cost.high.to_f64()).contains(cost)
        };

        outcomes.push(Outcome {
            series: name.to_owned(),
            error: percent(month.total.expected).abs(),
            run_rate_error: month.run_rate.map_or(f64::NAN, |rate| percent(rate).abs()),
            method: month.method.unwrap_or(Method::Median),
            age: day_number(start) - day_number(*first),
            is_inside: (month.total.low.to_f64()..=month.total.high.to_f64()).contains(&actual),
            width: percent(month.total.high) - percent(month.total.low),
            days: rest.len(),
            days_inside: daily
                .days
                .iter()
                .zip(rest)
                .map(is_day_inside)
                .filter(|is_inside| *is_inside)
                .count(),
        });
    }

    Ok(outcomes)
}

fn costs<'a>(
    days: impl DoubleEndedIterator<Item = (&'a Date, &'a f64)>,
) -> Result<DailyCosts, Box<dyn Error>> {
    let amount = |(day, cost): (&Date, &f64)| Some((*day, Amount::from_f64(*cost)?));
    let days: Vec<(Date, Amount)> = days.filter_map(amount).collect();
    let last = days.last().ok_or("a series without days")?.0;
    Ok(DailyCosts::new(Currency::USD, last, days))
}

fn print_table(outcomes: &[Outcome]) {
    println!(
        "months with {KNOWN_DAYS} days known: errors of the month's total in % of it (median), \
            bands of 80 %"
    );

    println!(
        "{:<34} months forecast run-rate band-holds band-width day-bands-hold",
        "series"
    );

    let names: BTreeSet<&str> = outcomes
        .iter()
        .map(|outcome| outcome.series.as_str())
        .collect();

    for name in names {
        print_row(
            name,
            outcomes.iter().filter(|outcome| outcome.series == name),
        );
    }

    let ages = [(0, 31), (31, 92), (92, 366), (366, i32::MAX)];
    for (from, to) in ages {
        let name = format!("history before the month {from}+ days");
        print_row(
            &name,
            outcomes
                .iter()
                .filter(|outcome| (from..to).contains(&outcome.age)),
        );
    }

    for method in Method::ALL {
        print_row(
            &format!("chosen: {method}"),
            outcomes.iter().filter(|outcome| outcome.method == method),
        );
    }

    print_row("all", outcomes.iter());
    println!("goals: forecast ≤ 4.3, bands hold for 75 to 90 %");
}

fn print_row<'a>(name: &str, outcomes: impl Iterator<Item = &'a Outcome>) {
    let outcomes: Vec<&Outcome> = outcomes.collect();
    let count = outcomes.len();
    let median = |value: fn(&Outcome) -> f64| {
        let mut values: Vec<f64> = outcomes.iter().map(|outcome| value(outcome)).collect();
        values.sort_by(f64::total_cmp);

        let middle = count / 2;
        match count {
            0 => f64::NAN,
            _ if count % 2 == 1 => values[middle],
            _ => (values[middle - 1] + values[middle]) / 2.0,
        }
    };

    let inside =
        outcomes.iter().filter(|outcome| outcome.is_inside).count() as f64 / count as f64 * 100.0;
    let days: usize = outcomes.iter().map(|outcome| outcome.days).sum();
    let days_inside: usize = outcomes.iter().map(|outcome| outcome.days_inside).sum();

    println!(
        "{:<34} {count:>6} {:>8.2} {:>8.2} {inside:>10.1} {:>10.1} {:>14.1}",
        name.chars().take(34).collect::<String>(),
        median(|outcome| outcome.error),
        median(|outcome| outcome.run_rate_error),
        median(|outcome| outcome.width),
        days_inside as f64 / days as f64 * 100.0
    );
}

/// Times forecasts of series as 160 pairs of region and model may have them.
fn print_times() -> Result<(), Box<dyn Error>> {
    for day_count in [30, 90, 400] {
        let first = 20_000;
        let mut times = Vec::new();
        for seed in 0..40 {
            let day = |index: i32| {
                let noise = f64::from((index * 7_919 + seed * 104_729).rem_euclid(1_009)) / 1_009.0;
                let weekend = if index % 7 < 2 { 0.7 } else { 1.0 };
                Some((
                    day_of(first + index)?,
                    Amount::from_f64((100.0 + f64::from(index) / 4.0 + 30.0 * noise) * weekend)?,
                ))
            };
            let days: Vec<(Date, Amount)> = (0..day_count).filter_map(day).collect();
            let last = days.last().ok_or("no days")?.0;
            let costs = DailyCosts::new(Currency::USD, last, days);
            let started = cpu_time();

            forecast(&costs, 30, 2)?;
            times.push(cpu_time() - started);
        }

        times.sort();
        println!(
            "CPU time of a forecast from {day_count} days: median {:.1?}, longest {:.1?}",
            times[times.len() / 2],
            times[times.len() - 1]
        );
    }

    Ok(())
}

/// The time that this thread has spent on a CPU so far: other programs on the machine don't count.
/// Linux only.
fn cpu_time() -> Duration {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(
        text.split(' ')
            .next()
            .and_then(|nanos| nanos.parse().ok())
            .unwrap_or_default(),
    )
}

fn read_all(folder: &Path) -> Result<BTreeMap<String, Series>, Box<dyn Error>> {
    let read = |file: &str| {
        fs::read_to_string(folder.join(file)).map_err(|error| format!("{file}: {error}"))
    };
    let day = |text: &str| Date::parse(text, format_description!("[year]-[month]-[day]"));
    let mut all: BTreeMap<String, Series> = BTreeMap::new();

    for line in read("wikipedia_traffic_daily.csv")?.lines().skip(1) {
        // Names of pages contain commas.
        let [value, date, page] = line.rsplitn(3, ',').collect::<Vec<_>>()[..] else {
            continue;
        };
        all.entry(page.trim_matches('"').to_owned())
            .or_default()
            .insert(day(date)?, value.parse()?);
    }

    for line in read("bike_sharing_daily.csv")?.lines().skip(1) {
        let columns: Vec<&str> = line.split(',').collect();
        let (Some(date), Some(count)) = (columns.get(1), columns.get(15)) else {
            continue;
        };

        all.entry("bike sharing".to_owned())
            .or_default()
            .insert(day(date)?, count.parse()?);
    }

    for line in read("taylor_30_min.csv")?.lines().skip(1) {
        let Some((time, value)) = line.split_once(',') else {
            continue;
        };
        let date = day(time.get(..10).unwrap_or_default())?;

        *all.entry("electricity (taylor)".to_owned())
            .or_default()
            .entry(date)
            .or_default() += value.parse::<f64>()?;
    }

    Ok(all)
}
