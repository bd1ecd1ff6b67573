//! Points in time as exports write them, to the UTC day.

use crate::cells::Period;
use crate::date::{day_number, day_of};
use time::{Date, Month};

/// Minutes of a day.
const DAY_MINUTES: i32 = 24 * 60;

/// Days by the first ten bytes of a point in time: a bill has few of them.
#[derive(Debug)]
pub(super) struct Days {
    known: Vec<([u8; 10], i32)>,
}

impl Days {
    pub(super) fn new() -> Self {
        Self {
            known: vec![([0; 10], 0); 128],
        }
    }

    /// The number ([`day_number`]) of the UTC day of a point in time: `2024-09-18`, `2024-09-18
    /// 22:00:00`, `2024-09-18T22:00:00.000Z`, `2024-09-18T22:00:00+02:00`, `2024-09-18 22:00:00
    /// UTC`.
    #[inline]
    pub(super) fn day(&mut self, text: &[u8]) -> Option<i32> {
        let (date, rest) = text.split_first_chunk::<10>()?;
        // The last digits of month and day tell neighbours apart.
        let place = (usize::from(date[9]) + 10 * usize::from(date[8]) + 32 * usize::from(date[6]))
            % self.known.len();
        let known = &mut self.known[place];

        if known.0 != *date {
            *known = (*date, day_number(parse_date(date)?));
        }

        let day = known.1;
        match rest {
            [] => Some(day),
            [b' ' | b'T', time @ ..] => Some(day + day_shift(time)?),
            _ => None,
        }
    }
}

/// The month of a day; none beyond the calendar.
pub(super) fn period_of(day: i32) -> Option<Period> {
    day_of(day).map(Period::of)
}

fn parse_date(text: &[u8; 10]) -> Option<Date> {
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = text else {
        return None;
    };
    let year = i32::from(two_digits(*y1, *y2)?) * 100 + i32::from(two_digits(*y3, *y4)?);

    Date::from_calendar_date(
        year,
        Month::try_from(two_digits(*m1, *m2)?).ok()?,
        two_digits(*d1, *d2)?,
    )
    .ok()
}

/// By how many days the offset behind a time of day moves its date, to UTC.
#[inline]
fn day_shift(time: &[u8]) -> Option<i32> {
    let [h1, h2, b':', m1, m2, rest @ ..] = time else {
        return None;
    };
    let hour = two_digits(*h1, *h2)?;
    let minute = two_digits(*m1, *m2)?;
    let (second, rest) = match rest {
        [b':', s1, s2, rest @ ..] => (two_digits(*s1, *s2)?, rest),
        _ => (0, rest),
    };

    // A leap second is a second, too.
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    if matches!(rest, [] | [b'Z']) {
        return Some(0);
    }

    let rest = match rest {
        [b'.', fraction @ ..] => {
            let digits = fraction
                .iter()
                .take_while(|byte| byte.is_ascii_digit())
                .count();
            (digits > 0).then(|| &fraction[digits..])?
        }
        _ => rest,
    };

    let minutes = i32::from(hour) * 60 + i32::from(minute) - offset_minutes(rest)?;
    Some(minutes.div_euclid(DAY_MINUTES))
}

fn offset_minutes(text: &[u8]) -> Option<i32> {
    let (sign, hour, minute) = match text {
        [] | b"Z" | b"z" | b" UTC" | b"UTC" => return Some(0),
        [sign @ (b'+' | b'-'), h1, h2] => (sign, two_digits(*h1, *h2)?, 0),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] | [sign @ (b'+' | b'-'), h1, h2, m1, m2] => {
            (sign, two_digits(*h1, *h2)?, two_digits(*m1, *m2)?)
        }
        _ => return None,
    };
    let minutes = i32::from(hour) * 60 + i32::from(minute);

    (minute < 60 && minutes <= 18 * 60).then_some(if *sign == b'-' { -minutes } else { minutes })
}

#[inline]
fn two_digits(tens: u8, ones: u8) -> Option<u8> {
    let tens = tens.wrapping_sub(b'0');
    let ones = ones.wrapping_sub(b'0');
    (tens <= 9 && ones <= 9).then(|| tens * 10 + ones)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use proptest::prelude::*;
    use time::{Duration, OffsetDateTime, UtcOffset, format_description::well_known::Rfc3339};

    proptest! {
        #[test]
        fn every_point_in_time_falls_on_its_utc_day(
            seconds in 0i64..4_000_000_000,
            offset in -17i8..=17,
            minute in 0i8..60,
        ) {
            let moment = OffsetDateTime::from_unix_timestamp(seconds).unwrap();
            let offset =
                UtcOffset::from_hms(offset, if offset < 0 { -minute } else { minute }, 0).unwrap();
            let text = moment.to_offset(offset).format(&Rfc3339).unwrap();
            let expected = day_number(moment.date());
            let mut days = Days::new();

            // Another day at the same place must not be taken for it.
            days.day((moment.date() + Duration::days(320)).to_string().as_bytes());
            prop_assert_eq!(days.day(text.as_bytes()), Some(expected), "{}", text);
        }

        #[test]
        fn arbitrary_bytes_never_panic(text: Vec<u8>, tail: Vec<u8>) {
            let mut days = Days::new();
            days.day(&text);
            days.day(&[b"2024-09-18T22:00:00", tail.as_slice()].concat());
        }
    }

    #[test]
    fn the_forms_of_the_exports_are_read_and_others_are_not() {
        let mut days = Days::new();
        let mut day = |text: &str| {
            days.day(text.as_bytes())
                .and_then(day_of)
                .map(|day| day.to_string())
        };

        for (text, expected) in [
            ("2024-09-18", "2024-09-18"),
            ("2024-09-18 22:00:00", "2024-09-18"),
            ("2024-09-18T22:00:00Z", "2024-09-18"),
            ("2024-09-18T22:00Z", "2024-09-18"),
            ("2024-09-18 22:00:00 UTC", "2024-09-18"),
            ("2024-09-18T22:00:00.000Z", "2024-09-18"),
            ("2024-09-18T22:00:00.0000000-03:00", "2024-09-19"),
            ("2024-10-01T01:00:00+0200", "2024-09-30"),
        ] {
            assert_eq!(day(text).as_deref(), Some(expected), "{text}");
        }

        for bad in [
            "",
            "4/1/25",
            "2024-13-01",
            "2024-02-30",
            "2023-02-01T30:00:00Z",
            "2024-09-18T22",
            "2024-09-18x",
            "20240918",
        ] {
            assert_eq!(day(bad), None, "{bad}");
        }
    }
}
