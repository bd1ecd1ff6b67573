//! Values of a column, straight from its pages: no arrays are made of them. Columns without nesting
//! and in the encodings that nearly all files have.

use super::hybrid::{Hybrid, Run};
use bytes::Bytes;
use parquet::basic::Encoding;
use parquet::column::page::{Page, PageReader};
use parquet::errors::{ParquetError, Result};

/// Levels per block.
const LEVELS: usize = 256;

/// Reads values of one kind.
pub(super) trait ReadPlain {
    type Value: Copy;
    /// No value.
    const MISSING: Self::Value;

    /// Reads values that are written one behind the other; returns the bytes used, none where they
    /// are wrong or too few.
    fn read(&mut self, bytes: &[u8], out: &mut [Self::Value]) -> Option<usize>;
}

/// The values of a column of a row group.
pub(super) struct ColumnPages<T> {
    pages: Box<dyn PageReader>,
    /// Whether values may be missing.
    is_optional: bool,
    /// The page of the dictionary, and how many values it has.
    dictionary: Option<(Bytes, usize)>,
    table: Vec<T>,
    /// Which rows of the page have a value; `None` if all have.
    levels: Option<Hybrid>,
    values: Values,
    /// Rows of the page that are not read yet.
    left: usize,
}

enum Values {
    /// Places in the dictionary.
    Codes(Hybrid),
    /// The rest of the values.
    Plain(Bytes),
}

impl<T: Copy> ColumnPages<T> {
    pub(super) fn new(pages: Box<dyn PageReader>, is_optional: bool) -> Self {
        let values = Values::Plain(Bytes::new());
        Self {
            pages,
            is_optional,
            dictionary: None,
            table: Vec::new(),
            levels: None,
            values,
            left: 0,
        }
    }

    /// Reads the values of the next rows.
    pub(super) fn read(
        &mut self,
        plain: &mut impl ReadPlain<Value = T>,
        mut out: &mut [T],
    ) -> Result<()> {
        while !out.is_empty() {
            if self.left == 0 {
                self.next_page(plain)?;
                continue;
            }

            let (now, rest) = out.split_at_mut(self.left.min(out.len()));
            self.left -= now.len();
            self.read_rows(plain, now)
                .ok_or_else(|| wrong("values of a page are damaged"))?;
            out = rest;
        }

        Ok(())
    }

    /// Reads the dictionary a second time: its values mean something else now.
    pub(super) fn read_dictionary(&mut self, plain: &mut impl ReadPlain<Value = T>) -> Result<()> {
        let Some((bytes, count)) = &self.dictionary else {
            return Ok(());
        };
        self.table.clear();
        self.table.resize(*count, missing(plain));
        plain
            .read(bytes, &mut self.table)
            .ok_or_else(|| wrong("a dictionary is damaged"))?;
        Ok(())
    }

    fn read_rows<P: ReadPlain<Value = T>>(
        &mut self,
        plain: &mut P,
        mut out: &mut [T],
    ) -> Option<()> {
        let Self {
            levels,
            values,
            table,
            ..
        } = self;
        let Some(levels) = levels else {
            return values.read(table, plain, out);
        };

        while !out.is_empty() {
            match levels.take(out.len())? {
                Run::Equal { value, count } => {
                    let (now, rest) = out.split_at_mut(count);
                    if value == 0 {
                        now.fill(P::MISSING);
                    } else {
                        values.read(table, plain, now)?;
                    }

                    out = rest;
                }
                Run::Packed { mut bit, count } => {
                    let (now, rest) = out.split_at_mut(count);
                    for chunk in now.chunks_mut(LEVELS) {
                        let mut flags = [0; LEVELS];
                        let flags = &mut flags[..chunk.len()];
                        levels.unpack(bit, flags);
                        bit += chunk.len();

                        let present = flags.iter().sum::<u32>() as usize;
                        values.read(table, plain, &mut chunk[..present])?;
                        spread(chunk, flags, present, P::MISSING);
                    }

                    out = rest;
                }
            }
        }

        Some(())
    }

