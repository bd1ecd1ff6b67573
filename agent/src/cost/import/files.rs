//! Which files an import reads, and reading them.

use regionmesh_cost::{
    FileFormat, FileReport, Import, ImportOptions, Importer, StoredFile, export_manifests,
    find_exports, has_same_content,
};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs::{self, File},
    io::{self, Read, Seek},
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

/// Most files of one import.
pub const FILES_MAX: usize = 10_000;
/// Most files that are looked at to find the bills among them.
pub const LISTED_MAX: usize = 100_000;
/// Largest manifest of an export, bytes.
pub const MANIFEST_MAX: u64 = 16 << 20;

/// A file of an import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BillFile {
    /// What reports call it.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
}

/// The files of an import.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// In the order of reading.
    pub files: Vec<BillFile>,
    /// Deliveries of exports that can't be used, and why.
    pub passed_over: Vec<String>,
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
    #[error("{0}: no file ends in .csv, .csv.gz or .parquet")]
    None(PathBuf),
    /// A folder with deliveries of an export, none of which can be used.
    #[error("{0}")]
    PassedOver(String),
    /// Too many.
    #[error("{path}: more than {limit} files; import less at once")]
    TooMany {
        /// The file or folder.
        path: PathBuf,
        /// How many are possible.
        limit: usize,
    },
    /// The same bill twice.
    #[error("{copy} has the same content as {file}, and would count twice: leave out one of them")]
    Copy {
        /// The file that was read first.
        file: String,
        /// The other one.
        copy: String,
    },
}

fn unreadable(path: &Path) -> impl Fn(io::Error) -> FilesError {
    move |error| FilesError::Unreadable {
        path: path.to_owned(),
        error,
    }
}

/// The files that paths stand for: files as they are, folders with the bills in them and below. No
/// file is there twice.
pub fn find(paths: &[PathBuf]) -> Result<Found, FilesError> {
    let mut found = Found::default();
    let mut seen = HashSet::new();
    for path in paths {
        let is_folder = path.metadata().map_err(unreadable(path))?.is_dir();
        let named = if is_folder {
            bills_in(path, &mut found.passed_over)?
        } else {
            vec![path.clone()]
        };

        for path in named {
            // The same file has other names, and links.
            if seen.insert(path.canonicalize().map_err(unreadable(&path))?) {
                found.files.push(BillFile {
                    name: path.display().to_string(),
                    path,
                });
            }
        }

        if found.files.len() > FILES_MAX {
            return Err(FilesError::TooMany {
                path: path.clone(),
                limit: FILES_MAX,
            });
        }
    }

    Ok(found)
}

/// The bills in a folder and below: of an export, the newest complete delivery of each month.
fn bills_in(folder: &Path, passed_over: &mut Vec<String>) -> Result<Vec<PathBuf>, FilesError> {
    let mut listing = Vec::new();
    list(folder, "", &mut listing)?;

    let mut manifests = BTreeMap::new();
    for name in export_manifests(&listing) {
        let path = folder.join(&name);
        let mut content = Vec::new();
        let read = File::open(&path)
            .and_then(|file| file.take(MANIFEST_MAX + 1).read_to_end(&mut content));

        read.map_err(unreadable(&path))?;
        if content.len() as u64 > MANIFEST_MAX {
            let error = io::Error::other(format!("a manifest has at most {MANIFEST_MAX} bytes"));
            return Err(FilesError::Unreadable { path, error });
        }

        manifests.insert(name, content);
    }

    let exports = find_exports(&listing, &manifests);
    let problems = exports
        .problems
        .iter()
        .map(|problem| folder.join(problem.to_string()).display().to_string());
    let problems: Vec<String> = problems.collect();
    let names = exports.sets.iter().flat_map(|set| &set.files);
    let bills: Vec<PathBuf> = names.map(|name| folder.join(name)).collect();

    if bills.is_empty() {
        let none = || FilesError::None(folder.to_owned());
        return Err(problems
            .into_iter()
            .next()
            .map_or_else(none, FilesError::PassedOver));
    }

    passed_over.extend(problems);
    Ok(bills)
}

