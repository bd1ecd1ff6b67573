//! Rows of a Parquet file. Only needed columns are read; texts stay the codes of the file's
//! dictionaries.

mod direct;
mod hybrid;
mod memo;
mod pages;
mod values;
mod window;

use self::direct::RowGroup;
use self::memo::Memo;
use self::values::{Costs, Dictionary, Starts};
use super::collect::{Collector, Fault, FileContext, Place, Texts};
use super::columns::{BILLING_START, CHARGE_START, COST_NAMES, Columns, TEXT_NAMES};
use super::date::period_of;
use super::report::{BadReason, BadRow, FileError, FileReport, ImportReport, Warning};
use super::tags::TagSets;
use crate::cells::{Period, Sums};
use crate::money::{Amount, Currency};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field, Schema};
use bytes::Bytes;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};
use parquet::arrow::{ProjectionMask, parquet_to_arrow_schema};
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};
use std::borrow::Cow;
use std::fmt::Display;
use std::sync::Arc;

/// Rows that are decoded together: all that is kept of them fits the second-level cache.
const BATCH_ROWS: usize = 1024;
/// A code for each text, then the tags and the month.
const KEY_BYTES: usize = (TEXT_NAMES.len() + 2) * 4;
/// Months that have codes at the same time.
const MONTHS_MAX: usize = 64;
/// Rows whose cells are looked up together: loads that wait for nothing overlap, those between
/// additions hardly do.
const BLOCK_ROWS: usize = 64;
/// A bad row's month.
const NO_MONTH: u32 = u32::MAX;
/// The tags of a text that is no JSON.
const BAD_TAGS: u32 = u32::MAX;

/// Reads a Parquet file to its end, as far as that goes.
pub(super) fn read<R: ChunkReader + 'static>(
    input: R,
    currency: Option<Currency>,
    collector: &mut Collector,
    report: &mut ImportReport,
    file: &mut FileReport,
) -> Result<(), FileError> {
    let name = file.name.clone();
    let format = |problem: String| FileError::Format {
        file: name.clone(),
        problem,
    };
    let metadata = ArrowReaderMetadata::load(&input, ArrowReaderOptions::new())
        .map_err(|error| format(format!("not a readable Parquet file ({error})")))?;
    let names: Vec<String> = metadata
        .schema()
        .fields()
        .iter()
        .map(|field| field.name().clone())
        .collect();

    let (mut columns, warnings) = Columns::find(&file.name, &names, currency.is_some())?;
    if collector.tags.is_unused() {
        columns.tags = None;
    }

    let input = Arc::new(input);
    let descriptor = metadata.parquet_schema();
    let schema =
        parquet_to_arrow_schema(descriptor, None).map_err(|error| format(error.to_string()))?;
    let arrays = Arrays::new(Shared(Arc::clone(&input)), &metadata, &columns)
        .map_err(|error| format(error.to_string()))?;

    file.warnings = warnings;
    collector.start_file();

    let context = FileContext::new(&file.name, &columns, currency);
    let mut rows = Rows::new(arrays.columns.clone(), context);
    let mut output = Output {
        collector,
        report,
        file,
    };

    for (index, group) in metadata.metadata().row_groups().iter().enumerate() {
        match RowGroup::open(&input, group, &schema, &columns)
            .map_err(|error| output.read_error(&error))?
        {
            Some(mut group) => rows.add_pages(&mut group, &arrays, index, &mut output)?,
            None => {
                let reader = arrays.builder(index).with_batch_size(BATCH_ROWS).build();
                for batch in reader.map_err(|error| format(error.to_string()))? {
                    let batch = batch.map_err(|error| output.read_error(&error))?;
                    rows.add(&batch, &mut output)?;
                }
            }
        }
    }

    output.report.rounded += rows.rounded;
    if rows.bad_tags > 0 {
        output.file.warnings.push(Warning::Tags(rows.bad_tags));
    }

    if rows.unlisted > 0 {
        output
            .file
            .warnings
            .push(Warning::NoListCost(rows.unlisted));
    }

    Ok(())
}

/// An input that several readers read.
struct Shared<R>(Arc<R>);

impl<R: ChunkReader> Length for Shared<R> {
    fn len(&self) -> u64 {
        self.0.len()
    }
}

impl<R: ChunkReader> ChunkReader for Shared<R> {
    type T = R::T;

