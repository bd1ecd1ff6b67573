//! Price files as records: named fields as text, with the line that each stands in.

use super::{
    PriceFileError, RejectReason, RejectedPrice,
    import::{RECORDS_LIMIT, Rejections},
};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use toml::{Spanned, Value};

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
/// Longest field that is read, bytes.
const FIELD_LIMIT: usize = 256;

/// One price as the file has it.
#[derive(Debug, Default)]
pub(super) struct Record {
    /// The line on which it begins, from 1.
    pub(super) line: u64,
    /// What each field says and on which line; empty fields are left out.
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
        let known = FIELDS.iter().find(|field| field.eq_ignore_ascii_case(name.trim())).copied();
        if known.is_none() {
            self.ignored.insert(name.chars().take(FIELD_LIMIT).collect());
        }
        known
    }
}

fn line_at(bytes: &[u8], offset: usize) -> u64 {
    1 + bytes[..offset.min(bytes.len())].iter().filter(|byte| **byte == b'\n').count() as u64
}

/// Reads a CSV file whose first row names the columns.
pub(super) fn read_csv(file: &str, bytes: &[u8]) -> Result<Records, PriceFileError> {
    let failed = |error: csv::Error| {
        let line = error.position().map_or(1, csv::Position::line);
        PriceFileError::Syntax { file: file.into(), line, reason: error.to_string() }
    };
    let mut found = Records::default();
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(bytes);
    let headers = reader.byte_headers().map_err(failed)?.clone();
    let names: Vec<String> = headers.iter().map(|name| String::from_utf8_lossy(name).trim().to_owned()).collect();
    let columns: Vec<Option<&'static str>> = names.iter().map(|name| found.name(name)).collect();
    let missing: Vec<&str> = ["kind", "amount"].into_iter().filter(|name| !columns.contains(&Some(*name))).collect();
    if !missing.is_empty() {
        return Err(PriceFileError::Columns {
            file: file.into(),
            missing: missing.join(", "),
            found: names.join(", "),
        });
    }

    let mut row = csv::ByteRecord::new();
    while reader.read_byte_record(&mut row).map_err(failed)? {
        let line = row.position().map_or(0, csv::Position::line);
        if row.len() != columns.len() {
            let reason = RejectReason::Fields { expected: columns.len(), found: row.len() };
            found.rejected.push(RejectedPrice::new(line, None, "", reason));
            continue;
        }
        if found.records.len() >= RECORDS_LIMIT {
            return Err(PriceFileError::TooLarge { file: file.into() });
        }
        let texts = row.iter().zip(&columns).filter_map(|(text, name)| Some(((*name)?, text, line)));
        let record = record(&mut found.rejected, line, texts);
        found.records.extend(record);
    }
    Ok(found)
}