/// Lists what is in a folder, `within` a folder of it.
fn list(folder: &Path, within: &str, files: &mut Vec<StoredFile>) -> Result<(), FilesError> {
    let place = folder.join(within);
    for entry in fs::read_dir(&place).map_err(unreadable(&place))? {
        let entry = entry.map_err(unreadable(&place))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = if within.is_empty() {
            name
        } else {
            format!("{within}/{name}")
        };

        if entry
            .file_type()
            .map_err(unreadable(&entry.path()))?
            .is_dir()
        {
            list(folder, &path, files)?;
            continue;
        }

        // A linked folder may hold this one: only what was named is followed. Links to nothing are
        // found when they are read.
        let about = fs::metadata(entry.path()).ok();
        if about.as_ref().is_some_and(fs::Metadata::is_dir) {
            continue;
        }

        if files.len() >= LISTED_MAX {
            return Err(FilesError::TooMany {
                path: folder.to_owned(),
                limit: LISTED_MAX,
            });
        }

        let size = about.as_ref().map_or(0, fs::Metadata::len);
        let modified =
            about.and_then(|about| about.modified().ok()?.duration_since(UNIX_EPOCH).ok());
        let modified_ms = modified
            .and_then(|since| i64::try_from(since.as_millis()).ok())
            .unwrap_or(0);

        files.push(StoredFile {
            path,
            size,
            modified_ms,
        });
    }

    Ok(())
}

/// Reads files into one import. Blocks; calls `done` after each file.
pub fn read(
    files: &[BillFile],
    options: ImportOptions,
    mut done: impl FnMut(&FileReport),
) -> Result<Import, FilesError> {
    let mut importer = Importer::new(options);
    let mut known: HashMap<(u64, u64), Vec<&BillFile>> = HashMap::new();
    for bill in files {
        let BillFile { name, path } = bill;
        let mut file = File::open(path).map_err(unreadable(path))?;
        let mut head = Vec::new();

        file.by_ref()
            .take(4)
            .read_to_end(&mut head)
            .map_err(unreadable(path))?;

        file.rewind().map_err(unreadable(path))?;
        let report = read_one(&mut importer, name, file, FileFormat::of(&head));
        done(report);
        if report.rows == 0 || report.error.is_some() {
            continue;
        }

        // Only files of one size are compared, byte by byte.
        let alike = known.entry((report.bytes, report.rows)).or_default();
        for other in alike.iter() {
            let compared = File::open(&other.path)
                .and_then(|other| has_same_content(other, File::open(path)?));
            if compared.map_err(unreadable(path))? {
                return Err(FilesError::Copy {
                    file: other.name.clone(),
                    copy: name.clone(),
                });
            }
        }

        alike.push(bill);
    }

    Ok(importer.finish())
}

#[cfg(feature = "parquet")]
fn read_one<'a>(
    importer: &'a mut Importer,
    name: &str,
    file: File,
    format: FileFormat,
) -> &'a FileReport {
    match format {
        FileFormat::Parquet => importer.read_parquet(name, file),
        FileFormat::Csv | FileFormat::CsvGz => importer.read(name, file),
    }
}