    fn get_read(&self, start: u64) -> parquet::errors::Result<R::T> {
        self.0.get_read(start)
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        self.0.get_bytes(start, length)
    }
}

/// Makes arrays of the needed columns.
struct Arrays<R> {
    input: Shared<R>,
    metadata: ArrowReaderMetadata,
    mask: ProjectionMask,
    /// Where the columns are among the needed ones.
    columns: Columns,
}

impl<R: ChunkReader + 'static> Arrays<R> {
    fn new(
        input: Shared<R>,
        metadata: &ArrowReaderMetadata,
        columns: &Columns,
    ) -> parquet::errors::Result<Self> {
        let mut columns = columns.clone();
        let all = columns.texts.iter_mut().chain(&mut columns.costs);
        let others = [&mut columns.billing_start, &mut columns.tags];
        let mut needed: Vec<&mut usize> = all.chain(others).filter_map(Option::as_mut).collect();

        needed.push(&mut columns.charge_start);
        let mut roots: Vec<usize> = needed.iter().map(|root| **root).collect();
        roots.sort_unstable();
        roots.dedup();
        for root in needed {
            *root = roots.partition_point(|other| *other < *root);
        }

        // Texts as codes of a dictionary: most files have them so.
        let fields = metadata
            .schema()
            .fields()
            .iter()
            .enumerate()
            .map(|(root, field)| {
                let values = match field.data_type() {
                    DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
                    DataType::Binary | DataType::LargeBinary | DataType::BinaryView => {
                        DataType::Binary
                    }
                    DataType::Dictionary(_, values) => values.as_ref().clone(),
                    _ => return Arc::clone(field),
                };

                if roots.binary_search(&root).is_err() {
                    return Arc::clone(field);
                }

                let codes = DataType::Dictionary(Box::new(DataType::Int32), Box::new(values));
                Arc::new(Field::new(field.name(), codes, field.is_nullable()))
            });

        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let options = ArrowReaderOptions::new().with_schema(schema);
        let metadata = ArrowReaderMetadata::try_new(Arc::clone(metadata.metadata()), options)?;
        let mask = ProjectionMask::roots(metadata.parquet_schema(), roots);

        Ok(Self {
            input,
            metadata,
            mask,
            columns,
        })
    }

    /// Reads one row group.
    fn builder(&self, group: usize) -> ParquetRecordBatchReaderBuilder<Shared<R>> {
        let input = Shared(Arc::clone(&self.input.0));
        let builder =
            ParquetRecordBatchReaderBuilder::new_with_metadata(input, self.metadata.clone());

        builder
            .with_projection(self.mask.clone())
            .with_row_groups(vec![group])
    }

    /// A value for a report; empty where it can't be read any more.
    #[cold]
    fn shown(&self, group: usize, row: usize, column: usize) -> String {
        let reader = self.builder(group).with_offset(row).with_limit(1).build();
        let batch = reader.ok().and_then(|mut reader| reader.next()?.ok());
        batch
            .filter(|batch| batch.num_rows() == 1)
            .map_or_else(String::new, |batch| values::shown(batch.column(column), 0))
    }
}

/// Where rows go.
struct Output<'a> {
    collector: &'a mut Collector,
    report: &'a mut ImportReport,
    file: &'a mut FileReport,
}

impl Output<'_> {
    fn read_error(&self, error: &dyn Display) -> FileError {
        let Self { file, .. } = self;
        FileError::Read {
            file: file.name.clone(),
            bytes: file.bytes,
            message: format!("row {}: {error}", file.rows + 1),
        }
    }
}

/// Makes charges of the rows of one file.
struct Rows {
    /// Places among the needed columns.
    columns: Columns,
    context: FileContext,
    texts: [Dictionary; TEXT_NAMES.len()],
    tags: Dictionary,
    /// The tags of each code, as far as they were needed.
    sets_of_codes: Vec<u32>,
    charge_starts: Starts,
    billing_starts: Starts,
    costs: [Costs; COST_NAMES.len()],
    /// Of each row, the code of each text.
    codes: [Vec<u32>; TEXT_NAMES.len()],
    tag_sets: Vec<u32>,
    /// The billing month of each row, a place in `months`.
    periods: Vec<u32>,
    months: Vec<Period>,
    memo: Memo,
    /// The cells of a block of rows, as far as they are known.
    places: [Option<Place>; BLOCK_ROWS],
    bad_tags: u64,
    /// Usage without a list cost.
    unlisted: u64,
    rounded: u64,
}

