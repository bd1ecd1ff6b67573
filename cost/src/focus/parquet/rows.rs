//! Charges from the rows of one file.

mod decode;

use super::costs::Costs;
use super::direct::RowGroup;
use super::memo::Memo;
use super::values::{self, Dictionary, Starts};
use crate::cells::{Period, Sums};
use crate::focus::charge::{Fault, FileContext, Texts};
use crate::focus::collect::{Collector, Place};
use crate::focus::columns::{BILLING_START, CHARGE_START, COST_NAMES, Columns, TEXT_NAMES};
use crate::focus::report::{BadReason, BadRow, FileError, FileReport, ImportReport, Warning};
use crate::money::Amount;
use arrow_array::RecordBatch;
use std::borrow::Cow;
use std::fmt::Display;

/// Rows decoded together; their decoded form fits the L2 cache.
pub(super) const BATCH_ROWS: usize = 1024;
/// A code for each text, then the tags and the month.
const KEY_BYTES: usize = (TEXT_NAMES.len() + 2) * 4;

/// Rows whose cells are looked up together, because independent loads overlap, loads between
/// additions hardly do.
const BLOCK_ROWS: usize = 64;

pub(super) struct Output<'a> {
    pub(super) collector: &'a mut Collector,
    pub(super) report: &'a mut ImportReport,
    pub(super) file: &'a mut FileReport,
}

impl Output<'_> {
    pub(super) fn read_error(&self, error: &dyn Display) -> FileError {
        let Self { file, .. } = self;
        FileError::Read {
            file: file.name.clone(),
            bytes: file.bytes,
            message: format!("row {}: {error}", file.rows + 1),
        }
    }
}

/// Turns the rows of one file into charges.
pub(super) struct Rows {
    /// Places among the needed columns.
    columns: Columns,
    context: FileContext,
    texts: [Dictionary; TEXT_NAMES.len()],
    tags: Dictionary,
    /// The tags of each code, filled on demand.
    sets_of_codes: Vec<u32>,
    charge_starts: Starts,
    billing_starts: Starts,
    costs: [Costs; COST_NAMES.len()],
    /// The codes of each text by row.
    codes: [Vec<u32>; TEXT_NAMES.len()],
    tag_sets: Vec<u32>,
    /// The billing month of each row, a place in `months`.
    periods: Vec<u32>,
    months: Vec<Period>,
    memo: Memo,
    /// The cells of a block of rows, if known.
    places: [Option<Place>; BLOCK_ROWS],
    bad_tags: u64,
    /// Usage without a list cost.
    unlisted: u64,
    rounded: u64,
}

impl Rows {
    pub(super) fn new(columns: Columns, context: FileContext) -> Self {
        Self {
            columns,
            context,
            texts: Default::default(),
            tags: Dictionary::default(),
            sets_of_codes: Vec::new(),
            charge_starts: Starts::new(),
            billing_starts: Starts::new(),
            costs: Default::default(),
            codes: Default::default(),
            tag_sets: Vec::new(),
            periods: Vec::new(),
            months: Vec::new(),
            memo: Memo::new(),
            places: [None; BLOCK_ROWS],
            bad_tags: 0,
            unlisted: 0,
            rounded: 0,
        }
    }

    /// Adds the rows of arrays.
    pub(super) fn add(
        &mut self,
        batch: &RecordBatch,
        output: &mut Output<'_>,
    ) -> Result<(), FileError> {
        let name = &output.file.name;
        let format = |problem| FileError::Format {
            file: name.clone(),
            problem,
        };

        self.make_room(output.collector);
        self.decode(batch, output.collector).map_err(format)?;
        self.add_rows(batch.num_rows(), output, |row, column| {
            values::render(batch.column(column), row)
        })
    }

    /// Adds the rows of a row group that is read without arrays.
    pub(super) fn add_pages(
        &mut self,
        group: &mut RowGroup,
        output: &mut Output<'_>,
        render: impl Fn(usize, usize) -> String,
    ) -> Result<(), FileError> {
        let mut start = 0;
        while group.left > 0 {
            let count = group.left.min(BATCH_ROWS);
            let is_cleared = self.make_room(output.collector);
            self.decode_pages(group, count, is_cleared, output.collector)
                .map_err(|error| output.read_error(&error))?;
            self.add_rows(count, output, |row, column| render(start + row, column))?;
            start += count;
            group.left -= count;
        }

        Ok(())
    }

    /// Reports what was found in all rows.
    pub(super) fn finish(self, output: &mut Output<'_>) {
        output.report.rounded += self.rounded;
        if self.bad_tags > 0 {
            output.file.warnings.push(Warning::Tags(self.bad_tags));
        }

        if self.unlisted > 0 {
            let warning = Warning::NoListCost(self.unlisted);
            output.file.warnings.push(warning);
        }
    }

    /// Adds decoded rows. `render` renders the value of a row and column for a report.
    fn add_rows(
        &mut self,
        rows: usize,
        output: &mut Output<'_>,
        render: impl Fn(usize, usize) -> String,
    ) -> Result<(), FileError> {
        let Output {
            collector,
            report,
            file,
        } = output;

        self.find_periods(rows);
        let texts = self
            .texts
            .iter()
            .zip(&self.codes)
            .map(|(texts, codes)| (texts.highest(), codes.as_slice()));
        let tags = [(collector.tags.highest(), self.tag_sets.as_slice())];
        let months = [(
            self.months.len().saturating_sub(1) as u32,
            self.periods.as_slice(),
        )];

        self.memo.pack(rows, texts.chain(tags).chain(months));
        for row in 0..rows {
            if row.is_multiple_of(BLOCK_ROWS) {
                self.find_places(row, rows.min(row + BLOCK_ROWS), collector);
            }
            file.rows += 1;

            match self.add_row(row, collector) {
                Ok(()) => file.imported += 1,
                Err(bad) => {
                    let Fault {
                        column,
                        value,
                        reason,
                    } = match bad {
                        Bad::Series(fault) => fault,
                        Bad::Value(name, None, reason) => Fault::new(name, b"", reason),
                        Bad::Value(name, Some(column), reason) => {
                            let is_quoted = reason != BadReason::Missing && report.is_quoting();
                            let value = if is_quoted {
                                render(row, column)
                            } else {
                                String::new()
                            };

                            Fault::new(name, value.as_bytes(), reason)
                        }
                    };

                    report.add_bad(BadRow::new(&file.name, file.rows, column, &value, reason));
                }
            }
        }

        collector.check(&file.name)
    }

