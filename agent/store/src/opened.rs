//! An open store and its writer.

use crate::health::StoreHealth;
use object_store::{ObjectStore, multipart::MultipartStore};
use std::{path::PathBuf, sync::Arc, time::Duration};

/// How long one call of a local store may take: file systems have no timeouts of their own, clients
/// of remote stores do.
pub(crate) const CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// A writer: one process of an agent of the region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// The agent's name within its region.
    pub agent: String,
    /// Random, drawn at its start.
    pub boot: u64,
}

/// An open store.
#[derive(Clone)]
pub struct OpenStore {
    pub objects: Arc<dyn ObjectStore>,
    /// The same objects, writable before the conditional-write check, which uses it.
    pub unguarded: Arc<dyn ObjectStore>,
    /// The same objects without retries, for probes.
    pub(crate) prober: Arc<dyn ObjectStore>,
    /// Uploads in parts that can be named and aborted; none for a local store.
    pub(crate) multipart: Option<Arc<dyn MultipartStore>>,
    /// The folder of a local store: files on the same file system can be moved in instead of
    /// copied.
    pub(crate) root: Option<PathBuf>,
    pub health: StoreHealth,
    /// The owner of our claims and uploads; none for a reader.
    pub(crate) owner: Option<Owner>,
}

impl std::fmt::Debug for OpenStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenStore")
            .field("objects", &self.objects)
            .field("owner", &self.owner)
            .finish_non_exhaustive()
    }
}

impl OpenStore {
    /// A store over `objects`, for tests.
    #[cfg(test)]
    pub(crate) fn of(objects: Arc<dyn ObjectStore>) -> Self {
        let health = StoreHealth::new("the store");
        Self {
            unguarded: objects.clone(),
            prober: objects.clone(),
            objects,
            multipart: None,
            root: None,
            health,
            owner: None,
        }
    }

    /// The same store, written to by `owner`.
    #[must_use]
    pub fn owned_by(mut self, owner: Owner) -> Self {
        self.owner = Some(owner);
        self
    }
}
