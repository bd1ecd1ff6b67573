//! Exact money: 128-bit integers in units of 1e-15, and a currency that is never dropped.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{
    collections::BTreeMap,
    fmt,
    iter::Sum,
    ops::{Add, AddAssign, Neg, Sub, SubAssign},
    str::FromStr,
};

/// Digits after the decimal point.
pub(crate) const SCALE: u32 = 15;
/// One whole unit of a currency.
pub const ONE: i128 = 10i128.pow(SCALE);
/// Most digits before the decimal point that are read: sums of 10^9 such amounts still fit.
const WHOLE_DIGITS_MAX: u32 = 14;

/// An amount without its currency, in units of 1e-15. Its text is a plain decimal number (`-1.5`,
/// `0.0000004`), as is its JSON, a string: no reader rounds it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema)]
#[schemars(with = "String")]
pub struct Amount(pub i128);

/// Why a text is not an amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    /// Not a decimal number.
    #[error("not a decimal number")]
    Syntax,
    /// More than 14 digits before the decimal point.
    #[error("too large; at most 14 digits are allowed before the decimal point")]
    TooLarge,
}

impl Amount {
    pub const ZERO: Self = Self(0);

    /// Reads a decimal number, with an exponent or without one (`1.25`, `-.5`, `4E-7`). Digits
    /// beyond the fifteenth after the point are rounded, half to even; the flag says whether any of
    /// them was not zero.
    pub fn parse(text: &[u8]) -> Result<(Self, bool), AmountError> {
        let (is_negative, digits) = match text {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            rest => (false, rest),
        };
        let (mantissa, exponent) = match digits.iter().position(|byte| matches!(byte, b'e' | b'E'))
        {
            None => (digits, 0),
            Some(at) => (&digits[..at], parse_exponent(&digits[at + 1..])?),
        };
        let (magnitude, is_rounded) = scale(mantissa, exponent)?;

        Ok((
            Self(if is_negative { -magnitude } else { magnitude }),
            is_rounded,
        ))
    }

    /// The nearest amount to a floating-point number; `None` if it is out of range or not finite.
    pub fn from_f64(value: f64) -> Option<Self> {
        let is_in_range = value.is_finite() && value.abs() < 10f64.powi(WHOLE_DIGITS_MAX as i32);
        // Shortest text that reads back as the same number: as it was meant, not its binary
        // expansion.
        is_in_range
            .then(|| Self::parse(format!("{value:e}").as_bytes()).ok())
            .flatten()
            .map(|(amount, _)| amount)
    }

    /// As a floating-point number, for statistics; never for sums that people see.
    pub fn to_f64(self) -> f64 {
        self.0 as f64 / ONE as f64
    }

    /// Rounded half to even; writes all `decimals` digits after the point, at most 15.
    pub fn rounded(self, digits: u32) -> String {
        let digits = digits.min(SCALE);
        let unit = 10i128.pow(SCALE - digits);
        let rounded = round_half_even(self.0.unsigned_abs(), unit as u128);
        let whole = rounded / 10u128.pow(digits);
        let part = rounded % 10u128.pow(digits);
        let sign = if self.0 < 0 && rounded != 0 { "-" } else { "" };

        match digits {
            0 => format!("{sign}{whole}"),
            _ => format!("{sign}{whole}.{part:0width$}", width = digits as usize),
        }
    }

    /// `self` × `numerator` / `denominator`, rounded half to even: the share of a whole. `None` if
    /// the denominator is zero or the result does not fit.
    pub fn share(self, numerator: u64, denominator: u64) -> Option<Self> {
        let product = self.0.unsigned_abs().checked_mul(u128::from(numerator))?;
        let magnitude =
            (denominator > 0).then(|| round_half_even(product, u128::from(denominator)))?;
        let magnitude = i128::try_from(magnitude).ok()?;
        Some(Self(if self.0 < 0 { -magnitude } else { magnitude }))
    }

    /// Splits the amount in proportion to `weights`, by largest remainder, so the parts sum to it
    /// exactly; all zero if the weights are.
    pub fn split(self, weights: &[u64]) -> Vec<Self> {
        let sum: u128 = weights.iter().map(|weight| u128::from(*weight)).sum();
        // Weights whose sum has more than 64 bits are halved until it has not: the products below
        // must fit.
        let shift = u128::BITS
            .saturating_sub(sum.leading_zeros())
            .saturating_sub(u64::BITS);
        let weights: Vec<u128> = weights
            .iter()
            .map(|weight| u128::from(*weight) >> shift)
            .collect();
        let total: u128 = weights.iter().sum();

        if total == 0 {
            return vec![Self::ZERO; weights.len()];
        }

        let magnitude = self.0.unsigned_abs();
        // Quotient first: the product of an amount and a weight need not fit.
        let quotient = magnitude / total;
        let rest = magnitude % total;
        let mut parts = Vec::with_capacity(weights.len());
        let mut remainders = Vec::with_capacity(weights.len());

        for (index, weight) in weights.iter().enumerate() {
            let part = quotient * weight + rest * weight / total;
            parts.push(part);
            remainders.push((rest * weight % total, index));
        }

        remainders.sort_by_key(|(remainder, index)| (std::cmp::Reverse(*remainder), *index));
        let left = magnitude - parts.iter().sum::<u128>();
        for (_, index) in remainders.into_iter().take(left as usize) {
            parts[index] += 1;
        }

        let signed = |part: u128| {
            if self.0 < 0 {
                Self(-(part as i128))
            } else {
                Self(part as i128)
            }
        };

        parts.into_iter().map(signed).collect()
    }

    /// Whether it is exactly nothing.
    pub fn is_zero(self) -> bool {
        self.0 == 0
    }
}

