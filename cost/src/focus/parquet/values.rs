//! Values of columns, whatever type a file gives them.

use crate::date::day_number;
use crate::focus::date::Days;
use crate::focus::report::BadReason;
use crate::focus::tags::TagSets;
use crate::focus::text::is_missing;
use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Date64Type, Decimal128Type, Decimal256Type, Float32Type,
    Float64Type, Int32Type, Int64Type, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType,
};
use arrow_array::{Array, ArrayRef};
use arrow_schema::{DataType, TimeUnit};
use std::collections::HashMap;
use std::sync::Arc;
use time::Date;

/// Bytes of texts that keep their codes.
pub(super) const KNOWN_MAX: usize = 16 << 20;
/// The code of no value.
pub(super) const MISSING: u32 = 0;
const DAY_SECONDS: i64 = 86_400;

/// Codes that stay the same for all dictionaries of a column.
#[derive(Debug, Default)]
pub(super) struct Dictionary {
    /// The last dictionary of the file, and our codes for its own.
    values: Option<ArrayRef>,
    codes: Vec<u32>,
    places: HashMap<Vec<u8>, u32>,
    texts: Vec<Vec<u8>>,
    bytes: usize,
}

impl Dictionary {
    /// Bytes of known texts.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The highest code.
    pub(super) fn highest(&self) -> u32 {
        self.texts.len() as u32
    }

    /// Forgets all texts, and what codes mean.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// The text of a code; empty for no value.
    pub(super) fn text(&self, code: u32) -> &[u8] {
        code.checked_sub(1)
            .and_then(|place| self.texts.get(place as usize))
            .map_or(&[], Vec::as_slice)
    }

    /// Reads a column: each row with its code.
    pub(super) fn read(
        &mut self,
        column: &ArrayRef,
        mut set: impl FnMut(usize, u32),
    ) -> Result<(), String> {
        if let Some(column) = column.as_any_dictionary_opt() {
            self.read_values(column.values())?;
            let keys = column
                .keys()
                .as_primitive_opt::<Int32Type>()
                .ok_or("unexpected dictionary")?;

            if keys.null_count() == 0 {
                for (row, key) in keys.values().iter().enumerate() {
                    set(
                        row,
                        self.codes.get(*key as usize).copied().unwrap_or(MISSING),
                    );
                }

                return Ok(());
            }

            for (row, key) in keys.iter().enumerate() {
                set(
                    row,
                    key.and_then(|key| self.codes.get(key as usize))
                        .copied()
                        .unwrap_or(MISSING),
                );
            }

            return Ok(());
        }

        for row in 0..column.len() {
            let text = match column.data_type() {
                DataType::Null => String::new(),
                _ if column.is_null(row) => String::new(),
                DataType::Int64 => column.as_primitive::<Int64Type>().value(row).to_string(),
                DataType::Int32 => column.as_primitive::<Int32Type>().value(row).to_string(),
                other => return Err(format!("expected text, found {other}")),
            };
            let code = self.code(text.as_bytes());

            set(row, code);
        }

        Ok(())
    }

    fn read_values(&mut self, values: &ArrayRef) -> Result<(), String> {
        if self
            .values
            .as_ref()
            .is_some_and(|known| Arc::ptr_eq(known, values))
        {
            return Ok(());
        }

        let mut codes = std::mem::take(&mut self.codes);
        codes.clear();
        if let Some(texts) = values.as_string_opt::<i32>() {
            codes.extend((0..texts.len()).map(|place| self.code(texts.value(place).as_bytes())));
        } else if let Some(texts) = values.as_binary_opt::<i32>() {
            codes.extend((0..texts.len()).map(|place| self.code(texts.value(place))));
        } else {
            return Err(format!("expected text, found {}", values.data_type()));
        }

        self.codes = codes;
        self.values = Some(Arc::clone(values));
        Ok(())
    }

    /// The code of a text.
    pub(super) fn code(&mut self, text: &[u8]) -> u32 {
        if is_missing(text) {
            return MISSING;
        }
        if let Some(code) = self.places.get(text) {
            return *code;
        }
        self.texts.push(text.to_vec());
        self.bytes += text.len();

        let code = self.texts.len() as u32;
        self.places.insert(text.to_vec(), code);
        code
    }
}

/// Reads tags that are maps, or lists of keys and values; whether they are.
pub(super) fn read_tag_lists(column: &ArrayRef, tags: &mut TagSets, sets: &mut [u32]) -> bool {
    let (offsets, pairs) = if let Some(map) = column.as_map_opt() {
        (map.offsets(), map.entries())
    } else if let Some(list) = column.as_list_opt::<i32>()
        && let Some(pairs) = list.values().as_struct_opt()
    {
        (list.offsets(), pairs)
    } else {
        return false;
    };

    let (Some(keys), Some(values)) = (pairs.columns().first(), pairs.columns().get(1)) else {
        return false;
    };
    let (Some(keys), Some(values)) = (keys.as_string_opt::<i32>(), values.as_string_opt::<i32>())
    else {
        return false;
    };

    for (row, set) in sets
        .iter_mut()
        .enumerate()
        .filter(|(row, _)| column.is_valid(*row))
    {
        let range = offsets[row] as usize..offsets[row + 1] as usize;
        let valid = range.filter(|at| keys.is_valid(*at) && values.is_valid(*at));
        *set = tags.set_of(valid.map(|at| (keys.value(at), values.value(at))));
    }

    true
}

