//! Forecasts of daily costs, and the total that a month is heading for.
//!
//! Five methods compete for each series: seasonal naive, theta, MSTL with ETS, and the mean and the
//! median of these three. A rolling-origin backtest picks one and measures how far it was off; the
//! bands are as wide as those errors, by split conformal prediction (Lei et al., "Distribution-Free
//! Predictive Inference for Regression", JASA 113, 2018). The newest days of a bill are incomplete,
//! because charges arrive late, so they are forecast rather than believed.
//!
//! The same costs give the same forecast: there is no randomness in it.

mod backtest;
mod daily;
mod error;
mod interval;
mod methods;
mod month;
mod scale;
mod theta;

use crate::money::{Amount, Currency};
use backtest::Backtest;
pub use daily::DailyCosts;
pub use error::ForecastError;
pub(crate) use error::HORIZON_DAYS_MAX;
pub use methods::Method;
pub use month::{MonthEnd, month_end};
use scale::Scale;
use schemars::JsonSchema;
use serde::{Serialize, Serializer};
use std::ops::Range;
use time::{Date, Duration};

/// The newest days of a bill that are left out by default: providers still add charges to them.
pub const INCOMPLETE_DAYS: u16 = 2;

/// An expected amount, and the band in which the actual one should lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Estimate {
    /// The expected amount: half of the outcomes should be higher, half lower.
    pub expected: Amount,
    /// The lower end of the band; never above `expected`.
    pub low: Amount,
    /// The upper end of the band; never below `expected`.
    pub high: Amount,
}

/// The forecast of one day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ForecastDay {
    /// The day, UTC.
    #[schemars(with = "String")]
    #[serde(serialize_with = "write_date")]
    pub day: Date,
    #[serde(flatten)]
    pub cost: Estimate,
}

/// The forecast of the days after the last complete one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Forecast {
    pub currency: Currency,
    /// The method that the backtest picked.
    pub method: Method,
    /// The number of past forecasts behind the bands. Without any, a band reaches from half to
    /// about twice what is expected.
    pub folds: u8,
    /// The days in order, from the first incomplete one on.
    pub days: Vec<ForecastDay>,
    /// Their sum. Its band is narrower than the sum of the days' bands, whose errors partly cancel
    /// out.
    pub total: Estimate,
}

/// Forecasts the `horizon_days` after the last complete day. The newest `incomplete_days` of
/// `costs` count as unknown and are the first that are forecast; [`INCOMPLETE_DAYS`] suits bills, 0
/// suits costs that are measured live.
pub fn forecast(
    costs: &DailyCosts,
    horizon_days: u16,
    incomplete_days: u16,
) -> Result<Forecast, ForecastError> {
    if !(1..=HORIZON_DAYS_MAX).contains(&horizon_days) {
        return Err(ForecastError::Horizon { days: horizon_days });
    }

    let horizon = usize::from(horizon_days);
    let (complete, last_complete) = costs.complete(incomplete_days)?;
    let outlook = Outlook::new(complete, horizon, 0..horizon);

    let mut days = Vec::with_capacity(horizon);
    for (index, cost) in outlook.days.iter().enumerate() {
        let day = last_complete
            .checked_add(Duration::days(index as i64 + 1))
            .ok_or(ForecastError::Calendar)?;
        days.push(ForecastDay {
            day,
            cost: cost.estimate()?,
        });
    }

    let total = outlook.total.estimate()?;
    Ok(Forecast {
        currency: costs.currency(),
        method: outlook.method,
        folds: outlook.folds,
        days,
        total,
    })
}

/// A forecast in floating-point numbers.
struct Outlook {
    method: Method,
    folds: u8,
    days: Vec<Band>,
    /// The sum of some of the days.
    total: Band,
}

impl Outlook {
    /// Forecasts `horizon` days after `costs`, at least one of each, and the sum of those days that
    /// are `summed`.
    fn new(costs: &[Amount], horizon: usize, summed: Range<usize>) -> Self {
        let costs = daily::recent(costs);
        let Some(scale) = Scale::of(&costs) else {
            let nothing = Band {
                expected: 0.0,
                low: 0.0,
                high: 0.0,
            };

            return Self {
                method: Method::SeasonalNaive,
                folds: 0,
                days: vec![nothing; horizon],
                total: nothing,
            };
        };

        let scaled: Vec<f64> = costs.iter().map(|cost| scale.apply(*cost)).collect();
        let backtest = Backtest::run(&scaled, &scale, horizon, &summed);

        let points = methods::forecast(&scaled, horizon, backtest.method);
        let half_widths = (0..horizon).map(|index| backtest.day_half_width(index));
        let days = points
            .iter()
            .zip(half_widths)
            .map(|(point, half)| Band::around(&scale, *point, half))
            .collect();

        let total_scale = scale.times(summed.len());
        let total: f64 = points[summed.clone()]
            .iter()
            .map(|point| scale.invert(*point))
            .sum();
        let total = Band {
            expected: total,
            ..Band::around(
                &total_scale,
                total_scale.apply(total),
                backtest.total_half_width(),
            )
        };

        Self {
            method: backtest.method,
            folds: backtest.folds(),
            days,
            total,
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Band {
    expected: f64,
    low: f64,
    high: f64,
}

impl Band {
    /// From `half_width` below `point` to as much above it, all of them in scaled numbers.
    fn around(scale: &Scale, point: f64, half_width: f64) -> Self {
        let [low, expected, high] =
            [point - half_width, point, point + half_width].map(|value| scale.invert(value));
        Self {
            expected,
            low,
            high,
        }
    }

    fn estimate(self) -> Result<Estimate, ForecastError> {
        let low = self.low.min(self.expected);
        let high = self.high.max(self.expected);
        Ok(Estimate {
            expected: amount(self.expected)?,
            low: amount(low)?,
            high: amount(high)?,
        })
    }
}

/// Rounded to a millionth: a forecast has no use for more digits.
fn amount(value: f64) -> Result<Amount, ForecastError> {
    Amount::from_f64((value * 1e6).round() / 1e6).ok_or(ForecastError::TooLarge)
}

fn write_date<S: Serializer>(day: &Date, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(day)
}

#[cfg(test)]
mod tests;
