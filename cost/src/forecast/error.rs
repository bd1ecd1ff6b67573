//! Why there is no forecast.

/// The longest forecast, in days.
pub(crate) const HORIZON_DAYS_MAX: u16 = 366;

/// Why there is no forecast.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ForecastError {
    /// No day of the series is complete.
    #[error(
        "no complete day of cost to forecast from: the newest {incomplete_days} days are left \
         out because charges arrive late; \
         wait for more days"
    )]
    NoCompleteDay {
        /// The days that were left out.
        incomplete_days: u16,
    },
    /// A forecast of no days, or of too many.
    #[error("can't forecast {days} days; expected 1 to {HORIZON_DAYS_MAX}")]
    Horizon {
        /// The days asked for.
        days: u16,
    },
    /// The requested days are beyond the calendar.
    #[error(
        "the forecast would end after the last day of the calendar (9999-12-31): check the dates \
            of the bill"
    )]
    Calendar,
    /// An amount of 10^14 or more.
    #[error(
        "the forecast exceeds 99,999,999,999,999 per day or in total: check the bill for absurd \
            amounts"
    )]
    TooLarge,
}
