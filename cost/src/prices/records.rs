//! Price files as records: named text fields with their line numbers.

use super::rejection::{RejectReason, RejectedPrice, Rejections};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use toml::{Spanned, Value};

/// Why a price file can't be read at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PriceFileError {
    /// Too many bytes or records.
    #[error(
        "{file}: more than 8 MiB or 100,000 prices; import only the regions and node types that \
            the mesh uses"
    )]
    TooLarge { file: String },
    /// Not TOML, or not a list of prices; not CSV.
    #[error("{file}: line {line}: {reason}")]
    Syntax {
        file: String,
        /// The line, from 1.
        line: u64,
        reason: String,
    },
    /// Columns are missing.
    #[error("{file}: the header has no column {missing}; it has: {found}")]
    Columns {
        file: String,
        /// The missing ones.
        missing: String,
        /// Those that are there.
        found: String,
    },
}

/// The fields of a price, in any order.
pub(super) const FIELDS: [&str; 16] = [
    "kind",
    "cloud",
    "region",
    "sku",
    "pricing",
    "gpu",
    "from",
    "to",
    "up_to",
    "amount",
    "currency",
    "unit",
    "valid_from",
    "source",
    "free",
    "verified",
];
/// Most records of a price file.
const RECORDS_LIMIT: usize = 100_000;
/// Longest field that is read, bytes.
const FIELD_LIMIT: usize = 256;

/// One price as the file has it.
#[derive(Debug, Default)]
pub(super) struct Record {
    /// The line on which it begins, from 1.
    pub(super) line: u64,
    /// Each field's text and line; empty fields are left out.
    pub(super) fields: BTreeMap<&'static str, (String, u64)>,
}

/// What a file has.
#[derive(Debug, Default)]
pub(super) struct Records {
    pub(super) records: Vec<Record>,
    /// Records that can't be read at all.
    pub(super) rejected: Rejections,
    /// Names of fields that no price has.
    pub(super) ignored: BTreeSet<String>,
}

impl Records {
    fn name(&mut self, name: &str) -> Option<&'static str> {
        let known = FIELDS
            .iter()
            .find(|field| field.eq_ignore_ascii_case(name.trim()))
            .copied();

        if known.is_none() {
            self.ignored
                .insert(name.chars().take(FIELD_LIMIT).collect());
        }

        known
    }
}

fn line_at(bytes: &[u8], offset: usize) -> u64 {
    1 + bytes[..offset.min(bytes.len())]
        .iter()
        .filter(|byte| **byte == b'\n')
        .count() as u64
}

/// Reads a CSV file whose first row names the columns.
pub(super) fn read_csv(file: &str, bytes: &[u8]) -> Result<Records, PriceFileError> {
    let failed = |error: csv::Error| {
        let line = error.position().map_or(1, csv::Position::line);
        PriceFileError::Syntax {
            file: file.into(),
            line,
            reason: error.to_string(),
        }
    };
    let mut found = Records::default();
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(bytes);
    let headers = reader.byte_headers().map_err(failed)?.clone();

    let names: Vec<String> = headers
        .iter()
        .map(|name| String::from_utf8_lossy(name).trim().to_owned())
        .collect();
    let columns: Vec<Option<&'static str>> = names.iter().map(|name| found.name(name)).collect();
    let missing: Vec<&str> = ["kind", "amount"]
        .into_iter()
        .filter(|name| !columns.contains(&Some(*name)))
        .collect();

    if !missing.is_empty() {
        return Err(PriceFileError::Columns {
            file: file.into(),
            missing: missing.join(", "),
            found: names.join(", "),
        });
    }

    let mut row = csv::ByteRecord::new();
    let mut line = 1;
    let mut counted = 0;

    while reader.read_byte_record(&mut row).map_err(failed)? {
        let start = row_start(bytes, &row);
        line += line_at(&bytes[counted..], start - counted) - 1;
        counted = start;
        if row.len() != columns.len() {
            let reason = RejectReason::Fields {
                expected: columns.len(),
                found: row.len(),
            };

            found
                .rejected
                .push(RejectedPrice::new(line, None, "", reason));
            continue;
        }

        if found.records.len() >= RECORDS_LIMIT {
            return Err(PriceFileError::TooLarge { file: file.into() });
        }

        let texts = row
            .iter()
            .zip(&columns)
            .filter_map(|(text, name)| Some(((*name)?, text, line)));
        let record = record(&mut found.rejected, line, texts);

        found.records.extend(record);
    }

    Ok(found)
}

