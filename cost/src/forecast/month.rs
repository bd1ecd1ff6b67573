//! The total that a month is heading for.

use super::{Band, DailyCosts, Estimate, ForecastError, Method, Outlook, amount};
use crate::{
    cells::Period,
    money::{Amount, Currency},
};
use schemars::JsonSchema;
use serde::Serialize;

/// The expected total of a month.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct MonthEnd {
    pub period: Period,
    pub currency: Currency,
    /// The complete days of the month, 0 to 31.
    pub known_days: u8,
    pub known: Amount,
    /// The total: the complete days as they are, the others as they are forecast, but never below
    /// what is billed of them already. Exact once all days are complete.
    pub total: Estimate,
    /// The total if the rest of the month costs per day what the complete days did on average; null
    /// before the first.
    pub run_rate: Option<Amount>,
    /// The forecasting method for the rest of the month; null if nothing is left.
    pub method: Option<Method>,
    /// The number of past forecasts behind the band.
    pub folds: u8,
}

/// The expected total of the month of the newest day of `costs`, from as much history as `costs`
/// have. The newest `incomplete_days` are forecast, see [`forecast`](super::forecast): what is
/// billed of them is the least that they cost.
pub fn month_end(costs: &DailyCosts, incomplete_days: u16) -> Result<MonthEnd, ForecastError> {
    let period = Period::of(costs.last());
    let month_days = usize::from(period.days());
    let (complete, last_complete) = costs.complete(incomplete_days)?;

    // Complete days end in this month or, early in a month, in an earlier one.
    let known_days = if Period::of(last_complete) == period {
        usize::from(last_complete.day())
    } else {
        0
    };
    let known: Amount = complete.iter().rev().take(known_days).copied().sum();
    let run_rate = known.share(month_days as u64, known_days as u64);
    let currency = costs.currency();

    let mut month = MonthEnd {
        period,
        currency,
        known_days: known_days as u8,
        known,
        total: Estimate {
            expected: known,
            low: known,
            high: known,
        },
        run_rate,
        method: None,
        folds: 0,
    };

    // Days between the last complete one and the end of the month.
    let newest_day = usize::from(costs.last().day());
    let horizon = month_days - newest_day + usize::from(incomplete_days);

    if horizon == 0 {
        return Ok(month);
    }

    let summed = horizon - (month_days - known_days)..horizon;
    let rest = Outlook::new(complete, horizon, summed.clone());
    let of_days = costs.billed_since(incomplete_days).skip(summed.start);

    month.total = total(
        known,
        rest.total.estimate()?,
        rest.days[summed].iter().zip(of_days),
    )?;
    month.method = Some(rest.method);
    month.folds = rest.folds;
    Ok(month)
}

/// The known days and the forecast of the others, which cost at least what is billed of them.
fn total<'a>(
    known: Amount,
    rest: Estimate,
    days: impl Iterator<Item = (&'a Band, Amount)>,
) -> Result<Estimate, ForecastError> {
    // The band moves with the expected amount.
    let mut moved = Amount::ZERO;
    let mut billed = known;
    for (band, of_day) in days.filter(|(_, of_day)| !of_day.is_zero()) {
        moved += (of_day - amount(band.expected)?).max(Amount::ZERO);
        billed += of_day;
    }

    let expected = known + rest.expected + moved;
    let high = known + rest.high + moved;
    let mut low = known + rest.low + moved;
    if billed > known {
        low = low.max(billed).min(expected);
    }

    // The sum must be an amount that can be written and read again.
    amount(low.to_f64())?;
    amount(high.to_f64())?;
    Ok(Estimate {
        expected,
        low,
        high,
    })
}
