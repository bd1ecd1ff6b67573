//! Rows of a Parquet file. Only needed columns are read; texts stay the codes of the file's dictionaries.

mod values;

use self::values::{Costs, Dictionary, Starts};
use super::collect::{Collector, Fault, FileContext, Texts};
use super::columns::{BILLING_START, CHARGE_START, COST_NAMES, Columns, TEXT_NAMES};
use super::date::period_of;
use super::report::{BadReason, BadRow, FileError, FileReport, ImportReport, Warning};
use super::tags::TagSets;
use crate::cells::{Period, Sums};
use crate::money::{Amount, Currency};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field, Schema};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::file::reader::ChunkReader;
use std::borrow::Cow;
use std::sync::Arc;

/// Rows that are decoded together: all that is kept of them fits the second-level cache.
const BATCH_ROWS: usize = 2048;
/// A code for each text, then the tags and the month.
const KEY_BYTES: usize = (TEXT_NAMES.len() + 2) * 4;

/// Reads a Parquet file to its end, as far as that goes.
pub(super) fn read<R: ChunkReader + 'static>(
    input: R,
    currency: Option<Currency>,
    collector: &mut Collector,
    report: &mut ImportReport,
    file: &mut FileReport,
) -> Result<(), FileError> {
    let format = |problem: String| FileError::Format { file: file.name.clone(), problem };
    let metadata = ArrowReaderMetadata::load(&input, ArrowReaderOptions::new())
        .map_err(|error| format(format!("not a readable Parquet file ({error})")))?;
    let names: Vec<String> = metadata.schema().fields().iter().map(|field| field.name().clone()).collect();
    let (mut columns, warnings) = Columns::find(&file.name, &names, currency.is_some())?;
    if collector.tags.is_unused() {
        columns.tags = None;
    }
    let reader = reader(input, &metadata, &mut columns).map_err(|error| format(error.to_string()))?;
    file.warnings = warnings;
    collector.start_file();

    let context = FileContext::new(&file.name, &columns, currency);
    let mut rows = Rows::new(columns, context);
    for batch in reader {
        let batch = batch.map_err(|error| FileError::Read {
            file: file.name.clone(),
            bytes: file.bytes,
            message: format!("row {}: {error}", file.rows + 1),
        })?;
        rows.add(&batch, collector, report, file)?;
        collector.check(&file.name)?;
    }
    report.rounded += rows.rounded;
    if rows.bad_tags > 0 {
        file.warnings.push(Warning::Tags(rows.bad_tags));
    }
    Ok(())
}

