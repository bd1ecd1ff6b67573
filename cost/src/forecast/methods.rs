//! The methods that compete.

use super::theta::{WEEK, mean, median, theta};
use augurs::{Fit, Predict, ets::AutoETS, mstl::MSTLModel};
use schemars::JsonSchema;
use serde::Serialize;
use strum::{Display, IntoStaticStr};

/// Days that the methods learn from. With 16 or 26 weeks the forecasts are as good.
const LEARNING_DAYS: usize = 20 * WEEK;
/// A decomposition needs two seasons.
const MSTL_DAYS_MIN: usize = 2 * WEEK;
/// How far a forecast may exceed the observed range, scaled: a factor of four. A trend that grows
/// by ratios would otherwise leave all bounds within a long horizon.
const EXCURSION_MAX: f64 = 2.0 * std::f64::consts::LN_2;

/// A forecasting method.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    JsonSchema,
    Display,
    IntoStaticStr,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Method {
    /// Next week is like this week.
    SeasonalNaive,
    /// Exponential smoothing with half the long-run trend.
    Theta,
    /// Weekly pattern taken off (MSTL), the rest by exponential smoothing with or without trend
    /// (ETS), whichever fits better.
    MstlEts,
    /// The mean of the three others.
    Mean,
    /// The median of the three others.
    Median,
}

impl Method {
    pub const ALL: [Self; 5] = [
        Self::SeasonalNaive,
        Self::Theta,
        Self::MstlEts,
        Self::Mean,
        Self::Median,
    ];

    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// The forecasts of all methods, in the order of [`Method::ALL`], for the `horizon` days after
/// `scaled`, at least one.
pub(super) fn forecast_all(scaled: &[f64], horizon: usize) -> [Vec<f64>; Method::ALL.len()] {
    let known = &scaled[scaled.len().saturating_sub(LEARNING_DAYS)..];
    let naive = seasonal_naive(known, horizon);
    let theta = bounded(known, theta(known, horizon));

    // If it can't be fitted, the combinations omit it.
    let mstl_ets = mstl_ets(known, horizon).map(|forecast| bounded(known, forecast));

    let mut mean_of = Vec::with_capacity(horizon);
    let mut median_of = Vec::with_capacity(horizon);
    for ahead in 0..horizon {
        let mut values = vec![naive[ahead], theta[ahead]];
        values.extend(mstl_ets.as_ref().map(|forecast| forecast[ahead]));
        mean_of.push(mean(&values));
        median_of.push(median(&mut values));
    }

    let mstl_ets = mstl_ets.unwrap_or_else(|| median_of.clone());
    [naive, theta, mstl_ets, mean_of, median_of]
}

/// The forecast of one method.
pub(super) fn forecast(scaled: &[f64], horizon: usize, method: Method) -> Vec<f64> {
    let [naive, theta, mstl_ets, mean, median] = forecast_all(scaled, horizon);
    match method {
        Method::SeasonalNaive => naive,
        Method::Theta => theta,
        Method::MstlEts => mstl_ets,
        Method::Mean => mean,
        Method::Median => median,
    }
}

/// The last week again; the mean where there is no whole week.
fn seasonal_naive(known: &[f64], horizon: usize) -> Vec<f64> {
    match known.len().checked_sub(WEEK) {
        Some(start) => (0..horizon)
            .map(|ahead| known[start + ahead % WEEK])
            .collect(),
        None => vec![mean(known); horizon],
    }
}

fn mstl_ets(known: &[f64], horizon: usize) -> Option<Vec<f64>> {
    if known.len() < MSTL_DAYS_MIN {
        return None;
    }

    // Additive errors, trend or none, no season. A damped trend forecasts no better here and takes
    // twice as long to fit.
    let ets = AutoETS::new(1, "AZN")
        .and_then(|ets| ets.damped(false))
        .ok()?;
    let fitted = MSTLModel::new(vec![WEEK], ets.into_trend_model())
        .fit(known)
        .ok()?;
    let forecast = fitted.predict(horizon, None).ok()?.point;

    (forecast.len() == horizon && forecast.iter().all(|value| value.is_finite()))
        .then_some(forecast)
}

fn bounded(known: &[f64], mut forecast: Vec<f64>) -> Vec<f64> {
    let low = known.iter().copied().fold(f64::INFINITY, f64::min) - EXCURSION_MAX;
    let high = known.iter().copied().fold(f64::NEG_INFINITY, f64::max) + EXCURSION_MAX;
    for value in &mut forecast {
        *value = value.clamp(low, high);
    }
    forecast
}
