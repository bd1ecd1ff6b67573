//! What the manifests of all providers have in common.

use crate::cells::Period;

/// A delivery that can't be used. An older one is used instead, if any.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExportProblem {
    /// The manifest's content is unexpected.
    #[error("{path}: not a manifest of an export: {message}")]
    Manifest { path: String, message: String },
    /// A file is missing or truncated.
    #[error(
        "{path}: the export is incomplete: {file} is missing or has another size; waiting for the \
            next delivery"
    )]
    Incomplete { path: String, file: String },
    /// Another kind of export.
    #[error(
        "{path}: an export of the kind {kind}, not FOCUS; choose \"Cost and usage details \
            (FOCUS)\" in Cost Management"
    )]
    Kind { path: String, kind: String },
    /// Files without a manifest, where other months have one.
    #[error("{folder}: no manifest yet: the delivery is not complete")]
    NoManifest { folder: String },
}

/// A manifest's files, with sizes if listed.
pub(super) type Listed = Vec<(String, Option<u64>)>;

/// `2026-09` or `202609`.
pub(super) fn month_of(text: &str) -> Option<Period> {
    match text.len() {
        6 if text.is_ascii() => format!("{}-{}", &text[..4], &text[4..]).parse().ok(),
        _ => text.parse().ok(),
    }
}
