//! The theta method (Assimakopoulos and Nikolopoulos, IJF 16, 2000), in the form of Hyndman and
//! Billah (IJF 19, 2003): simple exponential smoothing with half the slope of the regression line
//! as its drift, on values without their weekly pattern.

/// Days of a season.
pub(super) const WEEK: usize = 7;
/// The weekly pattern is estimated from three weeks on.
const WEEKLY_DAYS_MIN: usize = 3 * WEEK;
/// Smoothing factors are tried in steps of 1 / 20.
const SMOOTHING_STEPS: u32 = 20;
/// Days whose mean the smoothing starts from.
const START_DAYS: usize = 10;

/// Forecasts `horizon` values after `values`, at least one.
pub(super) fn theta(values: &[f64], horizon: usize) -> Vec<f64> {
    let pattern = weekly_pattern(values);
    let level: Vec<f64> = values
        .iter()
        .enumerate()
        .map(|(day, value)| value - pattern[day % WEEK])
        .collect();
    let (smoothing, last) = smooth(&level);
    let drift = slope(&level) / 2.0;

    // How far the smoothed level lags behind the regression line.
    let lag = (1.0 - (1.0 - smoothing).powi(level.len() as i32)) / smoothing;
    let day_count = values.len();

    (0..horizon)
        .map(|ahead| last + drift * (ahead as f64 + lag) + pattern[(day_count + ahead) % WEEK])
        .collect()
}

/// Weekly pattern: each weekday's median distance from the mean of the week around it. Zero for
/// short series.
fn weekly_pattern(values: &[f64]) -> [f64; WEEK] {
    let mut pattern = [0.0; WEEK];
    if values.len() < WEEKLY_DAYS_MIN {
        return pattern;
    }

    let mut distances: [Vec<f64>; WEEK] = Default::default();
    for (index, week) in values.windows(WEEK).enumerate() {
        let middle = index + WEEK / 2;
        distances[middle % WEEK].push(values[middle] - mean(week));
    }

    for (effect, distances) in pattern.iter_mut().zip(&mut distances) {
        *effect = median(distances);
    }

    let excess = mean(&pattern);
    pattern.map(|effect| effect - excess)
}

/// The smoothing factor with the least squared one-day errors, and the level that it ends at.
fn smooth(values: &[f64]) -> (f64, f64) {
    let start = mean(&values[..values.len().min(START_DAYS)]);
    let mut best = (f64::INFINITY, 1.0, start);
    for step in 1..SMOOTHING_STEPS {
        let smoothing = f64::from(step) / f64::from(SMOOTHING_STEPS);
        let mut level = start;
        let mut squares = 0.0;

        for value in values {
            let error = value - level;
            squares += error * error;
            level += smoothing * error;
        }

        if squares < best.0 {
            best = (squares, smoothing, level);
        }
    }

    (best.1, best.2)
}

/// The slope of the regression line, per day.
fn slope(values: &[f64]) -> f64 {
    let middle = (values.len() as f64 - 1.0) / 2.0;
    let average = mean(values);
    let mut covariance = 0.0;
    let mut variance = 0.0;

    for (day, value) in values.iter().enumerate() {
        let distance = day as f64 - middle;
        covariance += distance * (value - average);
        variance += distance * distance;
    }

    if variance > 0.0 {
        covariance / variance
    } else {
        0.0
    }
}

/// The mean; NaN where there is no value.
pub(super) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The median, of at least one value; sorts the values.
pub(super) fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 {
        values[middle]
    } else {
        (values[middle - 1] + values[middle]) / 2.0
    }
}