#[cfg(not(feature = "parquet"))]
fn read_one<'a>(
    importer: &'a mut Importer,
    name: &str,
    file: File,
    _format: FileFormat,
) -> &'a FileReport {
    importer.read(name, file)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::time::{Duration, SystemTime};

    const BILL: &str = "ChargePeriodStart,ProviderName,BillingCurrency,EffectiveCost\n2026-09-01T00:00:00Z,AWS,USD,1.5\n";

    fn write(folder: &Path, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    fn paths(paths: &[PathBuf]) -> Vec<PathBuf> {
        find(paths)
            .unwrap()
            .files
            .into_iter()
            .map(|file| file.path)
            .collect()
    }

    #[test]
    fn folders_stand_for_the_bills_in_them_and_files_for_themselves() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["b.csv", "part/a.CSV.gz", "readme.md", "manifest.json"] {
            write(folder.path(), name, "");
        }
        std::os::unix::fs::symlink(folder.path(), at("part/loop")).unwrap();
        assert_eq!(
            paths(&[folder.path().into()]),
            [at("b.csv"), at("part/a.CSV.gz")]
        );

        assert_eq!(paths(&[at("readme.md")]), [at("readme.md")]);
        fs::create_dir(at("empty")).unwrap();
        assert!(matches!(find(&[at("empty")]), Err(FilesError::None(_))));
        assert!(matches!(
            find(&[at("missing.csv")]),
            Err(FilesError::Unreadable { .. })
        ));
    }

    #[test]
    fn a_file_that_is_named_twice_is_read_once_and_a_copy_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let bill = write(folder.path(), "a/x.csv", BILL);
        let link = folder.path().join("link.csv");

        std::os::unix::fs::symlink(&bill, &link).unwrap();
        let named = [
            bill.clone(),
            folder.path().join("a/../a/x.csv"),
            link,
            folder.path().into(),
        ];

        assert_eq!(paths(&named), std::slice::from_ref(&bill));

        let read = |paths: &[PathBuf]| {
            read(
                &find(paths).unwrap().files,
                ImportOptions::default(),
                |_| (),
            )
        };

        assert_eq!(read(&[folder.path().into()]).unwrap().report.imported, 1);
        let other = write(folder.path(), "y.csv", BILL.replace("1.5", "2.5"));
        assert_eq!(read(&[bill.clone(), other]).unwrap().report.imported, 2);

        let copy = write(folder.path(), "copy.csv", BILL);
        let error = read(&[bill, copy]).unwrap_err().to_string();
        assert!(
            error.contains("copy.csv has the same content as") && error.contains("x.csv"),
            "{error}"
        );
    }

    #[test]
    fn of_an_export_in_a_folder_the_newest_complete_delivery_counts() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, content: &str, age_s: u64| {
            let path = write(folder.path(), name, content);
            let time = SystemTime::now() - Duration::from_secs(age_s);
            File::options()
                .write(true)
                .open(&path)
                .unwrap()
                .set_modified(time)
                .unwrap();

            path
        };

        let mut bills = Vec::new();
        for (run, age_s, listed) in [
            (1, 300, "bill.csv"),
            (2, 200, "bill.csv"),
            (3, 100, "gone.csv"),
        ] {
            let run = format!("focus/data/BILLING_PERIOD=2026-09/run{run}");
            bills.push(file(&format!("{run}/bill.csv"), BILL, age_s));
            let manifest = run.replace("/data/", "/metadata/");
            let content = format!("{{\"dataFiles\": [\"s3://bucket/exports/{run}/{listed}\"]}}");
            file(&format!("{manifest}/focus-Manifest.json"), &content, age_s);
        }

        let found = find(&[folder.path().into()]).unwrap();
        assert_eq!(
            found
                .files
                .into_iter()
                .map(|file| file.path)
                .collect::<Vec<_>>(),
            [bills[1].clone()]
        );

        assert_eq!(found.passed_over.len(), 1, "{:?}", found.passed_over);
        assert!(
            found.passed_over[0].contains("run3/focus-Manifest.json: the export is incomplete"),
            "{found:?}",
            found = found.passed_over
        );

        fs::remove_dir_all(
            folder
                .path()
                .join("focus/metadata/BILLING_PERIOD=2026-09/run1"),
        )
        .unwrap();

        fs::remove_dir_all(
            folder
                .path()
                .join("focus/metadata/BILLING_PERIOD=2026-09/run2"),
        )
        .unwrap();

        assert!(matches!(
            find(&[folder.path().into()]),
            Err(FilesError::PassedOver(_))
        ));
    }
}
