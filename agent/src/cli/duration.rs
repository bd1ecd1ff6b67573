//! One way to write a duration: `90s`, `1h30m`, `2h`, `3d`. Pure.

use std::time::Duration;

/// The units, largest first: a duration uses each at most once, in this order.
const UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// Reads a duration.
pub(super) fn parse(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is not a duration such as 90s, 1h30m or 2h");
    let mut rest = text;
    let mut units = UNITS.as_slice();
    let mut total_ms = 0u64;

    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let (number, after) = rest.split_at(digits);
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let unit_end = after
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        let place = units
            .iter()
            .position(|(name, _)| *name == unit)
            .ok_or_else(wrong)?;
        let (_, unit_ms) = units.get(place).ok_or_else(wrong)?;

        total_ms = number
            .checked_mul(*unit_ms)
            .and_then(|ms| total_ms.checked_add(ms))
            .ok_or_else(wrong)?;

        units = units.get(place + 1..).unwrap_or_default();
        rest = after;
    }

    if text.is_empty() {
        Err(wrong())
    } else {
        Ok(Duration::from_millis(total_ms))
    }
}

/// Writes a duration as [`parse`] reads it.
pub(super) fn format(duration: Duration) -> String {
    let mut rest_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let mut text = String::new();
    for (name, unit_ms) in UNITS {
        let number = rest_ms / unit_ms;
        rest_ms %= unit_ms;
        if number > 0 {
            text += &format!("{number}{name}");
        }
    }

    if text.is_empty() { "0s".into() } else { text }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