    /// Finds the cells of rows, if known.
    fn find_places(&mut self, from: usize, to: usize, collector: &Collector) {
        let Self {
            memo,
            charge_starts,
            places,
            ..
        } = self;
        let mut series = [None; BLOCK_ROWS];

        for (series, row) in series.iter_mut().zip(from..to) {
            *series = memo.get(row);
        }

        for ((place, series), row) in places.iter_mut().zip(series).zip(from..to) {
            let day = charge_starts.day(row).ok();
            *place = series
                .zip(day)
                .and_then(|(series, day)| collector.place(series, day));
        }

        let known = places[..to - from].iter().flatten();
        std::hint::black_box(known.fold(0, |sum: u64, place| {
            sum.wrapping_add(collector.touch(*place))
        }));
    }

    #[inline]
    fn add_row(&mut self, row: usize, collector: &mut Collector) -> Result<(), Bad> {
        let Columns {
            charge_start,
            billing_start,
            ..
        } = self.columns;

        let day = self
            .charge_starts
            .day(row)
            .map_err(|reason| Bad::Value(CHARGE_START, Some(charge_start), reason))?;

        if let Err(reason @ BadReason::Date) = self.billing_starts.day(row) {
            return Err(Bad::Value(BILLING_START, billing_start, reason));
        }

        let Some(period) = self.months.get(self.periods[row] as usize).copied() else {
            return Err(Bad::Value(
                BILLING_START,
                Some(charge_start),
                BadReason::Date,
            ));
        };

        let target = match (self.places[row % BLOCK_ROWS], self.memo.get(row)) {
            (Some(place), _) => Target::Cell(place),
            (None, Some(series)) => Target::Series(series),
            (None, None) => Target::Series(self.find_series(row, period, collector)?),
        };
        let is_usage = match target {
            Target::Cell(place) => place.is_usage,
            Target::Series(series) => collector.is_usage(series),
        };

        let sums = self.sums(row, is_usage)?;
        match target {
            Target::Cell(place) => collector.add_to(place, sums),
            Target::Series(series) => {
                collector.add(series, day, self.tag_sets[row], sums, || {
                    texts_of(&self.texts, &self.codes, row)
                });
            }
        }

        Ok(())
    }

    #[inline]
    fn sums(&mut self, row: usize, is_usage: bool) -> Result<Sums, Bad> {
        let mut is_rounded = false;
        let mut cost = |metric: usize| {
            let (amount, rounded) = self.costs[metric].amount(row).map_err(|reason| {
                let column = self.columns.costs[metric].unwrap_or_default();
                Bad::Value(COST_NAMES[metric], Some(column), reason)
            })?;

            is_rounded |= rounded;
            Ok(amount)
        };

        let effective = cost(0)?;
        let billed = cost(1)?;

        // Counts only for usage.
        let list = match is_usage.then(|| cost(2)) {
            None => Amount::ZERO,
            // Not everything has a list price; its other costs still count.
            Some(Err(Bad::Value(_, _, BadReason::Missing))) => {
                self.unlisted += 1;
                Amount::ZERO
            }
            Some(list) => list?,
        };

        self.rounded += u64::from(is_rounded);
        Ok(Sums {
            effective,
            billed,
            list,
            rows: 1,
        })
    }

    #[inline(never)]
    fn find_series(
        &mut self,
        row: usize,
        period: Period,
        collector: &mut Collector,
    ) -> Result<u32, Bad> {
        let mut key = [0; KEY_BYTES];
        let texts = self.codes.iter().map(|codes| code_of(codes, row));
        let month = period.year as u32 * 12 + u32::from(u8::from(period.month));
        let (places, _) = key.as_chunks_mut::<4>();

        for (place, code) in places
            .iter_mut()
            .zip(texts.chain([self.tag_sets[row], month]))
        {
            *place = code.to_le_bytes();
        }

        let count = collector.series_count();
        let texts = || texts_of(&self.texts, &self.codes, row);
        let series = collector
            .series(&self.context, &key, period, texts)
            .map_err(Bad::Series)?;

        if collector.series_count() < count {
            self.memo.clear();
        }
        self.memo.set(row, series);
        Ok(series)
    }
}

/// The target of a row.
enum Target {
    Cell(Place),
    Series(u32),
}

/// Why a row is bad.
enum Bad {
    Series(Fault),
    /// The value of a column: its name, and its place where the file has it.
    Value(&'static str, Option<usize>, BadReason),
}

/// The code of a row; [`values::MISSING`] if the file lacks the column.
fn code_of(codes: &[u32], row: usize) -> u32 {
    codes.get(row).copied().unwrap_or(values::MISSING)
}

fn texts_of<'a>(
    dictionaries: &'a [Dictionary; TEXT_NAMES.len()],
    codes: &[Vec<u32>; TEXT_NAMES.len()],
    row: usize,
) -> Texts<'a> {
    std::array::from_fn(|place| {
        Cow::Borrowed(dictionaries[place].text(code_of(&codes[place], row)))
    })
}
