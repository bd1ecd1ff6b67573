//! Aliases and deletions in a region's store.
//!
//! Each entry is an object of its own, never changed: `aliases/<model>/<alias>/<time>-<region>` and
//! `tombstones/<model>/<version>/<time>-<region>`. The greatest name is in force, so that
//! concurrent writers need no lock; the older entries are the history.

use crate::{
    fault::model_error,
    models::{ModelStore, object},
};
use futures::TryStreamExt;
use object_store::{Error as ObjectError, ObjectStoreExt, path::Path as ObjectPath};
use regionmesh_core::replication::Scan;
use regionmesh_protocol::{
    clock::HybridTime,
    codec::{self, CodecError},
    identity::RegionName,
    models::{
        catalogue::{AliasEntry, Catalogue, Tombstone},
        manifest::{ModelName, VersionName},
    },
};
use regionmesh_runtime::models::ModelError;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Entries of one alias that are retained as history.
const HISTORY: usize = 32;

/// A deletion as stored by releases before 0.2.
#[derive(Deserialize)]
struct OldTombstone {
    model: ModelName,
    version: VersionName,
    deleted: HybridTime,
    origin: RegionName,
}

/// Reads a stored entry.
trait Entry: Sized {
    fn read(bytes: &[u8]) -> Result<Self, CodecError>;
}

impl Entry for AliasEntry {
    fn read(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::decode(bytes)
    }
}

impl Entry for Tombstone {
    fn read(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::decode(bytes).or_else(|error| {
            let OldTombstone {
                model,
                version,
                deleted,
                origin,
            } = codec::decode(bytes).map_err(|_| error)?;

            Ok(Tombstone {
                model,
                version,
                deleted,
                origin,
                content: None,
            })
        })
    }
}

impl ModelStore {
    /// All that the region holds, in normal form.
    pub async fn catalogue(&self) -> Result<Catalogue, ModelError> {
        Ok(self.scan().await?.catalogue)
    }

    /// All that the region holds, and its incomplete deletions.
    pub async fn scan(&self) -> Result<Scan, ModelError> {
        let mut catalogue = Catalogue {
            versions: self.versions().await?,
            aliases: self.newest(&object(&["aliases"])).await?,
            tombstones: self.newest(&object(&["tombstones"])).await?,
        };
        let unfinished = catalogue.unfinished_deletions();

        catalogue.normalise();
        Ok(Scan {
            catalogue,
            unfinished,
        })
    }

    /// The aliases of one model.
    pub async fn aliases_of(&self, model: &ModelName) -> Result<Vec<AliasEntry>, ModelError> {
        self.newest(&object(&["aliases", model.as_str()])).await
    }

    /// The newest deletion of a version, if any.
    pub async fn deletion_of(
        &self,
        model: &ModelName,
        version: &VersionName,
    ) -> Result<Option<Tombstone>, ModelError> {
        let folder = object(&["tombstones", model.as_str(), version.as_str()]);
        Ok(self
            .newest(&folder)
            .await?
            .into_iter()
            .max_by_key(|tombstone: &Tombstone| tombstone.deleted))
    }

    /// Records an alias; recording the same entry again has no effect. Removes entries beyond the
    /// history's limit.
    pub async fn set_alias(&self, entry: &AliasEntry) -> Result<(), ModelError> {
        let _write = self.changes.write();
        let name = format!("{}-{}", entry.set, entry.origin);
        let folder = object(&["aliases", entry.model.as_str(), entry.alias.as_str()]);
        self.record(
            &object(&["aliases", entry.model.as_str(), entry.alias.as_str(), &name]),
            entry,
        )
        .await?;

        let mut entries = self.names(&folder).await?;
        entries.sort();
        for old in entries.iter().take(entries.len().saturating_sub(HISTORY)) {
            match self.store.objects.delete(old).await {
                Ok(()) | Err(ObjectError::NotFound { .. }) => {}
                Err(error) => {
                    tracing::warn!(path = %old, %error, "cannot remove an old alias entry")
                }
            }
        }

        Ok(())
    }

    /// Records a deletion and removes the version, unless it was published later.
    pub async fn record_deletion(&self, tombstone: &Tombstone) -> Result<(), ModelError> {
        let _write = self.changes.write();
        let name = format!("{}-{}", tombstone.deleted, tombstone.origin);
        self.record(
            &object(&[
                "tombstones",
                tombstone.model.as_str(),
                tombstone.version.as_str(),
                &name,
            ]),
            tombstone,
        )
        .await?;

        self.remove_version(&tombstone.model, &tombstone.version, |manifest| {
            manifest.published <= tombstone.deleted
        })
        .await
        .map(drop)
    }

    async fn record<T: Serialize>(&self, path: &ObjectPath, entry: &T) -> Result<(), ModelError> {
        let bytes = codec::encode(entry).map_err(|error| ModelError::Io {
            action: "encode",
            path: path.to_string().into(),
            error: std::io::Error::other(error),
        })?;

        self.create(path, bytes).await.map(drop)
    }

    async fn names(&self, prefix: &ObjectPath) -> Result<Vec<ObjectPath>, ModelError> {
        self.store
            .objects
            .list(Some(prefix))
            .map_ok(|meta| meta.location)
            .try_collect()
            .await
            .map_err(|error| model_error("list", prefix, &error))
    }

    /// The greatest entry of each folder of entries below `prefix`.
    async fn newest<T: Entry>(&self, prefix: &ObjectPath) -> Result<Vec<T>, ModelError> {
        let mut newest: BTreeMap<String, ObjectPath> = BTreeMap::new();
        for path in self.names(prefix).await? {
            let Some((folder, _)) = path.as_ref().rsplit_once('/') else {
                continue;
            };
            match newest.get(folder) {
                Some(known) if known >= &path => {}
                _ => drop(newest.insert(folder.to_owned(), path)),
            }
        }

        let mut entries = Vec::with_capacity(newest.len());
        for path in newest.into_values() {
            let bytes = match self.store.objects.get(&path).await {
                Ok(object) => object
                    .bytes()
                    .await
                    .map_err(|error| model_error("read", &path, &error))?,
                Err(ObjectError::NotFound { .. }) => continue,
                Err(error) => return Err(model_error("read", &path, &error)),
            };

            match T::read(&bytes) {
                Ok(entry) => entries.push(entry),
                Err(error) => {
                    tracing::error!(%path, %error, "an entry can't be read; it is ignored")
                }
            }
        }

        Ok(entries)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_deletion_stored_by_an_earlier_release_is_read() {
        let deleted = HybridTime {
            wall_ms: 7,
            counter: 1,
        };
        let model: ModelName = "m".parse().unwrap();
        let version: VersionName = "1".parse().unwrap();
        let origin: RegionName = "a".parse().unwrap();
        let before = codec::encode(&(&model, &version, deleted, &origin)).unwrap();
        let tombstone = Tombstone {
            model,
            version,
            deleted,
            origin,
            content: None,
        };

        assert_eq!(Tombstone::read(&before).unwrap(), tombstone);
        assert_eq!(
            Tombstone::read(&codec::encode(&tombstone).unwrap()).unwrap(),
            tombstone
        );

        assert!(Tombstone::read(b"garbage").is_err());
    }
}
