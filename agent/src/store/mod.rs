//! What an agent keeps: models and the register's slots in the region's object store, the last committed plan on disk.

mod claims;
mod commit;
pub mod committed_plan;
pub mod history;
pub mod metadata;
pub mod models;
#[cfg(test)]
mod models_tests;
pub mod slots;
pub mod staging;

use crate::config::StoreConfig;
use object_store::{ObjectStore, local::LocalFileSystem, prefix::PrefixStore};
use std::{path::PathBuf, sync::Arc};

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The URL is not one of the kinds that are understood.
    #[error(
        "store.url {url:?}: {why}; expected file:///dir, s3://bucket/prefix, gs://bucket/prefix or azure://container/prefix"
    )]
    Url {
        /// As configured; carries no credentials.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// The folder of a local store can't be used.
    #[error("store folder {path}: {error}; make it writable for this user, or change store.url")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// The system's reason.
        error: std::io::Error,
    },
}

/// An open store.
#[derive(Debug, Clone)]
pub struct OpenStore {
    /// The objects.
    pub objects: Arc<dyn ObjectStore>,
    /// The folder of a local store: files on the same file system can be moved in instead of copied.
    pub root: Option<PathBuf>,
}

/// Opens the store that a configuration names. Cloud credentials come from the environment or the platform's identity.
pub fn open(config: &StoreConfig) -> Result<OpenStore, OpenError> {
    let fail = |why: String| OpenError::Url { url: config.url.clone(), why };
    if let Some(path) = config.url.strip_prefix("file://") {
        let root = PathBuf::from(path);
        if !root.is_absolute() {
            return Err(fail("the folder must be absolute".into()));
        }
        let folder = |error| OpenError::Folder { path: root.clone(), error };
        std::fs::create_dir_all(&root).map_err(folder)?;
        let probe = root.join(format!(".writable-{}", std::process::id()));
        std::fs::write(&probe, b"").and_then(|()| std::fs::remove_file(&probe)).map_err(folder)?;
        let local = LocalFileSystem::new_with_prefix(&root).map_err(|error| fail(error.to_string()))?;
        return Ok(OpenStore { objects: Arc::new(local.with_fsync(true)), root: Some(root) });
    }
    let url = config.url.parse().map_err(|error| fail(format!("{error}")))?;
    let environment =
        std::env::vars().filter(|(key, _)| ["AWS_", "GOOGLE_", "AZURE_"].iter().any(|prefix| key.starts_with(prefix)));
    // What the configuration says outranks the environment.
    let options = environment
        .map(|(key, value)| (key.to_ascii_lowercase(), value))
        .chain(config.options.iter().map(|(key, value)| (key.to_ascii_lowercase(), value.clone())));
    let (objects, prefix) = object_store::parse_url_opts(&url, options).map_err(|error| fail(error.to_string()))?;
    Ok(OpenStore { objects: Arc::new(PrefixStore::new(objects, prefix)), root: None })
}
