//! Imports of bills: files become cells, cells become documents in the bucket.

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
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use time::Date;

/// What an import replaced, or would replace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replaced {
    /// Rows of the bill before.
    pub rows: u64,
    /// When it was imported, Unix milliseconds.
    pub imported_ms: u64,
    /// Who imported it.
    pub importer: String,
}

/// One source and month of an import.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartSummary {
    /// Whose bill it is.
    pub source: String,
    /// The billing month.
    pub period: Period,
    /// Rows summed up.
    pub rows: u64,
    /// Cells that they became.
    pub cells: u64,
    /// First day with a charge.
    pub first_day: String,
    /// Last day with a charge.
    pub last_day: String,
    /// Totals by metric and currency.
    pub totals: BTreeMap<Metric, Totals>,
    /// What it takes the place of; none where nothing was there.
    pub replaced: Option<Replaced>,
}

/// What an import did, or would do.
#[derive(Debug, Clone, Serialize)]
pub struct ImportSummary {
    /// Whether nothing was kept.
    pub dry_run: bool,
    /// What was read of the files.
    pub report: ImportReport,
    /// What it became.
    pub parts: Vec<PartSummary>,
}

/// Why an import was not kept.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The files can't be read.
    #[error(transparent)]
    Files(#[from] FilesError),
    /// A file ended early, or is no bill: half a bill replaces nothing.
    #[error("nothing was imported: {}", .0.join("; "))]
    Incomplete(Vec<String>),
    /// No row could be used.
    #[error("nothing was imported: no row could be \
        used{}", .0.as_ref().map(|first| format!("; the first: {first}")).unwrap_or_default())]
    Empty(Option<String>),
    /// Bills that would be deleted at once.
    #[error(
        "nothing was imported: bills are kept for {keep_months} months (cost.keep_months), and the files have older ones, of {}; \
         leave these out, or raise the setting",
        .months.join(", ")
    )]
    TooOld {
        /// Their months.
        months: Vec<String>,
        /// How many months are kept.
        keep_months: u32,
    },
    /// A part can't be stored.
    #[error("nothing was imported: {0}")]
    Part(#[from] PartError),
    /// The bucket refuses.
    #[error(
        "{kept} of {all} parts were imported, then the store failed: {error}; run the import \
            again, what was kept is replaced"
    )]
    Store {
        /// Parts that were kept.
        kept: usize,
        /// All parts.
        all: usize,
        /// Why it failed.
        error: Box<ArchiveError>,
    },
}

/// What `import` would replace in `books`. Fails where it must not replace anything.
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

/// Refuses months that are older than bills are kept.
pub fn check_age(import: &Import, cost: &CostConfig, today: Date) -> Result<(), ImportError> {
    let old: BTreeSet<Period> = import
        .parts
        .iter()
        .map(|part| part.period)
        .filter(|period| !cost.keeps(*period, today))
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

/// A part of an import as it is stored.
pub struct Prepared {
    slot: Slot,
    about: Vec<(String, String)>,
    document: Vec<u8>,
}

/// Checks and encodes parts. All of them: one that can't be stored stops the import before anything
/// changes.
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

/// Keeps the parts of an import in the bucket, each in the place of what its source had for its
/// month.
pub async fn keep(
    parts: Vec<Prepared>,
    archive: &Archive,
    importer: &str,
) -> Result<(), ImportError> {
    let all = parts.len();
    for (
        kept,
        Prepared {
            slot,
            about,
            document,
        },
    ) in parts.into_iter().enumerate()
    {
        let put = archive.put(&slot, importer, about, document).await;
        put.map_err(|error| ImportError::Store {
            kept,
            all,
            error: Box::new(error),
        })?;
    }

    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use regionmesh_cost::ImportOptions;
    use time::macros::date;

    const HEAD: &str = "ProviderName,BillingAccountId,BillingCurrency,ChargePeriodStart,ChargeCategory,EffectiveCost\n";

    #[test]
    fn half_a_bill_replaces_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bill.csv");
        std::fs::write(
            &path,
            format!("{HEAD}AWS,1,USD,2026-09-01T00:00:00Z,Usage,1.5\n"),
        )
        .unwrap();

        let file = BillFile {
            name: "bill.csv".into(),
            path: path.clone(),
        };
        let import = read(
            std::slice::from_ref(&file),
            ImportOptions::default(),
            |_| (),
        )
        .unwrap();

        let summary = summarise(&import, &Books::default(), true).unwrap();
        assert_eq!(
            (summary.parts[0].source.as_str(), summary.parts[0].rows),
            ("AWS 1", 1)
        );

        std::fs::write(&path, "no,bill\n1,2\n").unwrap();
        let import = read(
            std::slice::from_ref(&file),
            ImportOptions::default(),
            |_| (),
        )
        .unwrap();
        let error = summarise(&import, &Books::default(), true)
            .unwrap_err()
            .to_string();

        assert!(error.contains("bill.csv: no column"), "{error}");

        std::fs::write(&path, format!("{HEAD}AWS,1,USD,yesterday,Usage,1.5\n")).unwrap();
        let import = read(&[file], ImportOptions::default(), |_| ()).unwrap();
        let error = summarise(&import, &Books::default(), true)
            .unwrap_err()
            .to_string();

        assert!(
            error.contains("no row could be used") && error.contains("yesterday"),
            "{error}"
        );
    }

    fn imported(rows: &[(&str, &str)]) -> Import {
        let mut text = HEAD.to_owned();
        for (account, day) in rows {
            text += &format!("AWS,{account},USD,{day},Usage,1.5\n");
        }

        let mut importer = regionmesh_cost::Importer::new(ImportOptions::default());
        importer.read("bill.csv", text.as_bytes());
        importer.finish()
    }

    #[test]
    fn months_that_would_be_deleted_at_once_are_refused() {
        let import = imported(&[
            ("1", "2024-06-30"),
            ("1", "2024-07-01"),
            ("2", "2024-06-01"),
            ("1", "2024-05-01"),
        ]);

        let cost = CostConfig {
            keep_months: 26,
            ..CostConfig::default()
        };
        let error = check_age(&import, &cost, date!(2026 - 09 - 20))
            .unwrap_err()
            .to_string();

        assert!(
            error.contains("kept for 26 months") && error.contains("of 2024-05, 2024-06;"),
            "{error}"
        );

        assert!(check_age(&import, &cost, date!(2026 - 07 - 31)).is_ok());
    }

    #[test]
    fn one_part_that_cant_be_stored_stops_all_of_them() {
        let long = "9".repeat(300);
        let parts = |rows: &[(&str, &str)]| prepare(imported(rows).parts, &Books::default(), "me");
        assert_eq!(
            parts(&[("1", "2026-09-01"), ("2", "2026-09-01")])
                .unwrap()
                .len(),
            2
        );

        let refused = parts(&[("1", "2026-09-01"), (long.as_str(), "2026-09-01")]);
        assert!(refused.is_err_and(|error| {
            error
                .to_string()
                .starts_with("nothing was imported: source")
        }));
    }
}
