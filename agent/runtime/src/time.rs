//! The agent's wall clock, and the text form of times.

use std::time::{SystemTime, UNIX_EPOCH};

/// Now, milliseconds since the Unix epoch; 0 if the clock is set before it.
pub fn unix_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |elapsed| {
            u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
        })
}

/// A time in RFC 3339, UTC; `ms` are Unix milliseconds. An unrepresentable time becomes 1970.
pub fn rfc3339(ms: u64) -> String {
    let format = time::macros::format_description!(
        "[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z"
    );
    time::OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000)
        .ok()
        .and_then(|moment| moment.format(format).ok())
        .unwrap_or_else(|| "1970-01-01T00:00:00.000Z".into())
}

#[cfg(test)]
mod tests {
    #[test]
    fn times_are_written_to_the_millisecond() {
        assert_eq!(super::rfc3339(951_782_400_007), "2000-02-29T00:00:00.007Z");
        assert_eq!(super::rfc3339(u64::MAX), "1970-01-01T00:00:00.000Z");
    }
}
