//! One z-stream: how unusual a residual is, against the stream's own spread and its own decaying
//! past maximum.

use serde::{Deserialize, Serialize};

/// Gaussian noise reaches this many deviations about once in a month of 5-minute points: less is
/// never a surprise.
pub(super) const Z_QUIET: f64 = 4.0;
/// A deviation is never taken for less than this share of the value: series that hardly move would
/// alarm at every step.
const DEVIATION_SHARE_MIN: f64 = 0.01;
/// Deviation of a Gaussian over its mean absolute deviation: √(π/2).
const DEVIATION_PER_MEAN_ABSOLUTE: f64 = 1.253_314_137_315_500_3;
/// Residuals that are learned as they come, before any is clipped.
const UNCLIPPED_POINTS: u32 = 8;

/// The weight of a new point in a mean over `window` points, of which it is the `count`-th: a plain
/// mean at first, an exponential one later.
pub(super) fn weight(count: u32, window: f64) -> f64 {
    (1.0 / f64::from(count.max(1))).max(1.0 / window.max(1.0))
}

/// Spread and past maxima of one kind of residual.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct ZStream {
    count: u32,
    mean_absolute: f64,
    highest_rise: f64,
    highest_fall: f64,
}

/// A stream's result for a residual.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Surprise {
    /// ln(1 + z) over the same of the past maximum in this direction, or of [`Z_QUIET`] if that is
    /// larger. By logarithms, because the tail of a stream with large maxima is heavy: its records
    /// exceed each other by a factor.
    pub(super) ratio: f64,
    /// The residual, or what is left of it when it is clipped so that one outlier can't shift what
    /// is normal.
    pub(super) learned: f64,
}

impl ZStream {
    /// Residuals seen.
    pub(super) fn count(&self) -> u32 {
        self.count
    }

    /// Mean absolute residual, without the floor that [`ZStream::deviation`] has.
    pub(super) fn mean_absolute(&self) -> f64 {
        self.mean_absolute
    }

    /// The standard deviation of the residuals of a series whose values are about `magnitude`.
    pub(super) fn deviation(&self, magnitude: f64) -> f64 {
        (self.mean_absolute * DEVIATION_PER_MEAN_ABSOLUTE).max(magnitude * DEVIATION_SHARE_MIN)
    }

    /// The unsurprising range below and above the expected value, in deviations.
    pub(super) fn quiet_band(&self) -> (f64, f64) {
        (
            self.highest_fall.max(Z_QUIET),
            self.highest_rise.max(Z_QUIET),
        )
    }

    /// Judges a residual against what came before, then learns it. `decay` is what is left of the
    /// past maxima; `warm_up` is how many residuals come before the first that counts as a maximum.
    pub(super) fn observe(
        &mut self,
        residual: f64,
        magnitude: f64,
        window: f64,
        decay: f64,
        warm_up: u32,
    ) -> Surprise {
        let deviation = self.deviation(magnitude);
        let z = if deviation > 0.0 {
            residual.abs() / deviation
        } else {
            0.0
        };
        let limit = deviation * Z_QUIET;
        let learned = if self.count < UNCLIPPED_POINTS {
            residual
        } else {
            residual.clamp(-limit, limit)
        };

        self.highest_rise *= decay;
        self.highest_fall *= decay;

        let highest = if residual >= 0.0 {
            &mut self.highest_rise
        } else {
            &mut self.highest_fall
        };
        let is_warm = self.count >= warm_up;
        let ratio = if is_warm {
            z.ln_1p() / highest.max(Z_QUIET).ln_1p()
        } else {
            0.0
        };

        if is_warm {
            *highest = highest.max(z);
        }

        self.count = self.count.saturating_add(1);
        self.mean_absolute += weight(self.count, window) * (learned.abs() - self.mean_absolute);
        Surprise { ratio, learned }
    }
}
