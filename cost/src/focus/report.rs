//! Import reports: counts, bad rows, warnings and file errors.

use crate::cells::{Cells, Metric, Period};
use crate::money::Totals;
use schemars::JsonSchema;
use serde::{Serialize, Serializer};
use std::{collections::BTreeMap, fmt};
use time::Date;

/// Bad rows that are quoted in full.
const QUOTED_MAX: usize = 20;
/// Characters of a bad value that are quoted.
const VALUE_CHARS_MAX: usize = 80;

/// The result of an import.
#[derive(Debug, Clone)]
pub struct Import {
    pub parts: Vec<ImportedPart>,
    /// The import report.
    pub report: ImportReport,
}

/// One billing month of one source: takes the place of what was imported for both before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportedPart {
    /// The bill's owner: `AWS 1234567890123`, or the given name.
    pub source: String,
    /// The billing month.
    pub period: Period,
    pub cells: Cells,
    /// Rows summed up.
    pub rows: u64,
    /// The totals of the metrics that all of its files have.
    pub totals: BTreeMap<Metric, Totals>,
    /// The first and the last day with a charge.
    pub days: (Date, Date),
}

/// The report of an import.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ImportReport {
    /// Each file, in the order of reading.
    pub files: Vec<FileReport>,
    /// Rows read.
    pub rows: u64,
    /// Rows summed up; the others are bad.
    pub imported: u64,
    /// Rows with an amount of more than 15 decimals, which was rounded.
    pub rounded: u64,
    /// Bad rows.
    pub bad: BTreeMap<BadReason, u64>,
    /// The first 20 bad rows.
    pub bad_rows: Vec<BadRow>,
    /// Totals of what was imported. A metric is missing where a file has no column for it.
    pub totals: BTreeMap<Metric, Totals>,
    /// The first and the last day with a charge, in ISO 8601.
    #[schemars(with = "Option<(String, String)>")]
    #[serde(serialize_with = "dates")]
    pub days: Option<(Date, Date)>,
}

impl ImportReport {
    /// Whether every file was read completely. If not, the import is only part of a bill and must
    /// not replace another.
    pub fn is_complete(&self) -> bool {
        self.files.iter().all(|file| file.error.is_none())
    }

    /// Whether the next bad row is quoted.
    #[cfg(feature = "parquet")]
    pub(super) fn is_quoting(&self) -> bool {
        self.bad_rows.len() < QUOTED_MAX
    }

    pub(super) fn add_bad(&mut self, row: BadRow) {
        *self.bad.entry(row.reason).or_default() += 1;
        if self.bad_rows.len() < QUOTED_MAX {
            self.bad_rows.push(row);
        }
    }
}

fn dates<S: Serializer>(days: &Option<(Date, Date)>, serializer: S) -> Result<S::Ok, S::Error> {
    days.map(|(first, last)| (first.to_string(), last.to_string()))
        .serialize(serializer)
}

/// The report of one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct FileReport {
    /// As the caller calls it.
    pub name: String,
    /// The format; null if unknown.
    pub format: Option<FileFormat>,
    /// Bytes read.
    pub bytes: u64,
    /// Rows read.
    pub rows: u64,
    /// Rows summed up.
    pub imported: u64,
    pub warnings: Vec<Warning>,
    /// Why it was not read to its end.
    #[schemars(with = "Option<String>")]
    #[serde(serialize_with = "text")]
    pub error: Option<FileError>,
}

fn text<S: Serializer>(error: &Option<FileError>, serializer: S) -> Result<S::Ok, S::Error> {
    error
        .as_ref()
        .map(ToString::to_string)
        .serialize(serializer)
}

/// The format of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FileFormat {
    /// Comma-separated text.
    Csv,
    /// Comma-separated text, compressed with gzip.
    CsvGz,
    /// Apache Parquet.
    Parquet,
}

impl FileFormat {
    /// Finds the format in the first four bytes of a file.
    pub fn of(head: &[u8]) -> Self {
        match head {
            [0x1f, 0x8b, ..] => Self::CsvGz,
            [b'P', b'A', b'R', b'1', ..] => Self::Parquet,
            _ => Self::Csv,
        }
    }
}

