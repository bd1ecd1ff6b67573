//! Imports of bills: files become cells, cells become documents in the bucket.

use super::{
    archive::{Archive, ArchiveError, Kind, Slot},
    books::Books,
};
use regionmesh_cost::{
    FileFormat, FileReport, Import, ImportOptions, ImportReport, ImportedPart, Importer, Metric, PartError, Period,
    StoredPart, Totals,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read, Seek},
    path::{Path, PathBuf},
};

/// Names of files that a folder is looked through for.
const ENDINGS: [&str; 4] = [".csv", ".csv.gz", ".gz", ".parquet"];
/// Most files of one import.
pub const FILES_MAX: usize = 10_000;

/// A file of an import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BillFile {
    /// What reports call it.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
}

/// Why files could not be found or read.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// The system refused.
    #[error("cannot read {path}: {error}")]
    Unreadable {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        error: io::Error,
    },
    /// A folder without bills.
    #[error("{0}: no file ends in .csv, .csv.gz, .gz or .parquet")]
    None(PathBuf),
    /// Too many.
    #[error("{0}: more than {FILES_MAX} files; import less at once")]
    TooMany(PathBuf),
}

/// The files that paths stand for: files as they are, folders with all bills in them and below.
pub fn find(paths: &[PathBuf]) -> Result<Vec<BillFile>, FilesError> {
    let mut files = Vec::new();
    for path in paths {
        let before = files.len();
        collect(path, true, &mut files)?;
        if files.len() == before {
            return Err(FilesError::None(path.clone()));
        }
        if files.len() > FILES_MAX {
            return Err(FilesError::TooMany(path.clone()));
        }
    }
    Ok(files)
}

fn collect(path: &Path, is_named: bool, files: &mut Vec<BillFile>) -> Result<(), FilesError> {
    let unreadable = |error| FilesError::Unreadable { path: path.to_owned(), error };
    // What a folder holds may be a link to itself: only what was named is followed.
    let about = if is_named { path.metadata() } else { path.symlink_metadata() };
    if !about.map_err(unreadable)?.is_dir() {
        let name = path.display().to_string();
        if is_named || ENDINGS.iter().any(|ending| name.to_ascii_lowercase().ends_with(ending)) {
            files.push(BillFile { name, path: path.to_owned() });
        }
        return Ok(());
    }
    let mut entries: Vec<PathBuf> = std::fs::read_dir(path)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect())
        .map_err(unreadable)?;
    entries.sort();
    for entry in entries {
        if files.len() > FILES_MAX {
            return Ok(());
        }
        collect(&entry, false, files)?;
    }
    Ok(())
}

/// Reads files into one import. Blocks; `done` is told of each file that was read.
pub fn read(
    files: &[BillFile],
    options: ImportOptions,
    mut done: impl FnMut(&FileReport),
) -> Result<Import, FilesError> {
    let mut importer = Importer::new(options);
    for BillFile { name, path } in files {
        let unreadable = |error| FilesError::Unreadable { path: path.clone(), error };
        let mut file = File::open(path).map_err(unreadable)?;
        let mut head = Vec::new();
        file.by_ref().take(4).read_to_end(&mut head).map_err(unreadable)?;
        file.rewind().map_err(unreadable)?;
        done(read_one(&mut importer, name, file, FileFormat::of(&head)));
    }
    Ok(importer.finish())
}

#[cfg(feature = "parquet")]
fn read_one<'a>(importer: &'a mut Importer, name: &str, file: File, format: FileFormat) -> &'a FileReport {
    match format {
        FileFormat::Parquet => importer.read_parquet(name, file),
        FileFormat::Csv | FileFormat::CsvGz => importer.read(name, file),
    }
}

