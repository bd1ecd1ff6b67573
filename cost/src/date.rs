//! Days, UTC: as texts such as `2026-09-06`, as numbers, and of moments.

use time::{Date, format_description::BorrowedFormatItem, macros::format_description};

const FORMAT: &[BorrowedFormatItem<'static>] = format_description!("[year]-[month]-[day]");
const EPOCH_JULIAN: i32 = 2_440_588;
/// A day, milliseconds.
pub(crate) const DAY_MS: u64 = 86_400_000;

/// Reads `2026-09-06`.
pub fn parse_date(text: &str) -> Option<Date> {
    Date::parse(text, FORMAT).ok()
}

/// Days since 1 January 1970.
pub fn day_number(day: Date) -> i32 {
    day.to_julian_day() - EPOCH_JULIAN
}

/// The day `number` days after 1 January 1970; `None` beyond the calendar.
pub fn day_of(number: i32) -> Option<Date> {
    Date::from_julian_day(number.checked_add(EPOCH_JULIAN)?).ok()
}

/// The day of a moment, Unix milliseconds; `None` beyond the calendar.
pub fn date_at(ms: u64) -> Option<Date> {
    day_of(i32::try_from(ms / DAY_MS).ok()?)
}

/// When a day ends, Unix milliseconds.
pub fn end_of_day_ms(day: Date) -> u64 {
    u64::try_from(day_number(day) + 1).unwrap_or(0) * DAY_MS
}

/// For `#[serde(with = "iso_date")]`.
pub mod iso_date {
    use serde::{Deserialize, Deserializer, Serializer, de};
    use time::Date;

    /// A day as `2026-09-06`.
    pub fn serialize<S: Serializer>(day: &Date, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(day)
    }

    /// A day that was written so.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Date, D::Error> {
        let text = String::deserialize(deserializer)?;
        super::parse_date(&text).ok_or_else(|| {
            de::Error::custom(format!("{text:?} is not a date; write it as 2026-09-06"))
        })
    }
}