    fn next_page(&mut self, plain: &mut impl ReadPlain<Value = T>) -> Result<()> {
        let page = self
            .pages
            .get_next_page()?
            .ok_or_else(|| wrong("a column has fewer values than rows"))?;

        match page {
            Page::DictionaryPage {
                buf, num_values, ..
            } => {
                let count = num_values as usize;
                if count > buf.len() {
                    return Err(wrong("a dictionary is damaged"));
                }
                self.dictionary = Some((buf, count));
                self.read_dictionary(plain)?;
            }
            Page::DataPage {
                buf,
                num_values,
                encoding,
                def_level_encoding,
                ..
            } => {
                let (levels, rest) =
                    self.levels_of(buf, num_values as usize, def_level_encoding)?;
                self.start_page(levels, rest, num_values, encoding)?;
            }
            Page::DataPageV2 {
                buf,
                num_values,
                encoding,
                num_nulls,
                def_levels_byte_len,
                rep_levels_byte_len,
                ..
            } => {
                let start = rep_levels_byte_len as usize;
                let end = start.saturating_add(def_levels_byte_len as usize);
                if end > buf.len() {
                    return Err(wrong("levels of a page are damaged"));
                }

                let levels = (self.is_optional && num_nulls > 0)
                    .then(|| Hybrid::new(buf.slice(start..end), 1))
                    .flatten();
                self.start_page(levels, buf.slice(end..), num_values, encoding)?;
            }
        }

        Ok(())
    }

    /// The levels of a page, and what comes behind them.
    fn levels_of(
        &self,
        page: Bytes,
        rows: usize,
        encoding: Encoding,
    ) -> Result<(Option<Hybrid>, Bytes)> {
        if !self.is_optional {
            return Ok((None, page));
        }

        let damaged = || wrong("levels of a page are damaged");
        #[expect(deprecated, reason = "old files have it")]
        if encoding == Encoding::BIT_PACKED {
            // The first flag in the highest bit.
            let flags = page.get(..rows.div_ceil(8)).ok_or_else(damaged)?;
            let flags: Vec<u8> = flags.iter().map(|byte| byte.reverse_bits()).collect();
            let rest = page.slice(flags.len()..);
            return Ok((Some(Hybrid::flags(flags.into())), rest));
        }

        let (length, rest) = page.split_first_chunk::<4>().ok_or_else(damaged)?;
        let length = u32::from_le_bytes(*length) as usize;
        if length > rest.len() {
            return Err(damaged());
        }

        Ok((
            Hybrid::new(page.slice(4..4 + length), 1),
            page.slice(4 + length..),
        ))
    }

    fn start_page(
        &mut self,
        levels: Option<Hybrid>,
        values: Bytes,
        rows: u32,
        encoding: Encoding,
    ) -> Result<()> {
        self.values = match encoding {
            Encoding::PLAIN => Values::Plain(values),
            Encoding::RLE_DICTIONARY | Encoding::PLAIN_DICTIONARY => {
                // A page without values may be empty.
                let width = values.first().copied().unwrap_or_default();
                let codes = Hybrid::new(values.slice(values.len().min(1)..), width);
                Values::Codes(codes.ok_or_else(|| wrong("codes of a page are damaged"))?)
            }
            other => return Err(wrong(&format!("unexpected encoding {other}"))),
        };

        self.levels = levels;
        self.left = rows as usize;
        Ok(())
    }
}

impl Values {
    #[inline]
    fn read<T: Copy>(
        &mut self,
        table: &[T],
        plain: &mut impl ReadPlain<Value = T>,
        out: &mut [T],
    ) -> Option<()> {
        match self {
            Self::Codes(codes) => codes.look_up(table, out),
            Self::Plain(bytes) => {
                let used = plain.read(bytes, out)?;
                *bytes = bytes.slice(used..);
                Some(())
            }
        }
    }
}

/// Moves the first values to the rows that have one.
#[inline]
fn spread<T: Copy>(rows: &mut [T], flags: &[u32], mut present: usize, missing: T) {
    if present == rows.len() {
        return;
    }

    // From behind, so nothing is written over that is still needed.
    for row in (0..rows.len()).rev() {
        let has_value = flags[row] != 0;
        present -= usize::from(has_value);
        let value = rows[present];
        rows[row] = if has_value { value } else { missing };
    }
}

fn missing<P: ReadPlain>(_: &P) -> P::Value {
    P::MISSING
}

#[cold]
fn wrong(problem: &str) -> ParquetError {
    ParquetError::General(problem.into())
}