/// The days of points in time.
#[derive(Debug)]
pub(super) struct Starts {
    days: Vec<i32>,
    texts: Dictionary,
    parsed: Days,
}

pub(super) const NO_DAY: i32 = i32::MIN;
const BAD_DAY: i32 = i32::MIN + 1;

impl Starts {
    pub(super) fn new() -> Self {
        Self {
            days: Vec::new(),
            texts: Dictionary::default(),
            parsed: Days::new(),
        }
    }

    /// The buffer for the days of `rows` rows.
    pub(super) fn slots(&mut self, rows: usize) -> &mut [i32] {
        self.days.resize(rows, NO_DAY);
        &mut self.days
    }

    /// Fills `rows` rows with no value.
    pub(super) fn fill(&mut self, rows: usize) {
        self.days.clear();
        self.days.resize(rows, NO_DAY);
    }

    #[inline]
    pub(super) fn day(&self, row: usize) -> Result<i32, BadReason> {
        match self.days[row] {
            NO_DAY => Err(BadReason::Missing),
            BAD_DAY => Err(BadReason::Date),
            day => Ok(day),
        }
    }

    pub(super) fn read(&mut self, column: &ArrayRef) -> Result<(), String> {
        match column.data_type() {
            DataType::Timestamp(TimeUnit::Second, _) => {
                self.read_moments::<TimestampSecondType, DAY_SECONDS>(column);
            }
            DataType::Timestamp(TimeUnit::Millisecond, _) => {
                self.read_moments::<TimestampMillisecondType, { DAY_SECONDS * 1_000 }>(column);
            }
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                self.read_moments::<TimestampMicrosecondType, { DAY_SECONDS * 1_000_000 }>(column);
            }
            DataType::Timestamp(TimeUnit::Nanosecond, _) => {
                self.read_moments::<TimestampNanosecondType, { DAY_SECONDS * 1_000_000_000 }>(
                    column,
                );
            }
            DataType::Date32 => self.read_moments::<Date32Type, 1>(column),
            DataType::Date64 => self.read_moments::<Date64Type, { DAY_SECONDS * 1_000 }>(column),
            DataType::Dictionary(..) => self.read_texts(column)?,
            other => return Err(format!("expected timestamps, found {other}")),
        }

        Ok(())
    }

    /// Reads times since 1970 in units of which `per_day` make a day.
    fn read_moments<T: ArrowPrimitiveType<Native: Into<i64>>, const PER_DAY: i64>(
        &mut self,
        column: &ArrayRef,
    ) {
        let day = |moment: &T::Native| day_of_moment((*moment).into(), PER_DAY);
        self.days.clear();
        self.days
            .extend(column.as_primitive::<T>().values().iter().map(day));

        if column.null_count() > 0 {
            self.days
                .iter_mut()
                .enumerate()
                .filter(|(row, _)| column.is_null(*row))
                .for_each(|(_, day)| *day = NO_DAY);
        }
    }

    fn read_texts(&mut self, column: &ArrayRef) -> Result<(), String> {
        self.fill(column.len());
        let Self {
            days,
            texts,
            parsed,
        } = self;

        if texts.bytes() > KNOWN_MAX {
            texts.clear();
        }

        let mut codes = vec![MISSING; column.len()];
        texts.read(column, |row, code| codes[row] = code)?;
        for (day, code) in days
            .iter_mut()
            .zip(codes)
            .filter(|(_, code)| *code != MISSING)
        {
            *day = parsed.day(texts.text(code)).unwrap_or(BAD_DAY);
        }

        Ok(())
    }
}

/// The day of a time since 1970 in units of which `per_day` make a day.
#[inline]
pub(super) fn day_of_moment(moment: i64, per_day: i64) -> i32 {
    let calendar = i64::from(day_number(Date::MIN))..=i64::from(day_number(Date::MAX));
    let day = moment.div_euclid(per_day);
    if calendar.contains(&day) {
        day as i32
    } else {
        BAD_DAY
    }
}

/// A value for a report.
pub(super) fn render(column: &ArrayRef, row: usize) -> String {
    match column.data_type() {
        _ if column.is_null(row) => String::new(),
        DataType::Float64 => column.as_primitive::<Float64Type>().value(row).to_string(),
        DataType::Float32 => column.as_primitive::<Float32Type>().value(row).to_string(),
        DataType::Int64 => column.as_primitive::<Int64Type>().value(row).to_string(),
        DataType::Int32 => column.as_primitive::<Int32Type>().value(row).to_string(),
        DataType::Decimal128(..) => column.as_primitive::<Decimal128Type>().value_as_string(row),
        DataType::Decimal256(..) => column.as_primitive::<Decimal256Type>().value_as_string(row),
        DataType::Dictionary(..) => {
            let dictionary = column.as_any_dictionary();
            let place = dictionary.normalized_keys()[row];
            let texts = dictionary.values().as_string_opt::<i32>();

            texts
                .map(|texts| texts.value(place).to_owned())
                .unwrap_or_default()
        }
        // Points in time beyond the calendar.
        _ => format!("{:?}", column.slice(row, 1)),
    }
}