/// Start of a row, after blank lines.
fn row_start(bytes: &[u8], row: &csv::ByteRecord) -> usize {
    let start = row
        .position()
        .map_or(0, |position| position.byte() as usize);
    let rest = bytes.get(start..).unwrap_or_default();
    let is_blank = |byte: &&u8| matches!(**byte, b'\r' | b'\n');
    start + rest.iter().take_while(is_blank).count()
}

/// The record of these fields, or none where one of them can't be read.
fn record<'a>(
    rejected: &mut Rejections,
    line: u64,
    texts: impl Iterator<Item = (&'static str, &'a [u8], u64)>,
) -> Option<Record> {
    let mut record = Record {
        line,
        fields: BTreeMap::new(),
    };

    for (name, text, line) in texts {
        let text = text.trim_ascii();
        let lossy = String::from_utf8_lossy(text);
        if text.len() > FIELD_LIMIT
            || lossy
                .chars()
                .any(|letter| letter.is_control() || letter == '\u{fffd}')
        {
            rejected.push(RejectedPrice::new(
                line,
                Some(name),
                &lossy,
                RejectReason::Text,
            ));

            return None;
        }

        if !text.is_empty() {
            record.fields.insert(name, (lossy.into_owned(), line));
        }
    }

    Some(record)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TomlFile {
    currency: Option<Spanned<Value>>,
    valid_from: Option<Spanned<Value>>,
    source: Option<Spanned<Value>>,
    prices: Vec<Spanned<BTreeMap<String, Spanned<Value>>>>,
}

/// Reads a TOML file: a list `prices` of tables, and `currency`, `valid_from` and `source` for
/// those that have none.
pub(super) fn read_toml(file: &str, bytes: &[u8]) -> Result<Records, PriceFileError> {
    let text = std::str::from_utf8(bytes).map_err(|error| PriceFileError::Syntax {
        file: file.into(),
        line: line_at(bytes, error.valid_up_to()),
        reason: "not UTF-8".into(),
    })?;
    let parsed: TomlFile = toml::from_str(text).map_err(|error| PriceFileError::Syntax {
        file: file.into(),
        line: line_at(bytes, error.span().map_or(0, |span| span.start)),
        reason: error.message().to_owned(),
    })?;

    if parsed.prices.len() > RECORDS_LIMIT {
        return Err(PriceFileError::TooLarge { file: file.into() });
    }

    let mut found = Records::default();
    let defaults = [
        ("currency", &parsed.currency),
        ("valid_from", &parsed.valid_from),
        ("source", &parsed.source),
    ];
    let mut counted = 0;
    let mut line = 1;

    for price in &parsed.prices {
        let start = price.span().start;
        line += line_at(&bytes[counted..], start.saturating_sub(counted)) - 1;
        counted = counted.max(start);

        let mut texts = BTreeMap::new();
        for (name, value) in defaults {
            texts.extend(value.as_ref().map(|value| (name, (value, line))));
        }

        for (name, value) in price.get_ref() {
            let line =
                line + line_at(
                    &bytes[counted..],
                    value.span().start.saturating_sub(counted),
                ) - 1;

            texts.extend(found.name(name).map(|name| (name, (value, line))));
        }

        let texts: Vec<_> = texts
            .into_iter()
            .map(|(name, (value, line))| (name, raw(text, value), line))
            .collect();
        let texts = texts
            .iter()
            .map(|(name, text, line)| (*name, text.as_bytes(), *line));
        let record = record(&mut found.rejected, line, texts);

        found.records.extend(record);
    }

    Ok(found)
}

/// The text of a value: numbers digit by digit as the file has them, never by way of a float.
fn raw(text: &str, value: &Spanned<Value>) -> String {
    match value.get_ref() {
        Value::String(text) => text.clone(),
        Value::Integer(_) | Value::Float(_) => {
            text.get(value.span()).unwrap_or_default().replace('_', "")
        }
        other => other.to_string(),
    }
}
