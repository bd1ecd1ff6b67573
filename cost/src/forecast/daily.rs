//! The costs of consecutive days.

use super::error::ForecastError;
use crate::{
    cells::Period,
    money::{Amount, Currency},
};
use time::{Date, Duration};

/// Days that are kept, the newest ones.
const RETENTION_DAYS: usize = 731;
/// Days that a forecast uses. Older weekly patterns say little about next month, and the bound
/// limits the run time.
const RECENT_DAYS: usize = 294;

/// Daily costs in one currency. A day without a cost counts as a day that cost nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DailyCosts {
    currency: Currency,
    last: Date,
    /// One amount for each day up to `last`.
    amounts: Vec<Amount>,
    /// Amounts already billed for the days after `last`, up to the end of its month.
    later: Vec<Amount>,
}

impl DailyCosts {
    /// The costs up to and including `last`, the newest day that the bill has anything to say
    /// about. Costs of the same day are added. Costs after `last`, and those more than two years
    /// before it, are ignored. The series begins with the first cost.
    pub fn new(
        currency: Currency,
        last: Date,
        costs: impl IntoIterator<Item = (Date, Amount)>,
    ) -> Self {
        // Newest day first, until the length is known.
        let mut amounts = Vec::new();
        for (day, amount) in costs {
            let Ok(age) = usize::try_from((last - day).whole_days()) else {
                continue;
            };
            if age < RETENTION_DAYS {
                add(&mut amounts, age, amount);
            }
        }

        amounts.reverse();
        Self {
            currency,
            last,
            amounts,
            later: Vec::new(),
        }
    }

    /// The same with a part of what days after the newest one cost, which some bills have reached
    /// already; those after the end of its month are ignored.
    pub fn with_later(mut self, costs: impl IntoIterator<Item = (Date, Amount)>) -> Self {
        for (day, amount) in costs {
            if day > self.last && Period::of(day) == Period::of(self.last) {
                add(
                    &mut self.later,
                    usize::from(day.day() - self.last.day()) - 1,
                    amount,
                );
            }
        }

        self
    }

    pub fn currency(&self) -> Currency {
        self.currency
    }

    pub fn last(&self) -> Date {
        self.last
    }

    /// The costs without those of the newest days, and the last day that is left.
    pub(super) fn complete(
        &self,
        incomplete_days: u16,
    ) -> Result<(&[Amount], Date), ForecastError> {
        let error = ForecastError::NoCompleteDay { incomplete_days };
        let count = self
            .amounts
            .len()
            .checked_sub(usize::from(incomplete_days))
            .filter(|count| *count > 0)
            .ok_or(error)?;

        let last = self
            .last
            .checked_sub(Duration::days(i64::from(incomplete_days)))
            .ok_or(error)?;

        Ok((&self.amounts[..count], last))
    }

    /// Amounts billed so far for the days after the last complete one, up to the end of the newest
    /// day's month.
    pub(super) fn billed_since(&self, incomplete_days: u16) -> impl Iterator<Item = Amount> {
        let count = self
            .amounts
            .len()
            .saturating_sub(usize::from(incomplete_days));
        self.amounts[count..].iter().chain(&self.later).copied()
    }
}

fn add(amounts: &mut Vec<Amount>, index: usize, amount: Amount) {
    if amounts.len() <= index {
        amounts.resize(index + 1, Amount::ZERO);
    }
    amounts[index] += amount;
}

/// The input of a forecast: recent days from the first non-zero cost.
pub(super) fn recent(costs: &[Amount]) -> Vec<f64> {
    let recent = &costs[costs.len().saturating_sub(RECENT_DAYS)..];
    recent
        .iter()
        .skip_while(|amount| amount.is_zero())
        .map(|amount| amount.to_f64())
        .collect()
}
