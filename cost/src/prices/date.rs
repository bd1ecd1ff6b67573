//! Days as `2026-09-06`.

use time::{Date, format_description::BorrowedFormatItem, macros::format_description};

const FORMAT: &[BorrowedFormatItem<'static>] = format_description!("[year]-[month]-[day]");

/// Reads `2026-09-06`.
pub(super) fn parse_date(text: &str) -> Option<Date> {
    Date::parse(text, FORMAT).ok()
}

/// For `#[serde(with = "iso_date")]`.
pub(crate) mod iso_date {
    use serde::{Deserialize, Deserializer, Serializer, de, ser};
    use time::Date;

    pub(crate) fn serialize<S: Serializer>(day: &Date, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&day.format(super::FORMAT).map_err(ser::Error::custom)?)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Date, D::Error> {
        let text = String::deserialize(deserializer)?;
        super::parse_date(&text).ok_or_else(|| de::Error::custom(format!("{text:?} is no day: write it as 2026-09-06")))
    }
}
