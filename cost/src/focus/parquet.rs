//! Rows of a Parquet file. Only needed columns are read; texts stay the codes of the file's
//! dictionaries.

mod costs;
mod direct;
mod hybrid;
mod memo;
mod pages;
mod rows;
mod values;
mod window;

use self::direct::RowGroup;
use self::rows::{BATCH_ROWS, Output, Rows};
use super::charge::FileContext;
use super::collect::Collector;
use super::columns::Columns;
use super::report::{FileError, FileReport, ImportReport};
use crate::money::Currency;
use arrow_schema::{DataType, Field, Schema};
use bytes::Bytes;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};
use parquet::arrow::{ProjectionMask, parquet_to_arrow_schema};
use parquet::file::reader::{ChunkReader, Length};
use std::sync::Arc;

/// Reads a Parquet file to its end or the first fatal error.
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
            Some(mut group) => {
                rows.add_pages(&mut group, &mut output, |row, column| {
                    arrays.render(index, row, column)
                })?;
            }
            None => {
                let reader = arrays.builder(index).with_batch_size(BATCH_ROWS).build();
                for batch in reader.map_err(|error| format(error.to_string()))? {
                    let batch = batch.map_err(|error| output.read_error(&error))?;
                    rows.add(&batch, &mut output)?;
                }
            }
        }
    }

    rows.finish(&mut output);
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
    /// Indices among the needed columns.
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

    fn builder(&self, group: usize) -> ParquetRecordBatchReaderBuilder<Shared<R>> {
        let input = Shared(Arc::clone(&self.input.0));
        let builder =
            ParquetRecordBatchReaderBuilder::new_with_metadata(input, self.metadata.clone());

        builder
            .with_projection(self.mask.clone())
            .with_row_groups(vec![group])
    }

    /// A value for a report; empty if it can't be read any more.
    #[cold]
    fn render(&self, group: usize, row: usize, column: usize) -> String {
        let reader = self.builder(group).with_offset(row).with_limit(1).build();
        let batch = reader.ok().and_then(|mut reader| reader.next()?.ok());
        batch
            .filter(|batch| batch.num_rows() == 1)
            .map_or_else(String::new, |batch| values::render(batch.column(column), 0))
    }
}
