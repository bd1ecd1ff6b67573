//! The Numenta Anomaly Benchmark, scored by its own rules (sweeper, optimizer and normalizer of
//! numenta/NAB ea702d7).

use regionmesh_cost::Detector;
use std::{
    collections::BTreeMap,
    error::Error,
    fs,
    path::{Path, PathBuf},
};
use time::{PrimitiveDateTime, macros::format_description};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// At the start of each file, points that are not scored: this share, and of at most so many
/// points.
const PROBATION_SHARE: f64 = 0.15;
const PROBATION_POINTS_MAX: f64 = 5_000.0;

/// Name, weight of a true positive, of a false positive, of a false negative
/// (`config/profiles.json`).
const PROFILES: [(&str, f64, f64, f64); 3] = [
    ("standard", 1.0, 0.11, 1.0),
    ("reward_low_FP_rate", 1.0, 0.22, 1.0),
    ("reward_low_FN_rate", 1.0, 0.11, 2.0),
];

/// One series with its labels and what a detector made of it.
struct Series {
    name: String,
    times: Vec<i64>,
    scores: Vec<f64>,
    /// First and last time of each labelled window.
    windows: Vec<(i64, i64)>,
}

/// A point that counts: its score, what a detection here is worth, and the window it lies in.
struct Point {
    score: f64,
    worth: f64,
    window: Option<usize>,
}

/// A series' points after its probation, and how many windows they touch.
struct Scored {
    points: Vec<Point>,
    windows: usize,
}

/// Scores the series in `data` and prints a table.
pub(crate) fn print(data: &Path, results: Option<&Path>) -> Outcome<()> {
    let labels: BTreeMap<String, Vec<(String, String)>> =
        serde_json::from_slice(&fs::read(data.join("labels/combined_windows.json"))?)?;
    let mut corpus = Vec::new();
    let mut labelled = 0;

    for (name, windows) in &labels {
        labelled += windows.len();
        let windows = windows
            .iter()
            .map(|(from, to)| Ok((seconds(from)?, seconds(to)?)))
            .collect::<Outcome<Vec<_>>>()?;
        let (times, scores) = match results {
            None => detect(&data.join("data").join(name))?,
            Some(folder) => read(&result_path(folder, name)?, "anomaly_score")?,
        };

        corpus.push(Series {
            name: name.clone(),
            times,
            scores,
            windows,
        });
    }

    println!(
        "{} series, {} points",
        corpus.len(),
        corpus
            .iter()
            .map(|series| series.times.len())
            .sum::<usize>()
    );

    println!(
        "{:<20} {:>6} {:>9} {:>7} {:>7} {:>9}",
        "profile", "score", "threshold", "found", "missed", "false"
    );

    for (profile, tp, fp, fn_) in PROFILES {
        let scored: Vec<Scored> = corpus.iter().map(|series| sweep(series, tp, fp)).collect();
        let threshold = optimize(&scored, fn_);
        let raw: f64 = scored
            .iter()
            .map(|series| raw_score(series, threshold, fn_))
            .sum();
        let null: f64 = scored
            .iter()
            .map(|series| raw_score(series, f64::INFINITY, fn_))
            .sum();
        let perfect = labelled as f64 * tp;
        let (found, windows, false_) = counts(&scored, threshold);
        let normal = 100.0 * (raw - null) / (perfect - null);

        println!(
            "{profile:<20} {normal:>6.2} {threshold:>9.5} {found:>7} {:>7} {false_:>9}",
            windows - found
        );

        if profile == "standard" {
            groups(&corpus, &scored, threshold);
        }
    }

    Ok(())
}

/// Results by corpus folder: windows found and missed, false detections.
fn groups(corpus: &[Series], scored: &[Scored], threshold: f64) {
    let mut by_group: BTreeMap<&str, (usize, usize, usize)> = BTreeMap::new();
    for (series, scored) in corpus.iter().zip(scored) {
        let (found, windows, false_) = counts(std::slice::from_ref(scored), threshold);
        let sum = by_group
            .entry(series.name.split('/').next().unwrap_or_default())
            .or_default();
        *sum = (sum.0 + found, sum.1 + windows, sum.2 + false_);
    }

    for (group, (found, windows, false_)) in by_group {
        println!(
            "  {group:<35} {found:>7} {:>7} {false_:>9}",
            windows - found
        );
    }
}

fn detect(path: &Path) -> Outcome<(Vec<i64>, Vec<f64>)> {
    let (times, values) = read(path, "value")?;
    let mut gaps: Vec<i64> = times
        .windows(2)
        .take(100)
        .map(|pair| pair[1] - pair[0])
        .filter(|gap| *gap > 0)
        .collect();

    gaps.sort_unstable();
    let interval = gaps.get(gaps.len() / 2).copied().unwrap_or(300);
    let mut detector = Detector::new(u32::try_from(interval)?)?;
    let scores = times
        .iter()
        .zip(&values)
        .map(|(at, value)| detector.observe(*at, *value).score)
        .collect();

    Ok((times, scores))
}

fn result_path(folder: &Path, name: &str) -> Outcome<PathBuf> {
    let detector = folder
        .file_name()
        .and_then(|name| name.to_str())
        .ok_or("a results folder is named as its detector")?;
    let (group, file) = name
        .split_once('/')
        .ok_or("a series is named folder/file")?;

    Ok(folder.join(group).join(format!("{detector}_{file}")))
}

