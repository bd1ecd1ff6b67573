//! Why something could not be done with a model of the region: what a store answers, and what those
//! who publish, fetch and serve models pass on.

use crate::describe::io_words;
use regionmesh_protocol::models::manifest::{ModelName, VersionName};
use std::{
    io,
    path::{Path, PathBuf},
};

/// Why something could not be done with a stored model.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// No such version here.
    #[error("{model}@{version} is not in this region")]
    NotFound {
        /// The model.
        model: ModelName,
        /// The version.
        version: VersionName,
    },
    /// The version exists with other files: versions are immutable.
    #[error(
        "{model}@{version} exists already with other content ({theirs:.16}…, yours is \
            {ours:.16}…); publish it as a new version"
    )]
    Exists {
        /// The model.
        model: ModelName,
        /// The version.
        version: VersionName,
        /// Digest of what exists.
        theirs: String,
        /// Digest of what was to be stored.
        ours: String,
    },
    /// Another writer is putting the same version there, with other content.
    #[error("another publisher is writing {model}@{version} right now; try again when it is done")]
    Claimed {
        /// The model.
        model: ModelName,
        /// The version.
        version: VersionName,
    },
    /// Stored bytes are not what the manifest says.
    #[error(
        "{model}@{version} is damaged in this region: {what}; if another region holds it, remove \
            the object manifests/{model}/{version} from this region's store, and it is fetched \
            again"
    )]
    Damaged {
        /// The model.
        model: ModelName,
        /// The version.
        version: VersionName,
        /// Which file or chunk, and how.
        what: String,
    },
    /// The store is out of space.
    #[error("no space left in the store for {path}; free some, nothing of the version is visible")]
    Full {
        /// What was to be written.
        path: String,
    },
    /// The store acknowledged a write, and what was written is not there.
    #[error(
        "the store acknowledged {path} and does not have it, or not all of it; the change has no \
            effect, try again"
    )]
    NotKept {
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
    /// A file of ours could not be handled.
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
        /// The model.
        model: ModelName,
        /// The version.
        version: VersionName,
        /// Why.
        why: String,
    },
}

impl ModelError {
    /// A file that could not be handled, or the disk that was full.
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