impl Rows {
    fn new(columns: Columns, context: FileContext) -> Self {
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
    fn add(&mut self, batch: &RecordBatch, output: &mut Output<'_>) -> Result<(), FileError> {
        let name = &output.file.name;
        let format = |problem| FileError::Format {
            file: name.clone(),
            problem,
        };

        self.make_room(output.collector);
        self.decode(batch, output.collector).map_err(format)?;
        self.add_rows(batch.num_rows(), output, |row, column| {
            values::shown(batch.column(column), row)
        })
    }

    /// Adds the rows of a row group that is read without arrays.
    fn add_pages<R: ChunkReader + 'static>(
        &mut self,
        group: &mut RowGroup,
        arrays: &Arrays<R>,
        index: usize,
        output: &mut Output<'_>,
    ) -> Result<(), FileError> {
        let mut start = 0;
        while group.left > 0 {
            let count = group.left.min(BATCH_ROWS);
            let is_cleared = self.make_room(output.collector);
            self.decode_pages(group, count, is_cleared, output.collector)
                .map_err(|error| output.read_error(&error))?;
            self.add_rows(count, output, |row, column| {
                arrays.shown(index, start + row, column)
            })?;
            start += count;
            group.left -= count;
        }

        Ok(())
    }

    /// Forgets texts where they are too many; whether it did.
    fn make_room(&mut self, collector: &mut Collector) -> bool {
        let is_full = self.texts.iter().map(Dictionary::bytes).sum::<usize>() > values::KNOWN_MAX;
        if is_full {
            self.texts.iter_mut().for_each(Dictionary::clear);
            self.memo.clear();
            collector.start_file();
        }

        let has_many_tags = self.tags.bytes() > values::KNOWN_MAX;
        if has_many_tags {
            self.tags.clear();
            self.sets_of_codes.clear();
        }

        is_full || has_many_tags
    }

    /// Decodes the columns of a batch.
    fn decode(&mut self, batch: &RecordBatch, collector: &mut Collector) -> Result<(), String> {
        let rows = batch.num_rows();
        let texts = self
            .columns
            .texts
            .iter()
            .zip(&mut self.texts)
            .zip(&mut self.codes)
            .zip(TEXT_NAMES);

        for (((column, dictionary), codes), name) in texts {
            let Some(column) = column else { continue };
            codes.resize(rows, values::MISSING);
            dictionary
                .read(batch.column(*column), |row, code| codes[row] = code)
                .map_err(|problem| format!("column {name}: {problem}"))?;
        }

        self.tag_sets.clear();
        self.tag_sets.resize(rows, TagSets::NONE);
        if let Some(column) = self.columns.tags {
            self.decode_tags(batch.column(column), collector)?;
        }

        for ((costs, column), name) in self
            .costs
            .iter_mut()
            .zip(self.columns.costs)
            .zip(COST_NAMES)
        {
            match column {
                Some(column) => costs
                    .read(batch.column(column))
                    .map_err(|problem| format!("column {name}: {problem}"))?,
                None => costs.fill(rows),
            }
        }

        self.charge_starts
            .read(batch.column(self.columns.charge_start))
            .map_err(|problem| format!("column {CHARGE_START}: {problem}"))?;
        match self.columns.billing_start {
            Some(column) => self
                .billing_starts
                .read(batch.column(column))
                .map_err(|problem| format!("column {BILLING_START}: {problem}"))?,
            None => self.billing_starts.fill(rows),
        }

        Ok(())
    }

    /// Decodes the next rows of a row group.
    fn decode_pages(
        &mut self,
        group: &mut RowGroup,
        rows: usize,
        is_cleared: bool,
        collector: &mut Collector,
    ) -> Result<(), ParquetError> {
        for ((column, dictionary), codes) in group
            .texts
            .iter_mut()
            .zip(&mut self.texts)
            .zip(&mut self.codes)
        {
            let Some(column) = column else { continue };
            if is_cleared {
                column.read_dictionary(dictionary)?;
            }
            codes.resize(rows, values::MISSING);
            column.read(dictionary, codes)?;
        }

        self.tag_sets.clear();
        self.tag_sets.resize(rows, TagSets::NONE);
        if let Some(column) = &mut group.tags {
            if is_cleared {
                column.read_dictionary(&mut self.tags)?;
            }
            column.read(&mut self.tags, &mut self.tag_sets)?;
            self.sets_of_tags(collector);
        }

        for (column, costs) in group.costs.iter_mut().zip(&mut self.costs) {
            match column {
                Some(column) => column.read(costs, rows)?,
                None => costs.fill(rows),
            }
        }

        group.charge_starts.read(&mut self.charge_starts, rows)?;
        match &mut group.billing_starts {
            Some(column) => column.read(&mut self.billing_starts, rows)?,
            None => self.billing_starts.fill(rows),
        }

        Ok(())
    }

