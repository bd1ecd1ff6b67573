//! Amounts of columns, in all types in which files have them.

use super::values::{Dictionary, KNOWN_MAX, MISSING};
use crate::focus::amount;
use crate::focus::report::BadReason;
use crate::focus::text::is_missing;
use crate::money::{Amount, AmountError, SCALE};
use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Decimal128Type, Decimal256Type, DecimalType, Float32Type, Float64Type,
    Int32Type, Int64Type,
};
use arrow_array::{Array, ArrayRef};
use arrow_schema::DataType;

pub(super) const NO_AMOUNT: i128 = i128::MIN;
const BAD_AMOUNT: i128 = i128::MIN + 1;
/// The highest value that is not an amount.
const TOO_LARGE: i128 = i128::MIN + 2;
/// Amounts have at most 14 digits before the point.
const AMOUNT_MAX: i128 = 10i128.pow(14 + SCALE);

/// Amounts of a column.
#[derive(Debug, Default)]
pub(super) struct Costs {
    amounts: Vec<i128>,
    /// Rows whose amount was rounded; empty if none was.
    rounded: Vec<usize>,
    texts: Dictionary,
}

impl Costs {
    /// The buffer for the amounts of `rows` rows, none of them rounded.
    pub(super) fn slots(&mut self, rows: usize) -> &mut [i128] {
        self.amounts.resize(rows, 0);
        self.rounded.clear();
        &mut self.amounts
    }

    /// Fills `rows` rows with zero cost.
    pub(super) fn fill(&mut self, rows: usize) {
        self.amounts.clear();
        self.amounts.resize(rows, 0);
        self.rounded.clear();
    }

    /// The amount of a row, and whether it was rounded.
    #[inline]
    pub(super) fn amount(&self, row: usize) -> Result<(Amount, bool), BadReason> {
        let amount = self.amounts[row];
        if amount <= TOO_LARGE {
            return Err(match amount {
                NO_AMOUNT => BadReason::Missing,
                BAD_AMOUNT => BadReason::Number,
                _ => BadReason::TooLarge,
            });
        }

        Ok((
            Amount(amount),
            !self.rounded.is_empty() && self.rounded.binary_search(&row).is_ok(),
        ))
    }

    pub(super) fn read(&mut self, column: &ArrayRef) -> Result<(), String> {
        self.fill(column.len());
        match column.data_type() {
            DataType::Decimal128(_, scale) => self.read_decimals(column, i32::from(*scale)),
            DataType::Float64 => {
                let values = column.as_primitive::<Float64Type>().values();
                self.each(column, |row| float(values[row]));
            }
            DataType::Float32 => self.read_written::<Float32Type>(column),
            DataType::Int64 => self.read_written::<Int64Type>(column),
            DataType::Int32 => self.read_written::<Int32Type>(column),
            DataType::Decimal256(..) => {
                let values = column.as_primitive::<Decimal256Type>();
                self.each(column, |row| parsed(values.value_as_string(row).as_bytes()));
            }
            DataType::Dictionary(..) => {
                let mut codes = vec![MISSING; column.len()];
                let mut texts = std::mem::take(&mut self.texts);
                if texts.bytes() > KNOWN_MAX {
                    texts.clear();
                }
                texts.read(column, |row, code| codes[row] = code)?;
                self.each(column, |row| parsed(texts.text(codes[row]).trim_ascii()));
                self.texts = texts;
            }
            other => return Err(format!("expected numbers, found {other}")),
        }

        Ok(())
    }

    fn each(&mut self, column: &ArrayRef, value: impl Fn(usize) -> (i128, bool)) {
        for (row, amount) in self.amounts.iter_mut().enumerate() {
            let (read, is_rounded) = if column.is_null(row) {
                (NO_AMOUNT, false)
            } else {
                value(row)
            };

            *amount = read;
            if is_rounded {
                self.rounded.push(row);
            }
        }
    }

    fn read_written<T: ArrowPrimitiveType<Native: ToString>>(&mut self, column: &ArrayRef) {
        let values = column.as_primitive::<T>().values();
        self.each(column, |row| parsed(values[row].to_string().as_bytes()));
    }

    fn read_decimals(&mut self, column: &ArrayRef, scale: i32) {
        let values = column.as_primitive::<Decimal128Type>().values();
        let Some(scale) = Scale::new(scale) else {
            // More decimals than are kept.
            return self.each(column, |row| {
                parsed(Decimal128Type::format_decimal(values[row], 38, scale as i8).as_bytes())
            });
        };

        if column.null_count() == 0 {
            self.amounts.clear();
            self.amounts
                .extend(values.iter().map(|value| scale.amount(*value)));
        } else {
            self.each(column, |row| (scale.amount(values[row]), false));
        }
    }
}

/// Converts decimals to amounts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scale {
    power: i128,
    limit: i128,
}

impl Scale {
    /// Decimals with `scale` digits after the point; `None` if amounts have fewer.
    pub(super) fn new(digits: i32) -> Option<Self> {
        let digits = u32::try_from(SCALE as i32 - digits).ok()?;
        let power = 10i128.checked_pow(digits)?;
        Some(Self {
            power,
            limit: AMOUNT_MAX / power,
        })
    }

    #[inline]
    pub(super) fn amount(self, value: i128) -> i128 {
        if value.unsigned_abs() >= self.limit.unsigned_abs() {
            TOO_LARGE
        } else {
            value * self.power
        }
    }
}

fn parsed(text: &[u8]) -> (i128, bool) {
    match amount::parse(text) {
        Ok((amount, is_rounded)) => (amount.0, is_rounded),
        Err(_) if is_missing(text) => (NO_AMOUNT, false),
        Err(AmountError::TooLarge) => (TOO_LARGE, false),
        Err(AmountError::Syntax) => (BAD_AMOUNT, false),
    }
}

pub(super) fn float(value: f64) -> (i128, bool) {
    match amount::from_f64(value) {
        Some(amount) => (amount.0, false),
        None if value.is_finite() => (TOO_LARGE, false),
        None => (BAD_AMOUNT, false),
    }
}
