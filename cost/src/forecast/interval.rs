//! The width of bands, from errors that were made before.

/// The share of outcomes that the bands are made to cover.
pub(super) const BAND_COVERAGE: f64 = 0.8;
/// The fewest errors whose quantile covers enough: with n of them the largest covers n / (n + 1).
const ERRORS_MIN: usize = 4;
/// Substitute for each missing error: a factor of two, scaled.
const UNKNOWN_ERROR: f64 = std::f64::consts::LN_2;

/// Half-width of a band that the next error stays within with a probability of at least
/// [`BAND_COVERAGE`], if errors come in no particular order: the conformal quantile, the ⌈(n + 1) ×
/// coverage⌉-th smallest of n errors.
pub(super) fn half_width(errors: impl Iterator<Item = f64>) -> f64 {
    let mut sizes: Vec<f64> = errors.map(f64::abs).collect();
    if sizes.len() < ERRORS_MIN {
        sizes.resize(ERRORS_MIN, UNKNOWN_ERROR);
    }
    sizes.sort_by(f64::total_cmp);

    let rank = ((sizes.len() + 1) as f64 * BAND_COVERAGE).ceil() as usize;
    sizes[rank.clamp(1, sizes.len()) - 1]
}

/// How much errors grow between two horizons: those of a random walk, with the square root of the
/// time.
pub(super) fn growth(from_days: usize, to_days: usize) -> f64 {
    (to_days as f64 / from_days as f64).sqrt().max(1.0)
}
