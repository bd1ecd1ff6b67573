//! Billing exports in the FinOps Open Cost and Usage Specification (FOCUS 1.0 to 1.4) become cells.
//!
//! Rows are streamed and not kept. Columns are found by name; columns that are not needed are not
//! looked at.

mod amount;
mod charge;
mod collect;
mod columns;
mod csv;
mod date;
mod layout;
#[cfg(feature = "parquet")]
mod parquet;
mod report;
mod tags;
mod text;

pub use self::layout::{
    ExportProblem, ExportSet, Exports, StoredFile, export_manifests, find_exports,
};
pub use self::report::{
    BadReason, BadRow, FileError, FileFormat, FileReport, Import, ImportReport, ImportedPart,
    Warning,
};

use self::collect::Collector;
use crate::cells::Metric;
use crate::money::{Currency, Totals};
#[cfg(feature = "parquet")]
use ::parquet::file::reader::ChunkReader;
use flate2::bufread::MultiGzDecoder;
use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Cursor, Read};

/// The buffer before decompression, bytes.
const GZIP_BUFFER: usize = 128 << 10;

/// Options of an import.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImportOptions {
    /// The tags that cells are kept apart by.
    pub tag_keys: Vec<String>,
    /// The bill's owner. By default each row's provider and billing account, or else the file name.
    pub source: Option<String>,
    /// The currency of rows that name none.
    pub currency: Option<Currency>,
}

/// Reads the files of one import. Files that belong to the same source and month add up.
#[derive(Debug)]
pub struct Importer {
    currency: Option<Currency>,
    collector: Collector,
    report: ImportReport,
}

impl Importer {
    /// An import of no files yet.
    pub fn new(options: ImportOptions) -> Self {
        let ImportOptions {
            tag_keys,
            source,
            currency,
        } = options;

        Self {
            currency,
            collector: Collector::new(source, tag_keys),
            report: ImportReport::default(),
        }
    }

    /// Reads a CSV file, compressed with gzip or not. Bad rows and errors of the file end up in the
    /// report; rows before an error stay imported. `name` is what the report calls the file.
    pub fn read(&mut self, name: &str, input: impl Read) -> &FileReport {
        self.read_file(name, |importer, file| importer.read_stream(input, file))
    }

    /// Reads a Parquet file ([`std::fs::File`] or [`bytes::Bytes`]), otherwise as [`Self::read`].
    #[cfg(feature = "parquet")]
    pub fn read_parquet(&mut self, name: &str, input: impl ChunkReader + 'static) -> &FileReport {
        self.read_file(name, |importer, file| {
            file.format = Some(FileFormat::Parquet);
            file.bytes = input.len();

            let Self {
                currency,
                collector,
                report,
            } = importer;

            self::parquet::read(input, *currency, collector, report, file)
        })
    }

    /// The cells, and the report.
    pub fn finish(self) -> Import {
        let mut report = self.report;
        report.rows = report.files.iter().map(|file| file.rows).sum();
        report.imported = report.files.iter().map(|file| file.imported).sum();

        let parts = self.collector.finish();
        report.totals = totals(&parts);

        let first = parts.iter().map(|part| part.days.0).min();
        report.days = first.zip(parts.iter().map(|part| part.days.1).max());
        Import { parts, report }
    }

    fn read_file(
        &mut self,
        name: &str,
        read: impl FnOnce(&mut Self, &mut FileReport) -> Result<(), FileError>,
    ) -> &FileReport {
        let place = self.report.files.len();
        let mut file = FileReport {
            name: name.into(),
            format: None,
            bytes: 0,
            rows: 0,
            imported: 0,
            warnings: Vec::new(),
            error: None,
        };

        file.error = read(self, &mut file).err();
        self.report.files.push(file);
        &self.report.files[place]
    }

    fn read_stream(
        &mut self,
        mut input: impl Read,
        file: &mut FileReport,
    ) -> Result<(), FileError> {
        let mut head = Vec::new();
        let failure = input.by_ref().take(4).read_to_end(&mut head).err();
        if let Some(error) = failure {
            return Err(FileError::Read {
                file: file.name.clone(),
                bytes: 0,
                message: error.to_string(),
            });
        }

        let format = FileFormat::of(&head);
        file.format = Some(format);

        let input = Cursor::new(head).chain(input);
        let Self {
            currency,
            collector,
            report,
        } = self;

        match format {
            FileFormat::Csv => text::read(input, *currency, collector, report, file),
            FileFormat::CsvGz => {
                let decoder = MultiGzDecoder::new(BufReader::with_capacity(GZIP_BUFFER, input));
                text::read(decoder, *currency, collector, report, file)
            }
            FileFormat::Parquet => Err(FileError::Format {
                file: file.name.clone(),
                problem: "a Parquet file can't be read as a stream".into(),
            }),
        }
    }
}

/// Whether two files have the same unpacked content.
pub fn has_same_content(one: impl Read, other: impl Read) -> io::Result<bool> {
    let mut one = unpacked(one)?;
    let mut other = unpacked(other)?;
    loop {
        let left = one.fill_buf()?;
        let right = other.fill_buf()?;
        let length = left.len().min(right.len());

        if length == 0 || left[..length] != right[..length] {
            return Ok(left.is_empty() && right.is_empty());
        }
        one.consume(length);
        other.consume(length);
    }
}

fn unpacked<'a>(input: impl Read + 'a) -> io::Result<Box<dyn BufRead + 'a>> {
    let mut input = BufReader::with_capacity(GZIP_BUFFER, input);
    Ok(match FileFormat::of(input.fill_buf()?) {
        FileFormat::CsvGz => Box::new(BufReader::with_capacity(
            GZIP_BUFFER,
            MultiGzDecoder::new(input),
        )),
        FileFormat::Csv | FileFormat::Parquet => Box::new(input),
    })
}

/// Totals over parts; a metric that one of them lacks is missing.
fn totals(parts: &[ImportedPart]) -> BTreeMap<Metric, Totals> {
    let mut totals: BTreeMap<Metric, Totals> = BTreeMap::new();
    for metric in Metric::ALL {
        let of_parts: Option<Vec<&Totals>> =
            parts.iter().map(|part| part.totals.get(&metric)).collect();
        let Some(of_parts) = of_parts.filter(|of_parts| !of_parts.is_empty()) else {
            continue;
        };
        let total = totals.entry(metric).or_default();

        for (currency, amount) in of_parts.into_iter().flat_map(|totals| &totals.0) {
            *total.0.entry(*currency).or_default() += *amount;
        }
    }

    totals
}

#[cfg(test)]
mod tests;