/// Why a file was not read, or not to its end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// The input failed.
    #[error("{file}: reading failed after {bytes} bytes: {message}")]
    Read {
        file: String,
        /// Bytes read.
        bytes: u64,
        message: String,
    },
    /// The file is shorter than it should be.
    #[error("{file}: the file ends early, in line {line}; download or export it again")]
    EndsEarly {
        file: String,
        /// The line that is not complete, from 1.
        line: u64,
    },
    /// Not one of the formats.
    #[error("{file}: {problem}; expected a FOCUS export as CSV (UTF-8), CSV.gz or Parquet")]
    Format { file: String, problem: String },
    /// Columns that an import can't do without.
    #[error("{file}: no column {missing}; columns found: {found}")]
    Columns {
        file: String,
        missing: String,
        /// The names in the file.
        found: String,
    },
    /// Quotes without an end.
    #[error("{file}: gave up at line {line}: too many quoted fields are never closed")]
    Quotes {
        file: String,
        /// The line, from 1.
        line: u64,
    },
    /// More cells than are kept.
    #[error(
        "{file}: the import needs more than {limit} cells, or 256 MiB of texts; choose fewer tags, \
            or import fewer months at once"
    )]
    Cells { file: String, limit: usize },
}

/// A deficiency of a file and how it is handled.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema)]
#[schemars(rename = "ImportWarning", with = "String")]
pub enum Warning {
    /// No column for this cost.
    NoMetric(Metric),
    /// No `BillingCurrency`, and none was given.
    NoCurrency,
    /// No `ChargeCategory`.
    NoChargeCategory,
    /// Two columns of one name.
    Duplicate(String),
    /// Number of `Tags` values that can't be read.
    Tags(u64),
    /// Number of usage rows without `ListCost`, which is optional.
    NoListCost(u64),
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoMetric(Metric::Effective) => {
                f.write_str("no column EffectiveCost: effective cost is not available")
            }
            Self::NoMetric(Metric::Billed) => {
                f.write_str("no column BilledCost: billed cost is not available")
            }
            Self::NoMetric(Metric::List) => {
                f.write_str("no column ListCost: list cost is not available")
            }
            Self::NoCurrency => f.write_str(
                "no column BillingCurrency: the currency is unknown (XXX); pass --currency",
            ),
            Self::NoChargeCategory => {
                f.write_str("no column ChargeCategory: every row counts as usage")
            }
            Self::Duplicate(name) => {
                write!(f, "the column {name} appears twice: the first one is used")
            }
            Self::Tags(count) => write!(
                f,
                "the tags of {count} rows are not valid JSON: these rows count as untagged"
            ),
            Self::NoListCost(count) => write!(
                f,
                "{count} usage rows have no ListCost: list totals are too low"
            ),
        }
    }
}

impl Serialize for Warning {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Why a row is not imported.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    JsonSchema,
    thiserror::Error,
)]
#[serde(rename_all = "kebab-case")]
pub enum BadReason {
    #[error("the number of fields differs from the header")]
    FieldCount,
    #[error("text after a closing quote")]
    StrayQuote,
    #[error("a quote is not closed, or the row is longer than 1 MiB")]
    TooLong,
    #[error("the file ends within the row")]
    Cut,
    #[error("a value is required")]
    Missing,
    #[error("not UTF-8")]
    Encoding,
    #[error("not a date: write it as 2024-09-18T22:00:00Z")]
    Date,
    #[error("not a decimal number")]
    Number,
    #[error("more than 14 digits before the decimal point")]
    TooLarge,
    #[error("not Usage, Purchase, Tax, Credit or Adjustment")]
    ChargeCategory,
    #[error("not a currency code")]
    Currency,
}

/// A row that was not imported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct BadRow {
    pub file: String,
    /// The line on which the row begins (CSV, from 1), or its number (Parquet, from 1).
    pub row: u64,
    /// The column; empty if the whole row is meant.
    pub column: String,
    /// The value, escaped, at most 80 characters.
    pub value: String,
    pub reason: BadReason,
}

impl BadRow {
    pub(super) fn new(file: &str, row: u64, column: &str, value: &[u8], reason: BadReason) -> Self {
        // A little more than 80 characters need, so none is cut in half.
        let value = &value[..value.len().min(VALUE_CHARS_MAX * 4 + 4)];
        let escaped = match std::str::from_utf8(value) {
            Ok(text) => text.escape_debug().take(VALUE_CHARS_MAX).collect(),
            Err(error) if error.error_len().is_none() && value.len() > VALUE_CHARS_MAX * 4 => {
                String::from_utf8_lossy(value)
                    .escape_debug()
                    .take(VALUE_CHARS_MAX)
                    .collect()
            }
            Err(_) => value
                .escape_ascii()
                .take(VALUE_CHARS_MAX)
                .map(char::from)
                .collect(),
        };

        Self {
            file: file.into(),
            row,
            column: column.into(),
            value: escaped,
            reason,
        }
    }
}

impl fmt::Display for BadRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            file,
            row,
            column,
            value,
            reason,
        } = self;

        match column.as_str() {
            "" => write!(f, "{file}:{row}: {reason}: {value}"),
            _ => write!(f, "{file}:{row}: {column} is \"{value}\": {reason}"),
        }
    }
}
