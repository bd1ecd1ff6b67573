//! Spikes injected into production load, minute by minute, and what the live plane makes of them
//! and of the load as it is.

use flate2::read::GzDecoder;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use regionmesh_cost::{Amount, Anomaly, Currency, LiveAnomalies, LiveChange, Scope};
use std::{collections::BTreeMap, error::Error, fs::File, io::Read, path::Path};
use time::{PrimitiveDateTime, macros::format_description};

type Outcome<T> = Result<T, Box<dyn Error>>;

const DAY: usize = 1_440;
/// Each spike is this multiple of the load, for an hour.
const SPIKE: f64 = 3.0;
const SPIKE_MINUTES: usize = 60;
/// Spikes per stream, each in a copy of its own.
const SPIKES: usize = 200;
/// Copies of each untouched stream, with noise of their own.
const COPIES: u64 = 10;
/// Standard deviation of the noise of a minute, as a share of the load.
const NOISE: f64 = 0.1;
/// Load below this share of its mean over the day is an outage: three times almost nothing is not a
/// spike.
const OUTAGE_SHARE: f64 = 0.1;
/// One request per second, in money per hour.
const PRICE: f64 = 0.01;

struct Stream {
    name: String,
    /// Requests per second in each minute, without noise.
    minutes: Vec<f64>,
    noise: f64,
}

/// Prints a table of all streams.
pub(crate) fn print(data: &Path) -> Outcome<()> {
    println!(
        "{:<22} {:>5} {:>11} {:>11} {:>8} {:>8} {:>13} {:>12}",
        "stream", "days", "in 15 min", "in 60 min", "median", "p95", "stream-weeks", "false alerts"
    );

    let mut all = Figures::default();
    for stream in streams(data)? {
        let figures = measure(&stream)?;
        figures.print(&stream.name, stream.minutes.len() / DAY);
        all.merge(figures);
    }

    all.print("all", 0);
    println!("alerts on untouched streams, by start (day) and highest rate over expected:");
    for (name, (copies, ratio)) in &all.alerts {
        println!("  {name:<30} in {copies} of {COPIES} copies, x{ratio:.1}");
    }

    Ok(())
}

#[derive(Default)]
struct Figures {
    spikes: usize,
    /// Minutes until each spike that was found was reported.
    delays: Vec<usize>,
    weeks: f64,
    alerts: BTreeMap<String, (usize, f64)>,
}

impl Figures {
    fn merge(&mut self, other: Self) {
        self.spikes += other.spikes;
        self.delays.extend(other.delays);
        self.weeks += other.weeks;
        self.alerts.extend(other.alerts);
    }

    fn print(&self, name: &str, days: usize) {
        let mut delays = self.delays.clone();
        delays.sort_unstable();

        let quantile = |share: f64| {
            delays
                .get((delays.len() as f64 * share) as usize)
                .copied()
                .unwrap_or_default()
        };

        let share = |limit: usize| {
            100.0 * delays.iter().filter(|delay| **delay <= limit).count() as f64
                / self.spikes as f64
        };
        let alerts: usize = self.alerts.values().map(|(copies, _)| copies).sum();
        let rate = alerts as f64 / self.weeks;

        println!(
            "{name:<22} {days:>5} {:>9.1} % {:>9.1} % {:>4} min {:>4} min {:>13.1} {alerts:>4} = \
                {rate:.3}",
            share(15),
            share(SPIKE_MINUTES),
            quantile(0.5),
            quantile(0.95),
            self.weeks,
        );
    }
}

fn measure(stream: &Stream) -> Outcome<Figures> {
    let mut figures = Figures {
        spikes: SPIKES,
        ..Figures::default()
    };

    for copy in 0..COPIES {
        let noisy = with_noise(stream, copy);
        let mut watch = watch(&stream.name)?;
        for (minute, load) in noisy.iter().enumerate() {
            if let Some(LiveChange::Opened(anomaly)) = feed(&mut watch, minute, *load) {
                let at = anomaly.since.unix_timestamp() as f64 / 86_400.0;
                let alert = figures
                    .alerts
                    .entry(format!("{} day {at:.1}", stream.name))
                    .or_default();

                *alert = (alert.0 + 1, alert.1.max(peak_ratio(&anomaly)));
            }
        }

        // The first day is for learning.
        figures.weeks += (noisy.len() - DAY) as f64 / (7 * DAY) as f64;
    }

    let noisy = with_noise(stream, 0);
    let mut places = places(stream);
    places.sort_unstable();

    let mut watch = watch(&stream.name)?;
    let mut next = 0;
    for minute in 0..noisy.len() {
        while places.get(next) == Some(&minute) {
            figures.delays.extend(delay(watch.clone(), &noisy, minute));
            next += 1;
        }
        feed(&mut watch, minute, noisy[minute]);
    }

    Ok(figures)
}

/// Start of spikes: after two days, at times with load.
fn places(stream: &Stream) -> Vec<usize> {
    let mean =
        |minute: usize| stream.minutes[minute - DAY..minute].iter().sum::<f64>() / DAY as f64;
    let mut random = StdRng::seed_from_u64(7);
    let mut places = Vec::new();

    while places.len() < SPIKES {
        let place = random.random_range(2 * DAY..stream.minutes.len() - SPIKE_MINUTES);
        if stream.minutes[place] > OUTAGE_SHARE * mean(place) {
            places.push(place);
        }
    }

    places
}

