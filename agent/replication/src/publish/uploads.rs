//! The open uploads of an agent.

use regionmesh_protocol::models::manifest::{ManifestFile, ModelName, VersionName};
use std::{
    collections::BTreeMap,
    path::PathBuf,
    time::{Duration, Instant},
};

/// Limit of open uploads.
pub(super) const UPLOADS_MAX: usize = 32;

/// An open upload, as it is listed.
#[derive(Debug, Clone)]
pub struct OpenUpload {
    pub id: String,
    pub model: ModelName,
    pub version: VersionName,
    /// The publisher's name, as given by the client.
    pub publisher: String,
    /// Complete files.
    pub files: usize,
    /// Their size, bytes.
    pub bytes: u64,
    /// Whether a file is arriving.
    pub is_receiving: bool,
    /// Time since something was added.
    pub idle: Duration,
    /// How long it may stay idle.
    pub idle_max: Duration,
}

pub(super) struct Upload {
    pub(super) model: ModelName,
    pub(super) version: VersionName,
    pub(super) publisher: String,
    pub(super) metadata: Vec<(String, String)>,
    pub(super) files: BTreeMap<String, (PathBuf, Option<ManifestFile>)>,
    pub(super) folder: PathBuf,
    pub(super) touched: Instant,
}

impl Upload {
    /// Time since something was added; zero while a file is arriving, whose sender has its own
    /// limits.
    pub(super) fn idle(&self) -> Duration {
        let is_receiving = self.files.values().any(|(_, file)| file.is_none());
        if is_receiving {
            Duration::ZERO
        } else {
            self.touched.elapsed()
        }
    }
}

pub(super) fn dropped(id: &str, upload: &Upload, why: &str) {
    tracing::warn!(
        upload = id,
        model = %upload.model,
        version = %upload.version,
        why,
        "an abandoned upload was dropped"
    );

    // In another thread: a hanging file system must not block the caller, which holds a lock.
    let folder = upload.folder.clone();
    drop(tokio::task::spawn_blocking(move || {
        std::fs::remove_dir_all(folder)
    }));
}
