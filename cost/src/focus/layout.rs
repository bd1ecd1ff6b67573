//! Finds the files of the newest export of each billing month in a bucket or folder.
//!
//! Providers keep old deliveries next to new ones, so reading every file would count months several
//! times. A manifest, which each provider writes last, says which files belong together. The caller
//! lists and reads; everything here is pure: [`export_manifests`] names what to read,
//! [`find_exports`] answers.
//!
//! - AWS Data Exports: `<export>/data/BILLING_PERIOD=2026-09/…` and
//!   `<export>/metadata/BILLING_PERIOD=2026-09/…-Manifest.json`, overwritten or in a folder for
//!   each execution
//!   (<https://docs.aws.amazon.com/cur/latest/userguide/dataexports-export-delivery.html>).
//! - Azure Cost Management: `<export>/20260901-20260930/…/<run>/manifest.json` and parts next to
//!   it.
//! - Everything else, for example extracts of Google's FOCUS view: files in folders named after
//!   months (`…/2026-09/…`), or any files, which are one import.

mod aws;
mod azure;
mod manifest;

use crate::cells::Period;
pub use manifest::ExportProblem;
use manifest::month_of;
use std::collections::{BTreeMap, BTreeSet};

/// Deliveries of a month that are looked at, the newest first: the last one may be incomplete.
const DELIVERIES_MAX: usize = 3;

/// A file in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredFile {
    /// Its key, with `/` between folders.
    pub path: String,
    /// Size in bytes.
    pub size: u64,
    /// When it was last written, milliseconds since 1970.
    pub modified_ms: i64,
}

/// Files that are imported together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportSet {
    /// The folder of the export that it belongs to; empty for the whole listing.
    pub root: String,
    /// The billing month according to the paths, if any. The months in rows take precedence: if
    /// they differ, import all sets of the root together, or one would replace another.
    pub period: Option<Period>,
    /// Paths, sorted.
    pub files: Vec<String>,
    /// Changes whenever a file or the manifest does.
    pub fingerprint: String,
}

/// Exports in a listing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exports {
    /// Sorted by root and month.
    pub sets: Vec<ExportSet>,
    /// Deliveries that can't be used.
    pub problems: Vec<ExportProblem>,
}

/// A manifest in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Delivery<'a> {
    root: &'a str,
    period: Option<Period>,
    modified_ms: i64,
    path: &'a str,
}

/// The manifests that [`find_exports`] needs.
pub fn export_manifests(files: &[StoredFile]) -> Vec<String> {
    deliveries(files)
        .into_values()
        .flatten()
        .map(|delivery| delivery.path.to_owned())
        .collect()
}

/// Finds the newest complete export of each month. `manifests` has the content of those that
/// [`export_manifests`] names.
pub fn find_exports(files: &[StoredFile], manifests: &BTreeMap<String, Vec<u8>>) -> Exports {
    let mut exports = Exports::default();
    let by_path: BTreeMap<&str, &StoredFile> = files
        .iter()
        .map(|file| (file.path.as_str(), file))
        .collect();
    let deliveries = deliveries(files);

    for candidates in deliveries.values() {
        for delivery in candidates {
            let content = manifests.get(delivery.path).map_or(&[][..], Vec::as_slice);
            match use_delivery(delivery, content, &by_path) {
                Ok(set) => {
                    exports.sets.push(set);
                    break;
                }
                Err(problem) => exports.problems.push(problem),
            }
        }
    }

    let roots: BTreeSet<&str> = deliveries.keys().map(|(root, _)| *root).collect();
    let mut plain: BTreeMap<(String, Option<Period>), Vec<&StoredFile>> = BTreeMap::new();
    for file in files.iter().filter(|file| is_data(&file.path)) {
        let is_within = |root: &&str| {
            file.path
                .strip_prefix(*root)
                .is_some_and(|rest| rest.starts_with('/'))
        };

        match roots.iter().find(|root| root.is_empty() || is_within(root)) {
            Some(_) => {}
            None => plain
                .entry(month_folder(&file.path))
                .or_default()
                .push(file),
        }
    }

    exports
        .problems
        .extend(without_manifest(files, &deliveries));

    let sets = plain
        .into_iter()
        .map(|((root, period), files)| export_set(root, period, files, None));
    exports.sets.extend(sets);
    exports
        .sets
        .sort_by(|a, b| (&a.root, a.period).cmp(&(&b.root, b.period)));
    exports
}