#[cfg(not(feature = "parquet"))]
fn read_one<'a>(importer: &'a mut Importer, name: &str, file: File, _format: FileFormat) -> &'a FileReport {
    importer.read(name, file)
}

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
    /// A file ended early, or is no bill: half a bill replaces nothing.
    #[error("nothing was imported: {}", .0.join("; "))]
    Incomplete(Vec<String>),
    /// No row could be used.
    #[error("nothing was imported: no row could be used{}", .0.as_ref().map(|first| format!("; the first: {first}")).unwrap_or_default())]
    Empty(Option<String>),
    /// A part can't be stored.
    #[error(transparent)]
    Part(#[from] PartError),
    /// The bucket refuses.
    #[error(
        "{kept} of {all} parts were imported, then the store failed: {error}; run the import again, what was kept is replaced"
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
pub fn summarise(import: &Import, books: &Books, dry_run: bool) -> Result<ImportSummary, ImportError> {
    if !import.report.is_complete() {
        let errors = import.report.files.iter().filter_map(|file| file.error.as_ref()).map(ToString::to_string);
        return Err(ImportError::Incomplete(errors.take(3).collect()));
    }
    if import.parts.is_empty() {
        return Err(ImportError::Empty(import.report.bad_rows.first().map(ToString::to_string)));
    }
    let parts = import.parts.iter().map(|part| summary(part, books)).collect();
    Ok(ImportSummary { dry_run, report: import.report.clone(), parts })
}

fn summary(part: &ImportedPart, books: &Books) -> PartSummary {
    let before = books.ledger.parts().find(|held| held.source() == part.source && held.period() == part.period);
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

/// Keeps the parts of an import in the bucket, each in the place of what its source had for its month.
pub async fn keep(
    parts: Vec<ImportedPart>,
    books: &Books,
    archive: &Archive,
    importer: &str,
) -> Result<(), ImportError> {
    let all = parts.len();
    for (kept, part) in parts.into_iter().enumerate() {
        let now_ms = crate::time::unix_ms();
        let imported_ms = books.ledger.import_time(&part.source, part.period, now_ms);
        let slot = Slot::new(Kind::Bill, part.period, &part.source);
        let about = vec![("source".to_owned(), part.source.clone()), ("period".to_owned(), part.period.to_string())];
        let stored = StoredPart::new(part.source, part.period, imported_ms, importer.to_owned(), part.cells)?;
        let document = stored.encode()?;
        let put = archive.put(&slot, importer, about, document).await;
        put.map_err(|error| ImportError::Store { kept, all, error: Box::new(error) })?;
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const HEAD: &str = "ProviderName,BillingAccountId,BillingCurrency,ChargePeriodStart,ChargeCategory,EffectiveCost\n";

    #[test]
    fn folders_stand_for_the_bills_in_them_and_files_for_themselves() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("part")).unwrap();
        for name in ["b.csv", "part/a.CSV.gz", "readme.md", "manifest.json"] {
            std::fs::write(at(name), "").unwrap();
        }
        std::os::unix::fs::symlink(folder.path(), at("part/loop")).unwrap();
        let found: Vec<PathBuf> = find(&[folder.path().into()]).unwrap().into_iter().map(|file| file.path).collect();
        assert_eq!(found, [at("b.csv"), at("part/a.CSV.gz")]);
        assert_eq!(find(&[at("readme.md")]).unwrap().len(), 1);
        std::fs::create_dir(at("empty")).unwrap();
        assert!(matches!(find(&[at("empty")]), Err(FilesError::None(_))));
        assert!(matches!(find(&[at("missing.csv")]), Err(FilesError::Unreadable { .. })));
    }

    #[test]
    fn half_a_bill_replaces_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bill.csv");
        std::fs::write(&path, format!("{HEAD}AWS,1,USD,2026-09-01T00:00:00Z,Usage,1.5\n")).unwrap();
        let file = BillFile { name: "bill.csv".into(), path: path.clone() };
        let import = read(std::slice::from_ref(&file), ImportOptions::default(), |_| ()).unwrap();
        let summary = summarise(&import, &Books::default(), true).unwrap();
        assert_eq!((summary.parts[0].source.as_str(), summary.parts[0].rows), ("AWS 1", 1));

        std::fs::write(&path, "no,bill\n1,2\n").unwrap();
        let import = read(std::slice::from_ref(&file), ImportOptions::default(), |_| ()).unwrap();
        let error = summarise(&import, &Books::default(), true).unwrap_err().to_string();
        assert!(error.contains("bill.csv: no column"), "{error}");

        std::fs::write(&path, format!("{HEAD}AWS,1,USD,yesterday,Usage,1.5\n")).unwrap();
        let import = read(&[file], ImportOptions::default(), |_| ()).unwrap();
        let error = summarise(&import, &Books::default(), true).unwrap_err().to_string();
        assert!(error.contains("no row could be used") && error.contains("yesterday"), "{error}");
    }
}
