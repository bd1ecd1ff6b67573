//! Azure Cost Management exports.

use super::manifest::{ExportProblem, Listed, month_of};
use crate::cells::Period;
use serde::Deserialize;

/// Of a manifest: the export's folder, the range of dates as text, its month if it is one.
pub(super) fn delivery(path: &str) -> Option<(&str, &str, Option<Period>)> {
    let (folders, name) = path.rsplit_once('/')?;
    if !matches!(name, "manifest.json" | "_manifest.json") {
        return None;
    }

    let mut start = 0;
    for folder in folders.split('/') {
        if let Some((first, last)) = range(folder) {
            let months = (month_of(&first[..6])?, month_of(&last[..6])?);
            let period = (months.0 == months.1).then_some(months.0);
            return Some((path[..start].trim_end_matches('/'), folder, period));
        }

        start += folder.len() + 1;
    }

    None
}

/// Text such as `20260901-20260930`.
fn range(folder: &str) -> Option<(&str, &str)> {
    let (first, last) = folder.split_once('-')?;
    let is_date = |text: &str| text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_digit());
    (is_date(first) && is_date(last)).then_some((first, last))
}

#[derive(Deserialize)]
struct Manifest {
    #[serde(rename = "exportConfig", default)]
    config: Config,
    blobs: Vec<Blob>,
}

#[derive(Deserialize, Default)]
struct Config {
    /// `FocusCost`, `ActualCost`, `PriceSheet`, …
    #[serde(rename = "type")]
    kind: Option<String>,
}

#[derive(Deserialize)]
struct Blob {
    /// The path in the container.
    #[serde(rename = "blobName")]
    name: String,
    #[serde(rename = "byteCount")]
    bytes: Option<u64>,
}

/// The files that a manifest lists.
pub(super) fn listed(path: &str, content: &[u8]) -> Result<Listed, ExportProblem> {
    let manifest: Manifest =
        serde_json::from_slice(content).map_err(|error| ExportProblem::Manifest {
            path: path.into(),
            message: error.to_string(),
        })?;

    if let Some(kind) = manifest.config.kind
        && !kind.to_ascii_lowercase().contains("focus")
    {
        return Err(ExportProblem::Kind {
            path: path.into(),
            kind,
        });
    }

    Ok(manifest
        .blobs
        .into_iter()
        .map(|blob| (blob.name, blob.bytes))
        .collect())
}