/// The newest manifests by export and month.
fn deliveries(files: &[StoredFile]) -> BTreeMap<(&str, &str), Vec<Delivery<'_>>> {
    let mut deliveries: BTreeMap<(&str, &str), Vec<Delivery<'_>>> = BTreeMap::new();
    for file in files {
        let found = aws::delivery(&file.path).or_else(|| azure::delivery(&file.path));
        if let Some((root, month, period)) = found {
            let delivery = Delivery {
                root,
                period,
                modified_ms: file.modified_ms,
                path: &file.path,
            };

            deliveries.entry((root, month)).or_default().push(delivery);
        }
    }

    for candidates in deliveries.values_mut() {
        // Copies of files may have one time; folders of deliveries are often named after theirs.
        candidates.sort_by(|a, b| (b.modified_ms, b.path).cmp(&(a.modified_ms, a.path)));
        candidates.truncate(DELIVERIES_MAX);
    }

    deliveries
}

fn use_delivery(
    delivery: &Delivery<'_>,
    content: &[u8],
    by_path: &BTreeMap<&str, &StoredFile>,
) -> Result<ExportSet, ExportProblem> {
    let path = delivery.path;
    let is_aws = aws::delivery(path).is_some();
    let listed = if is_aws {
        aws::listed(path, content)?
    } else {
        azure::listed(path, content)?
    };
    let mut files = Vec::with_capacity(listed.len());

    for (name, size) in listed {
        let found = find(&name, by_path).filter(|file| size.is_none_or(|size| size == file.size));
        files.push(found.ok_or(ExportProblem::Incomplete {
            path: path.into(),
            file: name,
        })?);
    }

    Ok(export_set(
        delivery.root.to_owned(),
        delivery.period,
        files,
        by_path.get(path).copied(),
    ))
}

/// The file that a manifest names, by its key or URL: the listing may begin below the bucket.
fn find<'a>(name: &str, by_path: &BTreeMap<&str, &'a StoredFile>) -> Option<&'a StoredFile> {
    let mut rest = name.split_once("://").map_or(name, |(_, rest)| rest);
    loop {
        if let Some(file) = by_path.get(rest) {
            return Some(file);
        }
        rest = rest.split_once('/')?.1;
    }
}

/// Folders of months that have files and no manifest, of exports where other months have one.
fn without_manifest(
    files: &[StoredFile],
    deliveries: &BTreeMap<(&str, &str), Vec<Delivery<'_>>>,
) -> impl Iterator<Item = ExportProblem> {
    let mut folders = BTreeSet::new();
    for file in files.iter().filter(|file| is_data(&file.path)) {
        let Some((root, month, folder)) = aws::data_folder(&file.path) else {
            continue;
        };
        let is_export = deliveries.keys().any(|(known, _)| *known == root);

        if is_export && !deliveries.contains_key(&(root, month)) {
            folders.insert(folder.to_owned());
        }
    }

    folders
        .into_iter()
        .map(|folder| ExportProblem::NoManifest { folder })
}

fn export_set(
    root: String,
    period: Option<Period>,
    mut files: Vec<&StoredFile>,
    manifest: Option<&StoredFile>,
) -> ExportSet {
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files.dedup();

    let mut hash = Fingerprint::default();
    for file in manifest.into_iter().chain(files.iter().copied()) {
        hash.add(file.path.as_bytes());
        hash.add(&file.size.to_le_bytes());
        hash.add(&file.modified_ms.to_le_bytes());
    }

    let files = files.into_iter().map(|file| file.path.clone()).collect();
    ExportSet {
        root,
        period,
        files,
        fingerprint: format!("{:032x}", hash.0),
    }
}

/// FNV-1a of 128 bits (<http://www.isthe.com/chongo/tech/comp/fnv/>).
struct Fingerprint(u128);

impl Default for Fingerprint {
    fn default() -> Self {
        Self(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d)
    }
}

impl Fingerprint {
    fn add(&mut self, bytes: &[u8]) {
        // The length keeps neighbours apart.
        for byte in (bytes.len() as u64).to_le_bytes().iter().chain(bytes) {
            self.0 = (self.0 ^ u128::from(*byte))
                .wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b);
        }
    }
}

fn is_data(path: &str) -> bool {
    let name = path
        .rsplit('/')
        .next()
        .unwrap_or_default()
        .to_ascii_lowercase();
    let is_hidden = name.starts_with(['.', '_']);

    !is_hidden
        && [".csv", ".csv.gz", ".parquet"]
            .iter()
            .any(|end| name.ends_with(end))
}

/// The folder above the one that is named after a month, and the month.
fn month_folder(path: &str) -> (String, Option<Period>) {
    let mut end = 0;
    for folder in path.split('/').take(path.matches('/').count()) {
        let month = folder.rsplit_once('=').map_or(folder, |(_, month)| month);
        if let Some(period) = month_of(month) {
            return (path[..end].trim_end_matches('/').to_owned(), Some(period));
        }
        end += folder.len() + 1;
    }

    (String::new(), None)
}

#[cfg(test)]
mod tests;
