//! The rolling-origin backtest: forecasts made as if it were some weeks ago, compared with what
//! followed.

use super::{
    interval::{growth, half_width},
    methods::{self, Method},
    scale::Scale,
    theta::WEEK,
};
use std::ops::Range;

/// Past forecasts that bands are made of.
const FOLDS: usize = 12;
/// The newest of them choose the method.
const CHOOSING_FOLDS: usize = 3;
/// Three folds are few: a method must beat the median by a fifth, or the difference counts as
/// chance.
const ADVANTAGE_MIN: f64 = 0.2;
/// The fewest days that a past forecast is made from.
const LEARNING_DAYS_MIN: usize = 5;
/// A past forecast reaches over at most this part of the days that there are.
const HORIZON_PART: usize = 3;
/// Short series are tested at closer intervals than a week.
const STEP_PART: usize = 8;
/// A day's band is made of the errors at horizons that differ by at most this many days.
const NEIGHBOUR_DAYS: usize = 3;

/// The result of the backtest.
pub(super) struct Backtest {
    pub(super) method: Method,
    /// Days that the forecasts tried to reach over.
    horizon: usize,
    /// Days that past forecasts reached over.
    tested: usize,
    /// Errors of the method, newest first.
    errors: Vec<Errors>,
}

/// The errors of one past forecast, scaled.
struct Errors {
    days: Vec<f64>,
    total: f64,
}

/// One past forecast with all methods.
struct Fold {
    errors: [Errors; Method::ALL.len()],
    /// Errors of the totals in money, by method.
    misses: [f64; Method::ALL.len()],
}

impl Backtest {
    /// Tests forecasts over `horizon` days and over the sum of those that are `summed`.
    pub(super) fn run(
        scaled: &[f64],
        scale: &Scale,
        horizon: usize,
        summed: &Range<usize>,
    ) -> Self {
        let day_count = scaled.len();
        let tested = horizon.min(day_count / HORIZON_PART).max(1);
        let step = WEEK.min(day_count / STEP_PART).max(1);

        // The same days are summed, within the reach of the test.
        let summed = summed.start.min(tested - 1)..summed.end.clamp(1, tested);

        let origins = (0..FOLDS).filter_map(|fold| day_count.checked_sub(tested + fold * step));
        let origins = origins.take_while(|origin| *origin >= LEARNING_DAYS_MIN);
        let folds: Vec<Fold> = origins
            .map(|origin| fold(scaled, scale, origin, tested, &summed))
            .collect();

        // Without any test nothing is known about how errors grow.
        let tested = if folds.is_empty() { horizon } else { tested };
        let method = choose(&folds[..folds.len().min(CHOOSING_FOLDS)]);
        let errors = folds.into_iter().map(|fold| {
            let [naive, theta, mstl_ets, mean, median] = fold.errors;
            match method {
                Method::SeasonalNaive => naive,
                Method::Theta => theta,
                Method::MstlEts => mstl_ets,
                Method::Mean => mean,
                Method::Median => median,
            }
        });

        Self {
            method,
            horizon,
            tested,
            errors: errors.collect(),
        }
    }

    /// Number of past forecasts.
    pub(super) fn folds(&self) -> u8 {
        self.errors.len() as u8
    }

    /// Half-width of the band of the day that follows `index` others, scaled.
    pub(super) fn day_half_width(&self, index: usize) -> f64 {
        let nearest = index.min(self.tested - 1);
        let neighbours =
            nearest.saturating_sub(NEIGHBOUR_DAYS)..(nearest + NEIGHBOUR_DAYS + 1).min(self.tested);
        let errors = self
            .errors
            .iter()
            .flat_map(|errors| errors.days[neighbours.clone()].iter().copied());

        half_width(errors) * growth(self.tested, index + 1)
    }

    /// Half-width of the band of the sum, scaled.
    pub(super) fn total_half_width(&self) -> f64 {
        half_width(self.errors.iter().map(|errors| errors.total))
            * growth(self.tested, self.horizon)
    }
}

fn fold(
    scaled: &[f64],
    scale: &Scale,
    origin: usize,
    tested: usize,
    summed: &Range<usize>,
) -> Fold {
    let actual = &scaled[origin..origin + tested];
    let sum = |values: &[f64]| {
        values[summed.clone()]
            .iter()
            .map(|value| scale.invert(*value))
            .sum::<f64>()
    };
    let actual_sum = sum(actual);
    let total_scale = scale.times(summed.len());

    let forecasts = methods::forecast_all(&scaled[..origin], tested);
    let misses = forecasts
        .each_ref()
        .map(|forecast| (sum(forecast) - actual_sum).abs());
    let errors = forecasts.map(|forecast| Errors {
        days: actual
            .iter()
            .zip(&forecast)
            .map(|(actual, forecast)| actual - forecast)
            .collect(),
        total: total_scale.apply(actual_sum) - total_scale.apply(sum(&forecast)),
    });

    Fold { errors, misses }
}

/// The method whose totals were off least; the median of all unless another one is clearly better.
fn choose(folds: &[Fold]) -> Method {
    let miss = |method: Method| {
        folds
            .iter()
            .map(|fold| fold.misses[method as usize])
            .sum::<f64>()
    };
    let mut best = (Method::Median, miss(Method::Median) * (1.0 - ADVANTAGE_MIN));

    for method in Method::ALL {
        let miss = miss(method);
        if miss < best.1 {
            best = (method, miss);
        }
    }

    best.0
}
