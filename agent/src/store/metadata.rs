//! Aliases and deletions in a region's store.
//!
//! Each entry is an object of its own, never changed: `aliases/<model>/<alias>/<time>-<region>` and
//! `tombstones/<model>/<version>/<time>-<region>`. The greatest name is the one that holds, so that two agents that write at
//! once need no lock, and the older ones are the history.

use super::models::{ModelError, ModelStore, object};
use futures::TryStreamExt;
use object_store::{Error as ObjectError, ObjectStoreExt, PutMode, PutPayload, path::Path as ObjectPath};
use regionmesh_protocol::{
    codec,
    conflict::{AliasEntry, Catalogue, Tombstone},
};
use serde::{Serialize, de::DeserializeOwned};
use std::collections::BTreeMap;

/// Entries of one alias that are kept as history.
const HISTORY: usize = 32;

impl ModelStore {
    /// All that the region holds, in normal form.
    pub async fn catalogue(&self) -> Result<Catalogue, ModelError> {
        let mut catalogue = Catalogue {
            versions: self.versions().await?,
            aliases: self.newest("aliases").await?,
            tombstones: self.newest("tombstones").await?,
        };
        catalogue.normalise();
        Ok(catalogue)
    }

    /// Records an alias; the same entry twice is no error. Entries beyond the history's bound are removed.
    pub async fn set_alias(&self, entry: &AliasEntry) -> Result<(), ModelError> {
        let name = format!("{}-{}", entry.set, entry.origin);
        let folder = object(&["aliases", entry.model.as_str(), entry.alias.as_str()]);
        self.record(&object(&["aliases", entry.model.as_str(), entry.alias.as_str(), &name]), entry).await?;
        let mut entries = self.names(&folder).await?;
        entries.sort();
        for old in entries.iter().take(entries.len().saturating_sub(HISTORY)) {
            match self.store.objects.delete(old).await {
                Ok(()) | Err(ObjectError::NotFound { .. }) => {}
                Err(error) => tracing::warn!(path = %old, %error, "cannot remove an old alias entry"),
            }
        }
        Ok(())
    }

    /// Records a deletion and carries it out: the version is removed unless it was published later.
    pub async fn bury(&self, stone: &Tombstone) -> Result<(), ModelError> {
        let name = format!("{}-{}", stone.deleted, stone.origin);
        self.record(&object(&["tombstones", stone.model.as_str(), stone.version.as_str(), &name]), stone).await?;
        self.remove(&stone.model, &stone.version, |manifest| manifest.published <= stone.deleted).await.map(drop)
    }

    async fn record<T: Serialize>(&self, path: &ObjectPath, entry: &T) -> Result<(), ModelError> {
        let bytes = codec::encode(entry).map_err(|error| ModelError::Io {
            action: "encode",
            path: path.to_string().into(),
            error: std::io::Error::other(error),
        })?;
        match self.store.objects.put_opts(path, PutPayload::from(bytes), PutMode::Create.into()).await {
            Ok(_) | Err(ObjectError::AlreadyExists { .. }) => Ok(()),
            Err(error) => Err(ModelError::store("write", path, error)),
        }
    }

    async fn names(&self, prefix: &ObjectPath) -> Result<Vec<ObjectPath>, ModelError> {
        self.store
            .objects
            .list(Some(prefix))
            .map_ok(|meta| meta.location)
            .try_collect()
            .await
            .map_err(|error| ModelError::store("list", prefix, error))
    }

    /// The greatest entry of each folder two levels below `kind`.
    async fn newest<T: DeserializeOwned>(&self, kind: &str) -> Result<Vec<T>, ModelError> {
        let mut newest: BTreeMap<String, ObjectPath> = BTreeMap::new();
        for path in self.names(&object(&[kind])).await? {
            let Some((folder, _)) = path.as_ref().rsplit_once('/') else { continue };
            match newest.get(folder) {
                Some(known) if known >= &path => {}
                _ => drop(newest.insert(folder.to_owned(), path)),
            }
        }
        let mut entries = Vec::with_capacity(newest.len());
        for path in newest.into_values() {
            let bytes = match self.store.objects.get(&path).await {
                Ok(object) => object.bytes().await.map_err(|error| ModelError::store("read", &path, error))?,
                Err(ObjectError::NotFound { .. }) => continue,
                Err(error) => return Err(ModelError::store("read", &path, error)),
            };
            match codec::decode(&bytes) {
                Ok(entry) => entries.push(entry),
                Err(error) => tracing::error!(%path, %error, "an entry can't be read; it is not used"),
            }
        }
        Ok(entries)
    }
}
