//! Amounts as exports write them, read fast.

use crate::money::{Amount, AmountError, SCALE};

/// More digits before the point are too many anyway, unless they are zeros.
const WHOLE_MAX: usize = 14;

const POWERS: [u64; SCALE as usize + 1] = {
    let mut powers = [1; SCALE as usize + 1];
    let mut at = 1;
    while at < powers.len() {
        powers[at] = powers[at - 1] * 10;
        at += 1;
    }

    powers
};

/// The same as [`Amount::parse`]; plain numbers of at most 15 decimals take a short way.
#[inline]
pub(super) fn parse(text: &[u8]) -> Result<(Amount, bool), AmountError> {
    let (is_negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };

    match plain(digits) {
        Some(magnitude) => Ok((
            Amount(if is_negative { -magnitude } else { magnitude }),
            false,
        )),
        None => Amount::parse(text),
    }
}

#[inline]
fn plain(text: &[u8]) -> Option<i128> {
    let mut whole = 0;
    let mut length = 0;
    for byte in text {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            break;
        }
        whole = whole * 10 + u64::from(digit);
        length += 1;
        if length > WHOLE_MAX {
            return None;
        }
    }

    let (fraction, decimals) = match &text[length..] {
        [] => (0, 0),
        [b'.', digits @ ..] => (digits_value(digits)?, digits.len()),
        _ => return None,
    };

    // The slow path reports missing digits and rounds surplus ones.
    let power = POWERS.get(decimals)?;
    let rest = POWERS.get(SCALE as usize - decimals)?;
    let has_digits = length + decimals > 0;

    has_digits.then(|| {
        (i128::from(whole) * i128::from(*power) + i128::from(fraction)) * i128::from(*rest)
    })
}

/// The value of at most 15 digits, eight at a time.
#[inline]
fn digits_value(mut digits: &[u8]) -> Option<u64> {
    if digits.len() > SCALE as usize {
        return None;
    }

    let mut value = 0;
    if let Some((eight, rest)) = digits.split_first_chunk::<8>() {
        value = eight_digits(u64::from_le_bytes(*eight))?;
        digits = rest;
    }

    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + u64::from(digit);
    }

    Some(value)
}

/// The number that eight bytes write, the first digit in the lowest byte. Neighbours are combined
/// three times: to pairs, to fours, to all.
#[inline]
fn eight_digits(text: u64) -> Option<u64> {
    let digits = text.wrapping_sub(0x3030_3030_3030_3030);
    // Above 9, or borrowed below 0, in any byte.
    let is_other =
        (digits.wrapping_add(0x7676_7676_7676_7676) | digits) & 0x8080_8080_8080_8080 != 0;
    let pairs = digits.wrapping_mul(10).wrapping_add(digits >> 8) & 0x00ff_00ff_00ff_00ff;
    let fours = pairs.wrapping_mul(100).wrapping_add(pairs >> 16) & 0x0000_ffff_0000_ffff;
    let all = fours.wrapping_mul(10_000).wrapping_add(fours >> 32) & 0xffff_ffff;

    (!is_other).then_some(all)
}

/// The amount of a file's floating-point number: the shortest decimal that reads back as the same
/// float. `None` if it is not finite or too large.
#[cfg(any(test, feature = "parquet"))]
pub(super) fn from_f64(value: f64) -> Option<Amount> {
    // A decimal number of at most 15 digits is the only one of its length that reads back as the
    // same float. The quotient of two exact floats is rounded once, so equality proves that the
    // digits were found.
    for decimals in [15, 11, 6] {
        let power = POWERS[decimals];
        let scaled = (value * power as f64).round();
        if scaled.abs() < 1e15 && scaled / power as f64 == value {
            return Some(Amount(
                scaled as i64 as i128 * i128::from(POWERS[SCALE as usize - decimals]),
            ));
        }
    }

    Amount::from_f64(value)
}

#[cfg(test)]
mod tests;
