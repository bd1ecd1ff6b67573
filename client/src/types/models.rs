//! Models, their versions and aliases, and how they are published.

use regionmesh_protocol::{
    identity::RegionName,
    models::{
        catalogue::AliasEntry,
        manifest::{Manifest, VersionSummary},
    },
    text::visible,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One model.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ModelStatus {
    pub model: String,
    pub versions: Vec<VersionStatus>,
    pub aliases: Vec<AliasStatus>,
}

/// One version, and where it is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct VersionStatus {
    pub version: String,
    /// Digest of its content.
    pub content: String,
    /// Size, bytes; none where the answering region does not hold it yet.
    pub size: Option<u64>,
    /// When it was published; none likewise.
    pub published_ms: Option<u64>,
    /// Where it was published; none likewise.
    pub origin: Option<String>,
    /// The regions that hold it, verified.
    pub regions: Vec<RegionName>,
    /// Of these, the regions that have run an inference on it.
    #[serde(default)]
    pub servable: Vec<RegionName>,
    /// Of these, the regions that can't serve it.
    #[serde(default)]
    pub unservable: Vec<UnservableStatus>,
    /// Of these, the regions that have not tried it yet. Regions whose models something else serves
    /// are in none of the three.
    #[serde(default)]
    pub untested: Vec<RegionName>,
}

/// A region that can't serve a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnservableStatus {
    pub region: RegionName,
    /// Why; empty if its agent has too many reasons to publish.
    pub reason: String,
}

/// One alias.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AliasStatus {
    pub alias: String,
    /// The version that it names.
    pub version: String,
    /// When it was set.
    pub set_ms: u64,
    /// Who set it.
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

/// `GET /v1/models`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Models {
    /// Every model.
    pub models: Vec<ModelStatus>,
}

/// A version in brief: the answer to a commit or a verification.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct VersionBrief {
    pub model: String,
    pub version: String,
    /// Digest of its content.
    pub content: String,
    /// Size, bytes.
    pub size: u64,
    /// When it was published.
    pub published_ms: u64,
    /// Where it was published.
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

/// `GET /v1/models/{model}/versions/{version}`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct VersionDetail {
    /// The version in brief.
    #[serde(flatten)]
    pub brief: VersionBrief,
    /// Who published it.
    pub publisher: String,
    /// Free key/value pairs.
    pub metadata: BTreeMap<String, String>,
    pub files: Vec<FileStatus>,
}

/// One file of a version.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FileStatus {
    /// Path below the version's folder.
    pub path: String,
    /// Size, bytes.
    pub size: u64,
    /// BLAKE3 of the file.
    pub digest: String,
    /// How many chunks it has.
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

/// Body of `POST /v1/models/{model}/versions/{version}/uploads`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BeginUpload {
    /// Who publishes.
    #[serde(default)]
    pub publisher: String,
    /// Free key/value pairs.
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
}

/// The answer to [`BeginUpload`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct UploadBegun {
    /// Names the upload in the calls that follow.
    pub upload: String,
}

/// Body of `POST /v1/models/{model}/versions/{version}/promote`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Promote {
    /// The alias that shall name the version.
    pub alias: String,
    /// Who promotes.
    #[serde(default)]
    pub by: String,
    /// Also where no majority of regions can serve the version.
    #[serde(default)]
    pub force: bool,
    /// How long to wait until a majority can, milliseconds.
    #[serde(default)]
    pub wait_ms: u64,
}

/// An alias that was set.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Promoted {
    #[serde(flatten)]
    pub alias: AliasStatus,
    /// Regions that can't serve the version now, and why.
    #[serde(default)]
    pub warnings: Vec<String>,
}