    fn decode_tags(&mut self, column: &ArrayRef, collector: &mut Collector) -> Result<(), String> {
        let Self { tags, tag_sets, .. } = self;
        if values::read_tag_lists(column, &mut collector.tags, tag_sets) {
            return Ok(());
        }
        tags.read(column, |row, code| tag_sets[row] = code)
            .map_err(|problem| format!("column Tags: {problem}"))?;
        self.sets_of_tags(collector);
        Ok(())
    }

    /// Puts sets of tags where the codes of their texts are.
    fn sets_of_tags(&mut self, collector: &mut Collector) {
        let Self {
            tags,
            sets_of_codes,
            tag_sets,
            bad_tags,
            ..
        } = self;

        for code in sets_of_codes.len() as u32..=tags.highest() {
            let text = tags.text(code);
            let set = if text.is_empty() {
                Some(TagSets::NONE)
            } else {
                collector.tags.set(text)
            };

            sets_of_codes.push(set.unwrap_or(BAD_TAGS));
        }

        for set in tag_sets {
            // Until here, a code.
            *set = sets_of_codes[*set as usize];
            if *set == BAD_TAGS {
                *set = TagSets::NONE;
                *bad_tags += 1;
            }
        }
    }

    /// Adds decoded rows. `shown` tells the value of a row and column for a report.
    fn add_rows(
        &mut self,
        rows: usize,
        output: &mut Output<'_>,
        shown: impl Fn(usize, usize) -> String,
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
                            let is_shown = reason != BadReason::Missing && report.is_quoting();
                            let value = if is_shown {
                                shown(row, column)
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

    /// Finds the billing month of each row; that of a bad row means nothing.
    fn find_periods(&mut self, rows: usize) {
        if self.months.len() > MONTHS_MAX {
            self.months.clear();
            self.memo.clear();
        }

        let Self {
            charge_starts,
            billing_starts,
            periods,
            months,
            ..
        } = self;

        periods.clear();
        let mut last = (values::NO_DAY, NO_MONTH);
        for row in 0..rows {
            let day = billing_starts.day(row).or_else(|reason| match reason {
                BadReason::Missing => charge_starts.day(row),
                other => Err(other),
            });
            let day = day.unwrap_or(values::NO_DAY);

            if day != last.0 {
                last = (
                    day,
                    period_of(day).map_or(NO_MONTH, |period| month_code(months, period)),
                );
            }

            periods.push(last.1);
        }
    }

    /// Finds the cells of rows, as far as they are known.
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
            costs,
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

        let mut is_rounded = false;
        let mut cost = |metric: usize| {
            let (amount, rounded) = self.costs[metric].amount(row).map_err(|reason| {
                Bad::Value(
                    COST_NAMES[metric],
                    Some(costs[metric].unwrap_or_default()),
                    reason,
                )
            })?;

            is_rounded |= rounded;
            Ok(amount)
        };

        let effective = cost(0)?;
        let billed = cost(1)?;

        // Counts for usage alone.
        let list = match is_usage.then(|| cost(2)) {
            None => Amount::ZERO,
            // Not everything has a list price; what it cost counts all the same.
            Some(Err(Bad::Value(_, _, BadReason::Missing))) => {
                self.unlisted += 1;
                Amount::ZERO
            }
            Some(list) => list?,
        };

        let sums = Sums {
            effective,
            billed,
            list,
            rows: 1,
        };

        self.rounded += u64::from(is_rounded);
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

/// What a row is added to.
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

fn month_code(months: &mut Vec<Period>, period: Period) -> u32 {
    let known = months.iter().position(|month| *month == period);
    known.unwrap_or_else(|| {
        months.push(period);
        months.len() - 1
    }) as u32
}

/// The code of a row; that of no text where the file lacks the column.
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