/// A reader of the needed columns, to which `columns` point afterwards.
fn reader<R: ChunkReader + 'static>(
    input: R,
    metadata: &ArrowReaderMetadata,
    columns: &mut Columns,
) -> parquet::errors::Result<ParquetRecordBatchReader> {
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
    let fields = metadata.schema().fields().iter().enumerate().map(|(root, field)| {
        let values = match field.data_type() {
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView => DataType::Binary,
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
    let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(input, metadata);
    builder.with_projection(mask).with_batch_size(BATCH_ROWS).build()
}

/// Makes charges of the rows of one file.
struct Rows {
    columns: Columns,
    context: FileContext,
    texts: [Dictionary; TEXT_NAMES.len()],
    tags: Dictionary,
    charge_starts: Starts,
    billing_starts: Starts,
    costs: [Costs; COST_NAMES.len()],
    keys: Vec<[u8; KEY_BYTES]>,
    tag_sets: Vec<u32>,
    period: Option<(i32, Period)>,
    bad_tags: u64,
    rounded: u64,
}

impl Rows {
    fn new(columns: Columns, context: FileContext) -> Self {
        Self {
            columns,
            context,
            texts: Default::default(),
            tags: Dictionary::default(),
            charge_starts: Starts::new(),
            billing_starts: Starts::new(),
            costs: Default::default(),
            keys: Vec::new(),
            tag_sets: Vec::new(),
            period: None,
            bad_tags: 0,
            rounded: 0,
        }
    }

    fn add(
        &mut self,
        batch: &RecordBatch,
        collector: &mut Collector,
        report: &mut ImportReport,
        file: &mut FileReport,
    ) -> Result<(), FileError> {
        self.decode(batch, collector).map_err(|problem| FileError::Format { file: file.name.clone(), problem })?;
        for row in 0..batch.num_rows() {
            file.rows += 1;
            match self.add_row(batch, row, collector) {
                Ok(()) => file.imported += 1,
                Err(fault) => {
                    report.add_bad(BadRow::new(&file.name, file.rows, fault.column, &fault.value, fault.reason));
                }
            }
        }
        Ok(())
    }

    /// Decodes the columns of a batch.
    fn decode(&mut self, batch: &RecordBatch, collector: &mut Collector) -> Result<(), String> {
        let rows = batch.num_rows();
        // Every code is written anew; those of columns that the file lacks stay 0.
        self.keys.resize(self.keys.len().max(rows), [0; KEY_BYTES]);
        if self.texts.iter().map(Dictionary::bytes).sum::<usize>() > values::KNOWN_MAX {
            self.texts.iter_mut().for_each(Dictionary::clear);
            collector.start_file();
        }
        for ((place, column), dictionary) in self.columns.texts.iter().enumerate().zip(&mut self.texts) {
            let Some(column) = column else { continue };
            dictionary
                .read(batch.column(*column), |row, code| write_code(&mut self.keys[row], place, code))
                .map_err(|problem| format!("column {}: {problem}", TEXT_NAMES[place]))?;
        }

        self.tag_sets.clear();
        self.tag_sets.resize(rows, TagSets::NONE);
        if let Some(column) = self.columns.tags {
            self.decode_tags(batch.column(column), collector)?;
        }
        for ((costs, column), name) in self.costs.iter_mut().zip(self.columns.costs).zip(COST_NAMES) {
            match column {
                Some(column) => {
                    costs.read(batch.column(column)).map_err(|problem| format!("column {name}: {problem}"))?
                }
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

    fn decode_tags(&mut self, column: &ArrayRef, collector: &mut Collector) -> Result<(), String> {
        let Self { tags, tag_sets, bad_tags, .. } = self;
        if values::read_tag_lists(column, &mut collector.tags, tag_sets) {
            return Ok(());
        }
        if tags.bytes() > values::KNOWN_MAX {
            tags.clear();
        }
        tags.read(column, |row, code| tag_sets[row] = code).map_err(|problem| format!("column Tags: {problem}"))?;
        for set in tag_sets {
            // Until here, a code.
            let text = tags.text(*set);
            *set = if text.is_empty() {
                TagSets::NONE
            } else {
                collector.tags.set(text).unwrap_or_else(|| {
                    *bad_tags += 1;
                    TagSets::NONE
                })
            };
        }
        Ok(())
    }

    #[inline]
    fn add_row(&mut self, batch: &RecordBatch, row: usize, collector: &mut Collector) -> Result<(), Fault> {
        let charge_start = self.columns.charge_start;
        let day =
            self.charge_starts.day(row).map_err(|reason| fault(batch, charge_start, row, CHARGE_START, reason))?;
        let billing_day = match (self.billing_starts.day(row), self.columns.billing_start) {
            (Ok(day), _) => day,
            (Err(BadReason::Missing), _) | (_, None) => day,
            (Err(reason), Some(column)) => return Err(fault(batch, column, row, BILLING_START, reason)),
        };
        let period = match self.period {
            Some((known, period)) if known == billing_day => period,
            _ => {
                period_of(billing_day).ok_or_else(|| fault(batch, charge_start, row, BILLING_START, BadReason::Date))?
            }
        };
        self.period = Some((billing_day, period));

        let tags = self.tag_sets[row];
        let key = &mut self.keys[row];
        write_code(key, TEXT_NAMES.len(), tags);
        write_code(key, TEXT_NAMES.len() + 1, period.year as u32 * 12 + u32::from(u8::from(period.month)));
        let dictionaries = &self.texts;
        let key = &self.keys[row];
        let texts = || texts_of(dictionaries, key);
        let series = collector.series(&self.context, key, period, texts)?;

        let mut is_rounded = false;
        let mut cost = |metric: usize| {
            let (amount, rounded) = self.costs[metric].amount(row).map_err(|reason| {
                fault(batch, self.columns.costs[metric].unwrap_or_default(), row, COST_NAMES[metric], reason)
            })?;
            is_rounded |= rounded;
            Ok(amount)
        };
        let sums = Sums {
            effective: cost(0)?,
            billed: cost(1)?,
            // Counts for usage alone.
            list: if collector.is_usage(series) { cost(2)? } else { Amount::ZERO },
            rows: 1,
        };
        self.rounded += u64::from(is_rounded);
        collector.add(series, day, tags, sums, texts);
        Ok(())
    }
}

fn write_code(key: &mut [u8; KEY_BYTES], place: usize, code: u32) {
    key[place * 4..place * 4 + 4].copy_from_slice(&code.to_le_bytes());
}

fn texts_of<'a>(dictionaries: &'a [Dictionary; TEXT_NAMES.len()], key: &[u8; KEY_BYTES]) -> Texts<'a> {
    let (codes, _) = key.as_chunks::<4>();
    std::array::from_fn(|place| Cow::Borrowed(dictionaries[place].text(u32::from_le_bytes(codes[place]))))
}

#[cold]
fn fault(batch: &RecordBatch, column: usize, row: usize, name: &'static str, reason: BadReason) -> Fault {
    let value = if reason == BadReason::Missing { String::new() } else { values::shown(batch.column(column), row) };
    Fault::new(name, value.as_bytes(), reason)
}
