//! Imports of bills: files are read into cells, and cells are stored as documents in the bucket.

mod files;

use super::{
    archive::{Archive, ArchiveError, Kind, Slot},
    books::Books,
};
use crate::config::CostConfig;
pub use files::{BillFile, FILES_MAX, FilesError, Found, LISTED_MAX, MANIFEST_MAX, find, read};
use regionmesh_cost::{
    Import, ImportReport, ImportedPart, Metric, PartError, Period, StoredPart, Totals,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use time::Date;

/// A part that an import replaced, or would replace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Replaced {
    /// Rows of the previous bill.
    pub rows: u64,
    /// When it was imported, Unix milliseconds.
    pub imported_ms: u64,
    /// Who imported it.
    pub importer: String,
}

/// One source and month of an import.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PartSummary {
    /// The source of the bill.
    pub source: String,
    /// The billing month.
    pub period: Period,
    /// Rows imported.
    pub rows: u64,
    /// Cells created from them.
    pub cells: u64,
    /// First day with a charge.
    pub first_day: String,
    /// Last day with a charge.
    pub last_day: String,
    /// Totals by metric and currency.
    pub totals: BTreeMap<Metric, Totals>,
    /// The part that it replaces; null if there is none.
    pub replaced: Option<Replaced>,
}

/// The result of an import, or of a dry run.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "CostImport")]
pub struct ImportSummary {
    /// Whether it was a dry run: nothing was stored.
    pub dry_run: bool,
    /// Statistics of the files.
    pub report: ImportReport,
    /// The imported parts.
    pub parts: Vec<PartSummary>,
}

/// Why an import failed.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The files can't be read.
    #[error(transparent)]
    Files(#[from] FilesError),
    /// A file ended early, or is not a bill: an incomplete bill replaces nothing.
    #[error("nothing was imported: {}", .0.join("; "))]
    Incomplete(Vec<String>),
    /// No row could be used.
    #[error("nothing was imported: no row could be \
        used{}", .0.as_ref().map(|first| format!("; the first: {first}")).unwrap_or_default())]
    Empty(Option<String>),
    /// Bills older than the retention, which would be deleted immediately.
    #[error(
        "nothing was imported: bills are kept for {keep_months} months (cost.keep_months), and \
            the files have older ones, of {}; leave these out, or raise the setting",
        .months.join(", ")
    )]
    TooOld {
        months: Vec<String>,
        /// Retention, months.
        keep_months: u32,
    },
    /// A part is not valid.
    #[error("nothing was imported: {0}")]
    Part(#[from] PartError),
    /// The bucket failed after some parts were stored.
    #[error(
        "{stored} of {all} parts were imported, then the store failed: {error}; run the import \
            again, what was stored is replaced"
    )]
    Store {
        /// Parts stored.
        stored: usize,
        /// All parts.
        all: usize,
        error: Box<ArchiveError>,
    },
}

/// Checks an import, and finds the parts that it would replace in `books`.
pub fn summarise(
    import: &Import,
    books: &Books,
    dry_run: bool,
) -> Result<ImportSummary, ImportError> {
    if !import.report.is_complete() {
        let errors = import
            .report
            .files
            .iter()
            .filter_map(|file| file.error.as_ref())
            .map(ToString::to_string);

        return Err(ImportError::Incomplete(errors.take(3).collect()));
    }

    if import.parts.is_empty() {
        return Err(ImportError::Empty(
            import.report.bad_rows.first().map(ToString::to_string),
        ));
    }

    let parts = import
        .parts
        .iter()
        .map(|part| summary(part, books))
        .collect();

    Ok(ImportSummary {
        dry_run,
        report: import.report.clone(),
        parts,
    })
}

fn summary(part: &ImportedPart, books: &Books) -> PartSummary {
    let before = books
        .ledger
        .parts()
        .find(|held| held.source() == part.source && held.period() == part.period);

    PartSummary {
        source: part.source.clone(),
        period: part.period,
        rows: part.rows,
        cells: part.cells.len() as u64,
        first_day: part.days.0.to_string(),
        last_day: part.days.1.to_string(),
        totals: part.totals.clone(),
        replaced: before.map(|held| Replaced {
            rows: held.rows(),
            imported_ms: held.imported_ms(),
            importer: held.importer().to_owned(),
        }),
    }
}

/// Refuses months older than the retention of bills.
pub fn check_age(import: &Import, cost: &CostConfig, today: Date) -> Result<(), ImportError> {
    let old: BTreeSet<Period> = import
        .parts
        .iter()
        .map(|part| part.period)
        .filter(|period| !cost.retains(*period, today))
        .collect();

    if old.is_empty() {
        return Ok(());
    }

    let months = old.iter().map(Period::to_string).collect();
    Err(ImportError::TooOld {
        months,
        keep_months: cost.keep_months,
    })
}

/// A part of an import, ready to be stored.
pub struct Prepared {
    slot: Slot,
    about: Vec<(String, String)>,
    document: Vec<u8>,
}

/// Checks and encodes all parts, so that one that is not valid stops the import before anything is
/// changed.
pub fn prepare(
    parts: Vec<ImportedPart>,
    books: &Books,
    importer: &str,
) -> Result<Vec<Prepared>, ImportError> {
    let now_ms = regionmesh_runtime::time::unix_ms();
    let prepare = |part: ImportedPart| -> Result<Prepared, ImportError> {
        let imported_ms = books.ledger.import_time(&part.source, part.period, now_ms);
        let slot = Slot::new(Kind::Bill, part.period, &part.source);
        let about = vec![
            ("source".to_owned(), part.source.clone()),
            ("period".to_owned(), part.period.to_string()),
        ];
        let stored = StoredPart::new(
            part.source,
            part.period,
            imported_ms,
            importer.to_owned(),
            part.cells,
        )?;

        Ok(Prepared {
            slot,
            about,
            document: stored.encode()?,
        })
    };

    parts.into_iter().map(prepare).collect()
}

/// Stores the parts of an import in the bucket; each replaces the bill of its source and month.
pub async fn store(
    parts: Vec<Prepared>,
    archive: &Archive,
    importer: &str,
) -> Result<(), ImportError> {
    let all = parts.len();
    for (
        stored,
        Prepared {
            slot,
            about,
            document,
        },
    ) in parts.into_iter().enumerate()
    {
        let put = archive.put(&slot, importer, about, document).await;
        put.map_err(|error| ImportError::Store {
            stored,
            all,
            error: Box::new(error),
        })?;
    }

    Ok(())
}

#[cfg(test)]
mod tests;
