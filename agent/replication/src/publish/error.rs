//! Why publishing fails.

use super::uploads::UPLOADS_MAX;
use regionmesh_protocol::{
    identity::RegionName,
    models::manifest::{ManifestError, ModelName, VersionName},
};
use regionmesh_runtime::models::ModelError;
use std::io;

/// Why something could not be published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// No such upload: finished, dropped, or begun before the agent restarted.
    #[error("there is no upload {0}; it was finished or dropped, start a new one")]
    NoUpload(String),
    /// Too many uploads are open.
    #[error(
        "{UPLOADS_MAX} uploads are open already; finish one, or list them with `models uploads` \
            and abort one"
    )]
    TooMany,
    /// A path or a count is not acceptable.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The same path was given before.
    #[error("file {0} was added before")]
    Duplicate(String),
    /// Fewer or more bytes arrived than were declared.
    #[error("file {path}: {found} bytes arrived, {declared} were declared; send it again")]
    Truncated {
        path: String,
        /// Bytes received.
        found: u64,
        /// Bytes declared.
        declared: u64,
    },
    /// A commit arrived while a file was still being received.
    #[error("file {0} is not complete; wait for its answer before the commit")]
    Unfinished(String),
    /// The sender's connection broke.
    #[error("file {path}: the upload was interrupted: {error}")]
    Sender { path: String, error: io::Error },
    /// A file could not be staged, for example because the disk is full.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// Another region holds that version with different content.
    #[error("{model}@{version} exists in {region} with other content; publish it as a new version")]
    ExistsElsewhere {
        model: ModelName,
        version: VersionName,
        region: RegionName,
    },
    /// Another region published different content under that name at the same time and keeps the
    /// name.
    #[error(
        "{model}@{version} was published in {region} at the same time, with other content, \
            and that version keeps the name; yours is stored as {model}@{stored_as}, in every region"
    )]
    NameTaken {
        model: ModelName,
        version: VersionName,
        /// The region that published first.
        region: RegionName,
        /// The new name of our version.
        stored_as: VersionName,
    },
    /// The version was deleted, and its name cannot be used again.
    #[error(
        "{model}@{version} was deleted, and its name cannot be reused for other content; \
            publish this as a new version"
    )]
    NameDeleted {
        model: ModelName,
        version: VersionName,
    },
}
