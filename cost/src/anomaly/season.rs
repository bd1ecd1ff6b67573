//! Daily and weekly patterns of a series.

use super::stream::{ZStream, weight};
use serde::{Deserialize, Serialize};

/// Cycles that a bin remembers.
const CYCLES: f64 = 4.0;
/// A series has a season when its values are this much closer to the season than to the level, in
/// mean absolute residuals: the season then explains almost half of the variance.
const RESIDUAL_SHARE_MAX: f64 = 0.75;

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Bin {
    count: u32,
    mean: f64,
}

/// Means by the time within a period, in a fixed number of bins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Season {
    period_s: i64,
    width_s: i64,
    points_per_bin: f64,
    bins: Vec<Bin>,
    pub(super) residuals: ZStream,
}

impl Season {
    /// A season of `period_s` in bins of at least `width_min_s`; `None` if points are too far apart
    /// for it.
    pub(super) fn new(period_s: i64, width_min_s: i64, interval_s: i64) -> Option<Self> {
        let width_s = width_min_s.max(interval_s);
        let bins = (period_s + width_s - 1) / width_s;
        (interval_s > 0 && bins > 1).then(|| Self {
            period_s,
            width_s,
            points_per_bin: (width_s as f64 / interval_s as f64).max(1.0),
            bins: vec![Bin::default(); bins as usize],
            residuals: ZStream::default(),
        })
    }

    fn place(&self, at_s: i64) -> usize {
        (at_s.rem_euclid(self.period_s.max(1)) / self.width_s.max(1)) as usize
    }

    /// The mean at this time; none before the first cycle has shown it.
    pub(super) fn mean(&self, at_s: i64) -> Option<f64> {
        self.bins
            .get(self.place(at_s))
            .filter(|bin| bin.count > 0)
            .map(|bin| bin.mean)
    }

    /// Points in a cycle.
    pub(super) fn cycle_points(&self) -> u32 {
        (self.bins.len() as f64 * self.points_per_bin) as u32
    }

    /// Whether the season predicts the series: it predicted a whole cycle, and much better than the
    /// level.
    pub(super) fn is_predictive(&self, level: &ZStream) -> bool {
        let is_known = self.residuals.count() >= self.cycle_points();
        is_known && self.residuals.mean_absolute() < RESIDUAL_SHARE_MAX * level.mean_absolute()
    }

    /// Learns a value that was off by `learned`, or the first value of its bin.
    pub(super) fn learn(&mut self, at_s: i64, value: f64, learned: Option<f64>) {
        let window = CYCLES * self.points_per_bin;
        let place = self.place(at_s);
        let Some(bin) = self.bins.get_mut(place) else {
            return;
        };

        bin.count = bin.count.saturating_add(1);
        match learned {
            None => bin.mean = value,
            Some(learned) => bin.mean += weight(bin.count, window) * learned,
        }
    }
}
