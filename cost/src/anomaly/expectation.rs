//! The expected rate of a stream over ten minutes, and how far above it is more than chance.
//!
//! A stream has three predictors: the ten minutes before, the level of the last day, and this time
//! of the day. The one with the smallest errors so far counts. A load that wanders is thus compared
//! with what it has just been, a bursty one with its mean.

use super::stream::weight;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Minutes whose mean is judged, against as many before them.
pub(super) const WINDOW: usize = 10;
/// Ten minutes are unusual from this multiple of the ten minutes before on, below a spike of ×3:
/// production load doubles every few days without cause. Load that has kept to its mean or daily
/// pattern for days does not, so a smaller rise is unusual there.
const HIGH: f64 = 2.5;
const HIGH_STEADY: f64 = 2.3;
/// They must also be this many mean absolute errors of the predictor away, as logarithms.
const ERRORS_MIN: f64 = 3.0;
/// They must be this multiple of what is usual and of what the last hours showed as well: a rise
/// that undoes a fall doesn't count.
const ABOVE_EARLIER: f64 = 1.15;
/// Means of ten minutes that are those hours: four.
const EARLIER: usize = 24;
/// The size of a spike that must be seen. What a minute shows beyond it, and beyond what single
/// minutes usually add to it, doesn't count, so a burst of five minutes is not an incident.
const SPIKE: f64 = 3.0;
/// Usual contribution of single minutes, in mean absolute deviations.
const MINUTE_DEVIATIONS: f64 = 2.0;
/// Minutes that errors are averaged over: two days.
const ERROR_MINUTES: f64 = 2_880.0;
/// An error counts as one of at most this factor, as a logarithm, and a minute's deviation as one
/// of at most this multiple.
const ERROR_MAX: f64 = 1.0;
const DEVIATION_MAX: f64 = 2.0;

/// The last ten minutes compared with the expected rate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Judgement {
    /// The rate that was expected, above 0.
    pub(super) expected: f64,
    /// Whether they are higher than chance would explain.
    pub(super) is_unusual: bool,
}

/// The predictors of one stream and their errors.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Expectation {
    /// The rates of the last minutes, oldest first.
    rates: VecDeque<f64>,
    /// Means of ten minutes each over the last hours, oldest first.
    earlier: VecDeque<f64>,
    /// Minutes since the last of those.
    earlier_age: usize,
    /// Mean absolute errors, as logarithms, of the minutes before, of the level and of the time of
    /// the day.
    errors: [f64; 3],
    /// Mean absolute deviation of a minute from the expected rate, as a share of it.
    deviation: f64,
    count: u32,
}

impl Expectation {
    /// Judges the ten minutes that end with this rate, and learns from them. `level` and
    /// `time_of_day` are what was usual before it. `None` while less than twenty minutes are known,
    /// or nothing is expected.
    pub(super) fn observe(
        &mut self,
        rate: f64,
        level: f64,
        time_of_day: Option<f64>,
    ) -> Option<Judgement> {
        self.push(rate);
        let before = self.before()?;
        self.remember(before);

        let time_of_day = time_of_day.unwrap_or(level);
        let [_, level_error, time_error] = self.errors;
        let usual = if time_error < level_error {
            time_of_day
        } else {
            level
        };
        let earlier = self.earlier.iter().copied().fold(usual, f64::max);
        let predictors = [
            (before, HIGH),
            (level, HIGH_STEADY),
            (time_of_day, HIGH_STEADY),
        ];
        let predictors =
            predictors.map(|(rate, high)| (rate.max(earlier * ABOVE_EARLIER / high), high));

        let (error, (expected, high)) = self
            .errors
            .into_iter()
            .zip(predictors)
            .min_by(|(a, _), (b, _)| a.total_cmp(b))?;

        if expected <= 0.0 {
            return None;
        }

        let limit = expected * SPIKE * (1.0 + MINUTE_DEVIATIONS * self.deviation);
        let ratio =
            self.window().map(|rate| rate.min(limit)).sum::<f64>() / WINDOW as f64 / expected;

        self.learn(rate, expected, predictors.map(|(rate, _)| rate));
        Some(Judgement {
            expected,
            is_unusual: ratio >= high.max((ERRORS_MIN * error).exp()),
        })
    }

    /// Takes a rate that is part of an incident: it does not count as usual.
    pub(super) fn push(&mut self, rate: f64) {
        self.rates.push_back(rate);
        while self.rates.len() > 2 * WINDOW {
            self.rates.pop_front();
        }
    }

    /// Forgets what the rate was lately, after a gap.
    pub(super) fn forget_recent(&mut self) {
        self.rates.clear();
    }

    /// The minutes that are judged.
    fn window(&self) -> impl Iterator<Item = f64> {
        self.rates.iter().skip(WINDOW).copied()
    }

    /// The mean of the minutes before those.
    fn before(&self) -> Option<f64> {
        let is_known = self.rates.len() == 2 * WINDOW;
        is_known.then(|| self.rates.iter().take(WINDOW).sum::<f64>() / WINDOW as f64)
    }

    fn remember(&mut self, before: f64) {
        self.earlier_age += 1;
        if self.earlier_age < WINDOW {
            return;
        }
        self.earlier_age = 0;
        self.earlier.push_back(before);
        while self.earlier.len() > EARLIER {
            self.earlier.pop_front();
        }
    }

    fn learn(&mut self, rate: f64, expected: f64, predictions: [f64; 3]) {
        self.count = self.count.saturating_add(1);
        let weight = weight(self.count, ERROR_MINUTES);
        let mean = self.window().sum::<f64>() / WINDOW as f64;

        for (error, prediction) in self.errors.iter_mut().zip(predictions) {
            let off = if prediction > 0.0 {
                (mean / prediction).max(f64::MIN_POSITIVE).ln().abs()
            } else {
                ERROR_MAX
            };

            *error += weight * (off.min(ERROR_MAX) - *error);
        }

        self.deviation +=
            weight * ((rate / expected - 1.0).abs().min(DEVIATION_MAX) - self.deviation);
    }
}

#[cfg(test)]
mod tests;
