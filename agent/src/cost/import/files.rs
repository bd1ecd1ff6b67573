//! Finds and reads the files of an import.

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

/// Limit on the files of one import.
pub const FILES_MAX: usize = 10_000;
/// Limit on the files searched for bills.
pub const LISTED_MAX: usize = 100_000;
/// Largest manifest of an export, bytes.
pub const MANIFEST_MAX: u64 = 16 << 20;

/// A file of an import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BillFile {
    /// Its name in reports.
    pub name: String,
    pub path: PathBuf,
}

/// The files of an import.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// Files in the order in which they are read.
    pub files: Vec<BillFile>,
    /// Unusable deliveries of exports, and why.
    pub passed_over: Vec<String>,
}

/// Why files could not be found or read.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// An I/O error.
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
    /// A folder with deliveries of an export, none of them usable.
    #[error("{0}")]
    PassedOver(String),
    /// Too many.
    #[error("{path}: more than {limit} files; import fewer")]
    TooMany {
        /// The file or folder.
        path: PathBuf,
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

/// Expands paths to files: a file is used as it is, a folder stands for the bills in it and below.
/// Duplicates are dropped.
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
            // The same file may appear under other names, and as a link.
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

/// The bills in a folder and below; of an export, the newest complete delivery of each month.
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

/// Lists the files in the subfolder `within` of a folder.
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

        // Links to folders are not followed, since they may be circular. Broken links fail when
        // they are read.
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

/// Reads files into one import. Blocking; calls `done` after each file.
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

        // Only files of the same size are compared, byte by byte.
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
mod tests;
