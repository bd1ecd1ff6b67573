//! Points in time as S3 writes them.

use std::time::{SystemTime, UNIX_EPOCH};

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];
const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];

/// A point in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment {
    seconds: u64,
    millis: u32,
}

/// Year, month, day, hour, minute, second.
type Civil = (u64, u64, u64, u64, u64, u64);

impl Moment {
    pub(super) fn now() -> Self {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("after 1970");
        Self {
            seconds: since.as_secs(),
            millis: since.subsec_millis(),
        }
    }

    /// As in headers: `Sun, 06 Nov 1994 08:49:37 GMT`
    pub(super) fn http(self) -> String {
        let (year, month, day, hour, minute, second) = self.civil();
        let weekday = DAYS[(self.seconds / 86_400 % 7) as usize];
        let month = MONTHS[month as usize - 1];
        format!("{weekday}, {day:02} {month} {year} {hour:02}:{minute:02}:{second:02} GMT")
    }

    /// As in listings: `1994-11-06T08:49:37.000Z`
    pub(super) fn iso(self) -> String {
        let (year, month, day, hour, minute, second) = self.civil();
        format!(
            "{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z",
            self.millis
        )
    }

    /// Hinnant, "chrono-Compatible Low-Level Date Algorithms".
    fn civil(self) -> Civil {
        let days = self.seconds / 86_400 + 719_468;
        let rest = self.seconds % 86_400;
        let era = days / 146_097;
        let day_of_era = days % 146_097;
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * shifted + 2) / 5 + 1;

        let month = if shifted < 10 {
            shifted + 3
        } else {
            shifted - 9
        };
        let year = year_of_era + era * 400 + u64::from(month <= 2);

        (year, month, day, rest / 3_600, rest / 60 % 60, rest % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_rfc_is_formatted_identically() {
        let moment = Moment {
            seconds: 784_111_777,
            millis: 0,
        };

        assert_eq!(moment.http(), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(moment.iso(), "1994-11-06T08:49:37.000Z");
    }
}
