//! Billing months.

use schemars::JsonSchema;
use std::{fmt, str::FromStr};
use time::{Date, Month};

/// A billing month.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema)]
#[schemars(with = "String")]
pub struct Period {
    pub year: i32,
    pub month: Month,
}

/// A text that is not a month.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a month; write it as 2026-09")]
pub struct PeriodError(String);

impl Period {
    /// The month of a day.
    pub fn of(day: Date) -> Self {
        Self {
            year: day.year(),
            month: day.month(),
        }
    }

    /// The next month.
    #[must_use]
    pub fn next(self) -> Self {
        let year = if self.month == Month::December {
            self.year.saturating_add(1)
        } else {
            self.year
        };

        Self {
            year,
            month: self.month.next(),
        }
    }

    /// The number of its days.
    pub fn days(self) -> u8 {
        self.month.length(self.year)
    }
}

impl FromStr for Period {
    type Err = PeriodError;

    fn from_str(text: &str) -> Result<Self, PeriodError> {
        let parse = || {
            let (year, month) = text.split_once('-')?;
            let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
            let is_written =
                year.len() == 4 && month.len() == 2 && is_digits(year) && is_digits(month);
            let month = Month::try_from(month.parse::<u8>().ok()?).ok()?;

            is_written.then_some(Self {
                year: year.parse().ok()?,
                month,
            })
        };

        parse().ok_or_else(|| PeriodError(text.chars().take(40).collect()))
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.year, u8::from(self.month))
    }
}

serde_as_text!(Period);