/// Minutes from the start of a spike to its report; `None` if it was not reported while it lasted.
fn delay(mut watch: LiveAnomalies, noisy: &[f64], start: usize) -> Option<usize> {
    if watch.current().is_some() {
        return Some(0);
    }
    (start..start + SPIKE_MINUTES)
        .position(|minute| {
            matches!(
                feed(&mut watch, minute, SPIKE * noisy[minute]),
                Some(LiveChange::Opened(_))
            )
        })
        .map(|index| index + 1)
}

fn watch(name: &str) -> Outcome<LiveAnomalies> {
    Ok(LiveAnomalies::new(
        Scope::from([("region".to_owned(), name.to_owned())]),
        Currency::USD,
    )?)
}

fn feed(watch: &mut LiveAnomalies, minute: usize, load: f64) -> Option<LiveChange> {
    let rate = Amount::from_f64(load * PRICE).unwrap_or_default();
    watch.observe(
        minute as i64 * 60,
        &BTreeMap::from([("load".to_owned(), rate)]),
    )
}

fn peak_ratio(anomaly: &Anomaly) -> f64 {
    let expected = (anomaly.expected_low.to_f64() * anomaly.expected_high.to_f64()).sqrt();
    anomaly.actual.to_f64() / expected
}

/// The load times log-normal noise.
fn with_noise(stream: &Stream, seed: u64) -> Vec<f64> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut gauss = || {
        let a: f64 = random.random::<f64>().max(1e-12);
        let b: f64 = random.random();
        (-2.0 * a.ln()).sqrt() * (std::f64::consts::TAU * b).cos()
    };

    stream
        .minutes
        .iter()
        .map(|load| load * (stream.noise * gauss()).exp())
        .collect()
}

fn streams(data: &Path) -> Outcome<Vec<Stream>> {
    let mut streams = columns(&data.join("servegen-load/language_14d_10min.csv"))?;
    for kind in ["code", "conv"] {
        let path = data.join(format!(
            "azure-llm-2023/AzureLLMInferenceTrace_{kind}.csv.gz"
        ));
        streams.push(Stream {
            name: format!("azure {kind}, resampled"),
            minutes: resampled(&arrivals(&path)?),
            noise: 0.0,
        });
    }

    Ok(streams)
}

/// Columns of rates in 10-minute bins, as lines between the middles of the bins; a rate of 0 is a
/// gap.
fn columns(path: &Path) -> Outcome<Vec<Stream>> {
    let text = std::fs::read_to_string(path)?;
    let mut lines = text.lines();
    let names: Vec<&str> = lines.next().unwrap_or_default().split(',').collect();
    let mut known: Vec<Vec<(f64, f64)>> = vec![Vec::new(); names.len()];
    let mut bins = 0;

    for line in lines {
        for (column, field) in line.split(',').enumerate() {
            let rate: f64 = field.parse()?;
            if rate > 0.0 {
                known[column].push((f64::from(bins) * 10.0 + 4.5, rate));
            }
        }

        bins += 1;
    }

    let stream = |(name, known): (&str, Vec<(f64, f64)>)| {
        let minutes = (0..bins * 10)
            .map(|minute| line(&known, f64::from(minute)))
            .collect();
        Stream {
            name: name.to_owned(),
            minutes,
            noise: NOISE,
        }
    };

    Ok(names.into_iter().zip(known).skip(1).map(stream).collect())
}

fn line(known: &[(f64, f64)], at: f64) -> f64 {
    let after = known.partition_point(|(known_at, _)| *known_at <= at);
    match (
        after.checked_sub(1).and_then(|before| known.get(before)),
        known.get(after),
    ) {
        (Some((from, a)), Some((to, b))) => a + (b - a) * (at - from) / (to - from),
        (Some((_, only)), None) | (None, Some((_, only))) => *only,
        (None, None) => 0.0,
    }
}

/// Requests per second in each whole minute of a trace.
fn arrivals(path: &Path) -> Outcome<Vec<f64>> {
    let mut text = String::new();
    GzDecoder::new(File::open(path)?).read_to_string(&mut text)?;

    let format = format_description!("[year]-[month]-[day] [hour]:[minute]:[second].[subsecond]");
    let mut counts: BTreeMap<i64, u32> = BTreeMap::new();
    for line in text.lines().skip(1) {
        let at = PrimitiveDateTime::parse(line.split(',').next().unwrap_or_default(), format)?;
        *counts
            .entry(at.assume_utc().unix_timestamp() / 60)
            .or_default() += 1;
    }

    let (Some(first), Some(last)) = (counts.keys().next(), counts.keys().last()) else {
        return Err("no arrivals".into());
    };

    // The first and the last minute are not whole.
    Ok((first + 1..*last)
        .map(|minute| f64::from(counts.get(&minute).copied().unwrap_or_default()) / 60.0)
        .collect())
}

/// A week of blocks of ten minutes, drawn from an hour.
fn resampled(hour: &[f64]) -> Vec<f64> {
    let mut random = StdRng::seed_from_u64(11);
    let mut minutes = Vec::new();
    while minutes.len() < 8 * DAY {
        let start = random.random_range(0..hour.len() - 10);
        minutes.extend_from_slice(&hour[start..start + 10]);
    }

    minutes.truncate(8 * DAY);
    minutes
}
