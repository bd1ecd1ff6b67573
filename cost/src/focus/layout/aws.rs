//! AWS Data Exports.

use super::manifest::{ExportProblem, Listed};
use crate::cells::Period;
use serde::Deserialize;

/// FOCUS exports write it small, others large.
const PARTITION: &str = "billing_period=";

/// Of a manifest: the export's folder, the month as text, the month.
pub(super) fn delivery(path: &str) -> Option<(&str, &str, Option<Period>)> {
    let (root, month, _) = partition(path, "metadata")?;
    let name = path.rsplit('/').next()?;
    name.to_ascii_lowercase()
        .ends_with("-manifest.json")
        .then_some((root, month, month.parse().ok()))
}

/// Of a data file: the export's folder, the month as text, the month's folder.
pub(super) fn data_folder(path: &str) -> Option<(&str, &str, &str)> {
    partition(path, "data")
}

/// `<root>/<kind>/BILLING_PERIOD=<month>/…`, where an export may lie at the top.
fn partition<'a>(path: &'a str, kind: &str) -> Option<(&'a str, &'a str, &'a str)> {
    let mut start = 0;
    let mut before: Option<(&str, usize)> = None;
    for folder in path.split('/') {
        let is_partition = folder
            .get(..PARTITION.len())
            .is_some_and(|head| head.eq_ignore_ascii_case(PARTITION));
        if let (true, Some((name, name_start))) = (is_partition, before)
            && name == kind
        {
            let month = &folder[PARTITION.len()..];
            let root = path[..name_start].trim_end_matches('/');
            return Some((root, month, &path[..start + folder.len()]))
                .filter(|_| month.parse::<Period>().is_ok());
        }

        before = Some((folder, start));
        start += folder.len() + 1;
    }

    None
}

#[derive(Deserialize)]
struct Manifest {
    /// URLs (`s3://bucket/key`) or keys.
    #[serde(rename = "dataFiles")]
    data_files: Vec<String>,
}

/// The files that a manifest lists.
pub(super) fn listed(path: &str, content: &[u8]) -> Result<Listed, ExportProblem> {
    let manifest: Manifest =
        serde_json::from_slice(content).map_err(|error| ExportProblem::Manifest {
            path: path.into(),
            message: error.to_string(),
        })?;

    Ok(manifest
        .data_files
        .into_iter()
        .map(|file| (file, None))
        .collect())
}