fn parse_exponent(text: &[u8]) -> Result<i32, AmountError> {
    let text = std::str::from_utf8(text).map_err(|_| AmountError::Syntax)?;
    let exponent: i32 = text.parse().map_err(|_| AmountError::Syntax)?;
    Ok(exponent.clamp(-1_000, 1_000))
}

/// The magnitude of `mantissa` × 10^`exponent` in units of 1e-15, and whether it was rounded.
fn scale(mantissa: &[u8], exponent: i32) -> Result<(i128, bool), AmountError> {
    // The digit's position; 0 is the one before the point.
    let whole = mantissa
        .iter()
        .position(|byte| *byte == b'.')
        .unwrap_or(mantissa.len());
    let mut place = i32::try_from(whole).map_err(|_| AmountError::TooLarge)? - 1 + exponent;
    let mut value = 0i128;
    let mut has_digits = false;
    let mut is_rounded = false;

    // The first digit that is cut off, and whether anything but zeros follows it.
    let mut cut = 0u8;
    let mut has_more = false;

    for (index, byte) in mantissa.iter().enumerate() {
        if index == whole {
            continue;
        }
        if !byte.is_ascii_digit() {
            return Err(AmountError::Syntax);
        }
        has_digits = true;

        let digit = byte - b'0';
        if place >= -(SCALE as i32) {
            if digit != 0 && place >= WHOLE_DIGITS_MAX as i32 {
                return Err(AmountError::TooLarge);
            }
            if place < WHOLE_DIGITS_MAX as i32 {
                value = value * 10 + i128::from(digit);
            }
        } else {
            is_rounded |= digit != 0;
            if place == -(SCALE as i32) - 1 {
                cut = digit
            } else {
                has_more |= digit != 0
            }
        }

        place -= 1;
    }

    if !has_digits {
        return Err(AmountError::Syntax);
    }

    // Places that the text does not write.
    let missing = place + SCALE as i32 + 1;
    if missing > 0 && value != 0 {
        value *= 10i128.pow(missing as u32);
    }
    if cut > 5 || (cut == 5 && (has_more || value % 2 == 1)) {
        value += 1;
    }

    Ok((value, is_rounded))
}

fn round_half_even(value: u128, unit: u128) -> u128 {
    let quotient = value / unit;
    let rest = value % unit;
    let twice = rest.saturating_mul(2);

    if twice > unit || (twice == unit && quotient % 2 == 1) {
        quotient + 1
    } else {
        quotient
    }
}

impl FromStr for Amount {
    type Err = AmountError;

    fn from_str(text: &str) -> Result<Self, AmountError> {
        Ok(Self::parse(text.as_bytes())?.0)
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.rounded(SCALE);
        f.pad(text.trim_end_matches('0').trim_end_matches('.'))
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            self.0.serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = String::deserialize(deserializer)?;
            text.parse()
                .map_err(|error| de::Error::custom(format!("{text:?} is not an amount: {error}")))
        } else {
            i128::deserialize(deserializer).map(Self)
        }
    }
}

impl Add for Amount {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sub for Amount {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl Neg for Amount {
    type Output = Self;
    fn neg(self) -> Self {
        Self(self.0.saturating_neg())
    }
}

impl AddAssign for Amount {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl SubAssign for Amount {
    fn sub_assign(&mut self, other: Self) {
        *self = *self - other;
    }
}

impl Sum for Amount {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, Add::add)
    }
}

/// A currency: three capital letters (ISO 4217; `XXX` where a bill names none), or a virtual one of
/// at most eight letters and digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema)]
#[schemars(with = "String")]
pub struct Currency([u8; 8]);

/// A text that names no currency.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a currency; expected three letters (ISO 4217), or at most eight letters and \
        digits"
)]
pub struct CurrencyError(String);

impl Currency {
    /// US dollars.
    pub const USD: Self = Self(*b"USD\0\0\0\0\0");
    /// No currency was named (ISO 4217: "no currency involved").
    pub(crate) const NONE: Self = Self(*b"XXX\0\0\0\0\0");

    /// Reads a currency's code; small letters are taken for capital ones.
    pub fn parse(text: &[u8]) -> Result<Self, CurrencyError> {
        let is_valid = (2..=8).contains(&text.len()) && text.iter().all(u8::is_ascii_alphanumeric);
        if !is_valid {
            return Err(CurrencyError(
                String::from_utf8_lossy(text).chars().take(80).collect(),
            ));
        }

        let mut code = [0; 8];
        for (to, from) in code.iter_mut().zip(text) {
            *to = from.to_ascii_uppercase();
        }

        Ok(Self(code))
    }

    /// The code: `USD`.
    pub fn as_str(&self) -> &str {
        let length = self
            .0
            .iter()
            .position(|byte| *byte == 0)
            .unwrap_or(self.0.len());

        // Only letters and digits get in.
        std::str::from_utf8(&self.0[..length]).unwrap_or("XXX")
    }
}

impl FromStr for Currency {
    type Err = CurrencyError;

    fn from_str(text: &str) -> Result<Self, CurrencyError> {
        Self::parse(text.as_bytes())
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

/// An amount and its currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Money {
    pub amount: Amount,
    pub currency: Currency,
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.amount, self.currency)
    }
}

/// Sums by currency: amounts of different currencies are never added.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Totals(pub BTreeMap<Currency, Amount>);

impl Totals {
    /// Adds an amount to the sum of its currency.
    pub fn add(&mut self, money: Money) {
        *self.0.entry(money.currency).or_default() += money.amount;
    }

    /// The sum in one currency.
    pub fn of(&self, currency: Currency) -> Amount {
        self.0.get(&currency).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
