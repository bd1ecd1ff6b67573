//! Models, their versions and aliases, and how they are published.

use super::rules::metadata;
use regionmesh_protocol::{
    identity::RegionName,
    models::{
        catalogue::AliasEntry,
        manifest::{Manifest, TEXT_MAX, VersionSummary},
    },
    schema::{new_version, printable},
    text::visible,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Longest wait of a promotion, milliseconds.
pub const PROMOTION_WAIT_MAX_MS: u64 = 60_000;

/// One model.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ModelStatus {
    pub model: String,
    pub versions: Vec<VersionStatus>,
    pub aliases: Vec<AliasStatus>,
}

/// One version, and where it is.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct VersionStatus {
    pub version: String,
    /// Digest of its files, which identifies it: BLAKE3, hexadecimal.
    pub content: String,
    /// Size, bytes; null until the answering region holds it.
    pub size: Option<u64>,
    /// When it was published, Unix milliseconds; null until the answering region holds it.
    pub published_ms: Option<u64>,
    /// The region where it was published; null until the answering region holds it.
    pub origin: Option<String>,
    /// The regions that hold it, every byte verified.
    pub regions: Vec<RegionName>,
    /// Of these, the regions that have run an inference on it.
    #[serde(default)]
    pub servable: Vec<RegionName>,
    /// Of these, the regions that can't serve it.
    #[serde(default)]
    pub unservable: Vec<UnservableStatus>,
    /// Of these, the regions that have not tried it yet. Regions whose models are served by another
    /// server are in none of the three.
    #[serde(default)]
    pub untested: Vec<RegionName>,
}

/// A region that can't serve a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UnservableStatus {
    pub region: RegionName,
    /// Why; empty if its agent has more reasons than it can publish.
    pub reason: String,
}

/// An alias of a version.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct AliasStatus {
    pub alias: String,
    /// The version that it names.
    pub version: String,
    /// When it was set, Unix milliseconds.
    pub set_ms: u64,
    /// Who set it, as given.
    pub by: String,
}

impl From<AliasEntry> for AliasStatus {
    fn from(entry: AliasEntry) -> Self {
        Self {
            alias: entry.alias.to_string(),
            version: entry.version.to_string(),
            set_ms: entry.set.wall_ms,
            by: visible(&entry.by).into_owned(),
        }
    }
}

/// Every model.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Models {
    /// Every model that a region is known to hold.
    pub models: Vec<ModelStatus>,
}

/// A version in brief.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct VersionBrief {
    pub model: String,
    pub version: String,
    /// Digest of its files, which identifies it: BLAKE3, hexadecimal.
    pub content: String,
    /// Size, bytes.
    pub size: u64,
    /// When it was published, Unix milliseconds.
    pub published_ms: u64,
    /// The region where it was published.
    pub origin: String,
}

impl From<&VersionSummary> for VersionBrief {
    fn from(summary: &VersionSummary) -> Self {
        Self {
            model: summary.model.to_string(),
            version: summary.version.to_string(),
            content: summary.content.to_string(),
            size: summary.size,
            published_ms: summary.published.wall_ms,
            origin: summary.origin.to_string(),
        }
    }
}

/// A version with its files.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct VersionDetail {
    /// The version in brief.
    #[serde(flatten)]
    pub brief: VersionBrief,
    /// Who published it, as given.
    pub publisher: String,
    /// Arbitrary key/value pairs.
    pub metadata: BTreeMap<String, String>,
    pub files: Vec<FileStatus>,
}

/// One file of a version.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct FileStatus {
    /// The path below the version's folder.
    pub path: String,
    /// Size, bytes.
    pub size: u64,
    /// BLAKE3 of its bytes, hexadecimal.
    pub digest: String,
    /// How many chunks it consists of.
    pub chunks: usize,
}

impl From<&Manifest> for VersionDetail {
    fn from(manifest: &Manifest) -> Self {
        let file = |file: &regionmesh_protocol::models::manifest::ManifestFile| FileStatus {
            path: file.path.clone(),
            size: file.size,
            digest: file.digest.to_string(),
            chunks: file.chunks.len(),
        };

        Self {
            brief: (&manifest.summary()).into(),
            publisher: manifest.publisher.clone(),
            metadata: manifest.metadata.iter().cloned().collect(),
            files: manifest.files.iter().map(file).collect(),
        }
    }
}

/// The description of a version, sent before its files.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BeginUpload {
    /// Who publishes.
    #[schemars(length(max = TEXT_MAX), pattern(printable("*")))]
    #[serde(default)]
    pub publisher: String,
    /// Arbitrary key/value pairs.
    #[schemars(schema_with = "metadata")]
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
}

/// An upload that was started.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct UploadBegun {
    /// Identifies the upload in the calls that follow.
    pub upload: String,
}

/// An alias to set.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Promote {
    /// The alias that will name the version.
    #[schemars(schema_with = "new_version")]
    pub alias: String,
    /// Who promotes.
    #[schemars(length(max = TEXT_MAX), pattern(printable("*")))]
    #[serde(default)]
    pub by: String,
    /// Promote even if no majority of regions can serve the version.
    #[serde(default)]
    pub force: bool,
    /// How long to wait until a majority can serve it, milliseconds; by default 0.
    #[schemars(range(max = PROMOTION_WAIT_MAX_MS))]
    #[serde(default)]
    pub wait_ms: u64,
}

/// An alias that was set.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Promoted {
    #[serde(flatten)]
    pub alias: AliasStatus,
    /// Regions that can't serve the version now, and why.
    #[serde(default)]
    pub warnings: Vec<String>,
}
