//! The signal that this process changed what the store holds.

use tokio::sync::watch;

/// Counts the writes of this process. Clones share the count.
#[derive(Debug, Clone, Default)]
pub(crate) struct Changes(watch::Sender<u64>);

impl Changes {
    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.0.subscribe()
    }

    /// Announces a write when dropped: even a failed write may have done part of its work.
    pub(crate) fn write(&self) -> Write<'_> {
        Write(&self.0)
    }
}

/// A write in progress.
#[must_use]
pub(crate) struct Write<'a>(&'a watch::Sender<u64>);

impl Drop for Write<'_> {
    fn drop(&mut self) {
        self.0
            .send_modify(|writes| *writes = writes.wrapping_add(1));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::{models::ModelStore, opened::OpenStore};
    use object_store::memory::InMemory;
    use regionmesh_protocol::{
        clock::HybridTime,
        models::{
            catalogue::{AliasEntry, Tombstone},
            chunking::Chunker,
            manifest::{Manifest, ManifestFile},
        },
    };
    use std::sync::Arc;

    fn time(wall_ms: u64) -> HybridTime {
        let counter = 0;
        HybridTime { wall_ms, counter }
    }

    fn manifest(content: &[u8]) -> Manifest {
        let mut chunker = Chunker::default();
        chunker.push(content);

        let cut = chunker.finish();
        Manifest {
            model: "m".parse().unwrap(),
            version: "1".parse().unwrap(),
            files: vec![ManifestFile {
                path: "f".into(),
                size: cut.size,
                digest: cut.digest,
                chunks: cut.chunks,
            }],
            origin: "a".parse().unwrap(),
            publisher: "me".into(),
            published: time(1),
            metadata: vec![],
        }
    }

    #[track_caller]
    fn assert_announced(changes: &mut watch::Receiver<u64>) {
        assert!(changes.has_changed().unwrap());
        changes.mark_unchanged();
    }

    #[tokio::test]
    async fn every_write_is_announced_and_no_read_is() {
        let folder = tempfile::tempdir().unwrap();
        let staged = folder.path().join("f");
        std::fs::write(&staged, b"weights").unwrap();

        let store = ModelStore::new(OpenStore::of(Arc::new(InMemory::new())));
        let mut changes = store.clone().changes();
        let manifest = manifest(b"weights");
        let held = store.commit(&manifest, &[staged]).await.unwrap();
        assert_announced(&mut changes);

        let entry = AliasEntry {
            model: held.model.clone(),
            alias: "production".parse().unwrap(),
            version: held.version.clone(),
            set: time(2),
            origin: "a".parse().unwrap(),
            by: "me".into(),
        };

        store.set_alias(&entry).await.unwrap();
        assert_announced(&mut changes);

        let renamed = "2".parse().unwrap();
        store.rename(&held, &renamed).await.unwrap();
        assert_announced(&mut changes);

        let tombstone = Tombstone {
            model: held.model.clone(),
            version: renamed.clone(),
            deleted: time(3),
            origin: "a".parse().unwrap(),
            content: None,
        };
        assert_eq!(store.scan().await.unwrap().catalogue.versions.len(), 1);
        assert!(!changes.has_changed().unwrap());

        store.record_deletion(&tombstone).await.unwrap();
        assert_announced(&mut changes);
        assert!(store.manifest(&held.model, &renamed).await.is_err());
        assert!(!changes.has_changed().unwrap());
    }
}
