//! Days of the calendar.

/// The UTC day of a time in Unix milliseconds; the first day of the calendar if it is out of range.
pub fn date(ms: u64) -> time::Date {
    regionmesh_cost::date_at(ms).unwrap_or(time::Date::MIN)
}
