//! Names and texts that several of the commands take.

use crate::cli::common::{self, text_within};
use regionmesh_protocol::models::manifest::{TEXT_MAX, VersionName};

/// A name that a user may choose: only conflict resolution gives names with a conflict's suffix.
pub(super) fn version_or_alias(text: &str) -> Result<VersionName, String> {
    let name: VersionName = text.parse().map_err(|error| format!("{error}"))?;
    if name.as_str().contains('+') {
        return Err("names with '+conflict.' are given by conflict resolution alone".into());
    }
    Ok(name)
}

/// A text that is stored with a version or an alias.
pub(super) fn short_text(text: &str) -> Result<String, String> {
    text_within(text, TEXT_MAX)
}

/// The publisher or promoter, if `--by` names none: see [`common::author`].
pub(super) fn author(given: Option<String>) -> String {
    common::author(given, TEXT_MAX)
}
