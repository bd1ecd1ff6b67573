//! Days of the calendar.

/// The day of a point in time in UTC, Unix milliseconds. What lies beyond the calendar is its first
/// day.
pub fn date(ms: u64) -> time::Date {
    regionmesh_cost::date_at(ms).unwrap_or(time::Date::MIN)
}