/// Times and a column of a file with a header.
fn read(path: &Path, column: &str) -> Outcome<(Vec<i64>, Vec<f64>)> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let mut lines = text.lines();
    let header = lines.next().unwrap_or_default();
    let at = header
        .split(',')
        .position(|name| name == column)
        .ok_or("the column is missing")?;
    let mut times = Vec::new();
    let mut values = Vec::new();

    for line in lines {
        let mut fields = line.split(',');
        times.push(seconds(fields.next().unwrap_or_default())?);
        values.push(fields.nth(at - 1).ok_or("a field is missing")?.parse()?);
    }

    Ok((times, values))
}

fn seconds(text: &str) -> Outcome<i64> {
    let format = format_description!(
        "[year]-[month]-[day] [hour]:[minute]:[second][optional [.[subsecond]]]"
    );
    Ok(PrimitiveDateTime::parse(text, format)?
        .assume_utc()
        .unix_timestamp())
}

/// 1 far before, 0 at, and -1 far behind the right edge of a window.
fn scaled_sigmoid(position: f64) -> f64 {
    if position > 3.0 {
        -1.0
    } else {
        2.0 / (1.0 + (5.0 * position).exp()) - 1.0
    }
}

/// What a detection at each point is worth: in a window the more the earlier, after one the less
/// the later.
fn sweep(series: &Series, tp: f64, fp: f64) -> Scored {
    let count = series.times.len() as f64;
    let probation = (PROBATION_SHARE * count)
        .floor()
        .min(PROBATION_SHARE * PROBATION_POINTS_MAX);
    let place = |time: i64| {
        series
            .times
            .iter()
            .position(|known| *known == time)
            .unwrap_or_default() as f64
    };

    let mut points = Vec::new();
    let mut windows = series.windows.iter().enumerate().peekable();

    // Number, right edge in seconds and in points, width in points.
    let mut current: Option<(usize, i64, f64, f64)> = None;
    let mut previous: Option<(f64, f64)> = None;

    for (index, (time, score)) in series.times.iter().zip(&series.scores).enumerate() {
        if let Some((number, (from, to))) = windows.next_if(|(_, (from, _))| from == time) {
            let right = place(*to);
            current = Some((number, *to, right, right - place(*from) + 1.0));
        }

        let worth = match (current, previous) {
            (Some((_, _, right, width)), _) => {
                scaled_sigmoid(-(right - index as f64 + 1.0) / width) * tp / scaled_sigmoid(-1.0)
            }
            (None, None) => -fp,
            (None, Some((right, width))) => {
                scaled_sigmoid((right - index as f64).abs() / (width - 1.0)) * fp
            }
        };

        if index as f64 >= probation {
            points.push(Point {
                score: *score,
                worth,
                window: current.map(|(number, ..)| number),
            });
        }

        if let Some((.., width)) = current.filter(|(_, to, ..)| to == time) {
            previous = Some((index as f64, width));
            current = None;
        }
    }

    let mut touched: Vec<usize> = points.iter().filter_map(|point| point.window).collect();
    touched.dedup();
    Scored {
        points,
        windows: touched.len(),
    }
}

/// The threshold with the highest score over all series, the highest one among equals.
fn optimize(corpus: &[Scored], fn_: f64) -> f64 {
    let mut points: Vec<(usize, &Point)> = Vec::new();
    for (number, series) in corpus.iter().enumerate() {
        points.extend(series.points.iter().map(|point| (number, point)));
    }
    points.sort_by(|(_, a), (_, b)| b.score.total_cmp(&a.score));

    let mut parts: BTreeMap<(usize, usize), f64> = BTreeMap::new();
    let windows: usize = corpus.iter().map(|series| series.windows).sum();
    let mut total = -fn_ * windows as f64;
    let mut best = (total, f64::INFINITY);

    for (index, (series, point)) in points.iter().enumerate() {
        match point.window {
            None => total += point.worth,
            Some(window) => {
                let part = parts.entry((*series, window)).or_insert(-fn_);
                total += point.worth.max(*part) - *part;
                *part = part.max(point.worth);
            }
        }

        let is_last = points
            .get(index + 1)
            .is_none_or(|(_, next)| next.score != point.score);
        if is_last && total > best.0 {
            best = (total, point.score);
        }
    }

    best.1
}

/// The score of a series when every point of at least `threshold` is a detection.
fn raw_score(series: &Scored, threshold: f64, fn_: f64) -> f64 {
    let mut parts: BTreeMap<usize, f64> = BTreeMap::new();
    let mut false_ = 0.0;
    for point in &series.points {
        let is_detected = point.score >= threshold;
        match point.window {
            None if is_detected => false_ += point.worth,
            None => {}
            Some(window) => {
                let part = parts.entry(window).or_insert(-fn_);
                *part = if is_detected {
                    part.max(point.worth)
                } else {
                    *part
                };
            }
        }
    }

    false_ + parts.values().sum::<f64>()
}

/// Windows found, windows, false detections.
fn counts(corpus: &[Scored], threshold: f64) -> (usize, usize, usize) {
    let mut found = 0;
    let mut windows = 0;
    let mut false_ = 0;

    for series in corpus {
        windows += series.windows;
        let detected = series
            .points
            .iter()
            .filter(|point| point.score >= threshold);
        let mut inside: Vec<usize> = detected.clone().filter_map(|point| point.window).collect();

        inside.dedup();
        found += inside.len();
        false_ += detected.filter(|point| point.window.is_none()).count();
    }

    (found, windows, false_)
}
