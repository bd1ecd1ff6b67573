//! Which model versions an agent's model server can serve.

use crate::models::{
    digest::Digest,
    manifest::{ModelName, VersionName},
};
use serde::{Deserialize, Serialize};

/// Most versions that an agent publishes, newest first.
pub const VERSIONS_MAX: usize = 256;

/// Most models in [`Servability::unserved`].
pub const UNSERVED_MAX: usize = 64;

/// Longest reason, characters.
pub const REASON_MAX: usize = 300;

/// Most reasons; further versions that can't be served have none.
pub const REASONS_MAX: usize = 32;

/// What one agent's embedded model server knows of the versions that its region holds. Agents
/// without that server publish none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Servability {
    /// The versions that were loaded and tried, at most [`VERSIONS_MAX`]. Versions that are not
    /// here were not tried yet.
    pub versions: Vec<VersionServability>,
    /// Models of which no version can be served here, at most [`UNSERVED_MAX`], without those that
    /// are being loaded.
    pub unserved: Vec<ModelName>,
}

/// What an agent knows of one version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionServability {
    pub model: ModelName,
    pub version: VersionName,
    /// See [`content_tag`].
    pub content_tag: u64,
    /// How loading and the first inference ended.
    pub outcome: Outcome,
}

/// How loading a version and running one synthetic inference on it ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// It was loaded, and it answered.
    Servable,
    /// It could not be loaded, or did not answer.
    Unservable {
        /// Why; empty if the agent has too many reasons to publish.
        reason: String,
        /// Whether it crashed the process, so that it is not loaded again.
        is_quarantined: bool,
    },
}

/// Enough of a content's digest to distinguish contents of one name.
pub fn content_tag(content: &Digest) -> u64 {
    content
        .0
        .iter()
        .take(8)
        .fold(0, |tag, byte| tag << 8 | u64::from(*byte))
}

impl Servability {
    /// Bounds `versions`, newest first, and their reasons.
    pub fn bounded(
        versions: impl IntoIterator<Item = VersionServability>,
        unserved: Vec<ModelName>,
    ) -> Self {
        let mut reasons = 0;
        let shorten = |mut known: VersionServability| {
            if let Outcome::Unservable { reason, .. } = &mut known.outcome {
                reasons += 1;
                let end = reason
                    .char_indices()
                    .nth(REASON_MAX)
                    .map_or(reason.len(), |(end, _)| end);

                reason.truncate(if reasons > REASONS_MAX { 0 } else { end });
            }

            known
        };

        let versions = versions
            .into_iter()
            .take(VERSIONS_MAX)
            .map(shorten)
            .collect();

        Self {
            versions,
            unserved: unserved.into_iter().take(UNSERVED_MAX).collect(),
        }
    }

    /// What is published about a version. `is_newest`: it is one of the [`VERSIONS_MAX`] newest
    /// that the agent holds, so its outcome would be here if it had been tried.
    pub fn of(
        &self,
        model: &ModelName,
        version: &VersionName,
        content: &Digest,
        is_newest: bool,
    ) -> Known<'_> {
        let tag = content_tag(content);
        let is_it = |known: &&VersionServability| {
            known.content_tag == tag && known.model == *model && known.version == *version
        };
        let is_full = self.versions.len() >= VERSIONS_MAX;

        match self.versions.iter().find(is_it) {
            Some(known) => Known::Tried(&known.outcome),
            None if is_full && !is_newest => Known::Unpublished,
            None => Known::Untried,
        }
    }
}

/// What an agent with the embedded server publishes about one version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known<'a> {
    /// It was tried.
    Tried(&'a Outcome),
    /// It was not tried yet.
    Untried,
    /// Nothing: the agent publishes outcomes of newer versions only.
    Unpublished,
}
