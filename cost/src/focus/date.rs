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
        // The last digits of month and day differ between neighbours.
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

/// The month of a day; `None` beyond the calendar.
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

/// Days by which a UTC offset shifts the date.
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
mod tests;
