//! Why an operation on a model failed: the store's errors, returned by publishing, fetching and
//! serving too.

use crate::describe::io_words;
use regionmesh_protocol::models::manifest::{ModelName, VersionName};
use std::{
    io,
    path::{Path, PathBuf},
};

/// Why an operation on a stored model failed.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// No such version here.
    #[error("{model}@{version} is not in this region")]
    NotFound {
        model: ModelName,
        version: VersionName,
    },
    /// The version exists with other files: versions are immutable.
    #[error(
        "{model}@{version} exists already with other content ({theirs:.16}…, yours is \
            {ours:.16}…); publish it as a new version"
    )]
    Exists {
        model: ModelName,
        version: VersionName,
        /// Digest of what exists.
        theirs: String,
        /// Digest of what was to be stored.
        ours: String,
    },
    /// Another writer is storing the same version with other content.
    #[error("another publisher is writing {model}@{version} right now; try again when it is done")]
    Claimed {
        model: ModelName,
        version: VersionName,
    },
    /// Stored bytes differ from the manifest.
    #[error(
        "{model}@{version} is damaged in this region: {what}; if another region holds it, remove \
            the object manifests/{model}/{version} from this region's store, and it is fetched \
            again"
    )]
    Damaged {
        model: ModelName,
        version: VersionName,
        /// The damaged file or chunk, and how it is damaged.
        what: String,
    },
    /// The store is out of space.
    #[error(
        "no space left in the store for {path}; free some space; no part of the version is visible"
    )]
    Full {
        /// What was to be written.
        path: String,
    },
    /// The store acknowledged a write but dropped the object.
    #[error(
        "the store acknowledged {path} but did not store all of it; the change has no effect, \
            try again"
    )]
    NotStored {
        /// What was written.
        path: String,
    },
    /// The store is known to be unavailable: nothing was tried.
    #[error("the region's store is unavailable: {0}")]
    Unavailable(String),
    /// The store failed.
    #[error("cannot {action} {path}: {why}")]
    Store {
        /// What was tried.
        action: &'static str,
        /// On which object.
        path: String,
        /// The store's reason, in words.
        why: String,
    },
    /// An operation on a local file failed.
    #[error("cannot {action} {}: {}", .path.display(), io_words(.error))]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// The system's reason.
        error: io::Error,
    },
    /// The manifest can't be encoded or is not acceptable.
    #[error("the manifest of {model}@{version} is not acceptable: {why}")]
    Manifest {
        model: ModelName,
        version: VersionName,
        why: String,
    },
}

impl ModelError {
    /// The error of a failed file operation or a full disk.
    pub fn io(action: &'static str, path: &Path, error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::StorageFull {
            return Self::Full {
                path: path.display().to_string(),
            };
        }

        Self::Io {
            action,
            path: path.into(),
            error,
        }
    }
}
