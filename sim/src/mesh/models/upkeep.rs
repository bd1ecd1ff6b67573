//! Reading a region's store, bringing it in line with others, and cleaning up: the tasks of the
//! replicator actor and of regionmesh-store.

use super::{
    commit::{decode_manifest, folder, manifest_path},
    context::{Context, WorkError, Worked},
    objects::Bytes,
};
use crate::mesh::sometimes::Sometimes;
use regionmesh_core::replication::{Cleaned, Scan, SyncAction};
use regionmesh_protocol::{
    codec,
    models::{
        catalogue::{AliasEntry, Catalogue, Tombstone},
        manifest::{Manifest, ModelName, VersionName, VersionSummary},
    },
};
use serde::{Serialize, de::DeserializeOwned};
use std::collections::BTreeMap;

pub(crate) const ALIASES: &str = "aliases/";
pub(crate) const DELETIONS: &str = "tombstones/";
pub(crate) const MANIFESTS: &str = "manifests/";

/// The newest entry of each folder.
pub(super) fn newest<'a>(paths: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut newest: BTreeMap<&str, &str> = BTreeMap::new();
    for path in paths {
        if let Some((folder, _)) = path.rsplit_once('/') {
            let known = newest.entry(folder).or_insert(path);
            *known = (*known).max(path);
        }
    }
    newest.into_values().collect()
}

/// The versions of these objects, sorted.
fn summaries(objects: &BTreeMap<String, Bytes>) -> Vec<VersionSummary> {
    let manifests = objects.range(MANIFESTS.to_owned()..);
    let manifests = manifests.take_while(|(path, _)| path.starts_with(MANIFESTS));
    let read = manifests.filter_map(|(path, bytes)| {
        let manifest = decode_manifest(bytes).ok()?;
        let is_named = manifest_path(&manifest.model, &manifest.version) == *path;
        is_named.then(|| manifest.summary())
    });

    let mut versions: Vec<VersionSummary> = read.collect();
    versions.sort();
    versions
}

/// The newest entry of each folder below `prefix`.
fn entries<T: DeserializeOwned>(objects: &BTreeMap<String, Bytes>, prefix: &str) -> Vec<T> {
    let paths = objects.keys().filter(|path| path.starts_with(prefix));
    let newest = newest(paths.map(String::as_str)).into_iter();
    let read = newest.filter_map(|path| codec::decode(objects.get(path)?).ok());
    read.collect()
}

impl Context {
    /// All that the region holds, and its incomplete deletions.
    pub(super) async fn scan(&self) -> Worked<Scan> {
        let objects = self.read_all(&[MANIFESTS, ALIASES, DELETIONS]).await?;
        let mut catalogue = Catalogue {
            versions: summaries(&objects),
            aliases: entries(&objects, ALIASES),
            tombstones: entries(&objects, DELETIONS),
        };
        let unfinished = catalogue.unfinished_deletions();

        catalogue.normalise();
        self.observe(&catalogue);
        Ok(Scan {
            catalogue,
            unfinished,
        })
    }

    /// The objects with these prefixes. Those that have not changed are not read again.
    async fn read_all(&self, prefixes: &[&str]) -> Worked<BTreeMap<String, Bytes>> {
        let prefixes = prefixes.iter().map(|prefix| (*prefix).to_owned()).collect();
        let (listed, _) = self.list_all(prefixes).await?;
        let mut objects = BTreeMap::new();
        let mut new = Vec::new();
        self.with(|it| {
            for found in listed {
                match it.seen.get(&found.path) {
                    Some((tag, bytes)) if *tag == found.tag => {
                        objects.insert(found.path, bytes.clone());
                    }
                    _ => new.push((found.path, found.tag)),
                }
            }
        });

        let paths = new.iter().map(|(path, _)| path.clone()).collect();
        let read = self.get_all(paths).await?;
        for ((path, tag), bytes) in new.into_iter().zip(read) {
            let Some(bytes) = bytes else {
                continue;
            };
            objects.insert(path.clone(), bytes.clone());
            self.with(|it| it.seen.insert(path, (tag, bytes)));
        }
        Ok(objects)
    }

    /// Every committed version.
    pub(super) async fn versions(&self) -> Worked<Vec<VersionSummary>> {
        Ok(summaries(&self.read_all(&[MANIFESTS]).await?))
    }

    /// The newest deletion of a version, if any.
    pub(super) async fn deletion_of(
        &self,
        model: &ModelName,
        version: &VersionName,
    ) -> Worked<Option<Tombstone>> {
        let folder = format!("{DELETIONS}{model}/{version}/");
        let objects = self.read_all(&[&folder]).await?;
        Ok(entries(&objects, &folder).into_iter().next())
    }

    async fn record<T: Serialize>(&self, path: String, entry: &T) -> Worked<()> {
        let bytes =
            codec::encode(entry).map_err(|error| WorkError::Unreadable(error.to_string()))?;
        self.create(path, bytes.into()).await.map(drop)
    }

    /// Records a deletion and removes the version, unless it was published later.
    pub(super) async fn record_deletion(&self, stone: &Tombstone) -> Worked<()> {
        let _write = self.write();
        let Tombstone { model, version, .. } = stone;
        let name = format!("{}-{}", stone.deleted, stone.origin);
        let path = format!("{DELETIONS}{model}/{version}/{name}");
        self.record(path, stone).await?;

        let is_dead = |manifest: &Manifest| manifest.published <= stone.deleted;
        let removed = self.remove_version(model, version, is_dead).await?;
        if removed {
            self.count(Sometimes::VersionDeleted);
        }
        Ok(())
    }

    pub(super) async fn set_alias(&self, entry: &AliasEntry) -> Worked<()> {
        let _write = self.write();
        let AliasEntry { model, alias, .. } = entry;
        let name = format!("{}-{}", entry.set, entry.origin);
        self.record(format!("{ALIASES}{model}/{alias}/{name}"), entry)
            .await
    }

    /// Applies changes in this order, up to the first failure.
    pub(super) async fn converge(&self, actions: Vec<SyncAction>) -> Worked<()> {
        for action in actions {
            match action {
                SyncAction::Delete(stone) => {
                    let Tombstone { model, version, .. } = &stone;
                    self.note(format!("deletes {model}@{version} of {}", stone.origin));
                    self.record_deletion(&stone).await?;
                }
                SyncAction::SetAlias(entry) => self.set_alias(&entry).await?,
                SyncAction::Rename { from, to } => {
                    let VersionSummary { model, version, .. } = &from;
                    self.note(format!("renames {model}@{version} to {to}"));
                    self.rename(&from, &to).await?;
                    self.count(Sometimes::ConflictRenamed);
                }
                SyncAction::Fetch { .. } => {}
            }
        }
        Ok(())
    }

    /// Cleans up after crashes and outages.
    pub(super) async fn clean(&self, tombstones: Vec<Tombstone>) -> Worked<Cleaned> {
        self.with(|it| it.has_leftovers = false);
        let mut cleaned = Cleaned::default();
        for version in self.versions().await? {
            let is_dead = |stone: &&Tombstone| {
                (&stone.model, &stone.version) == (&version.model, &version.version)
                    && version.published <= stone.deleted
            };
            if let Some(stone) = tombstones.iter().find(is_dead) {
                let _write = self.write();
                let is_meant = |manifest: &Manifest| manifest.published <= stone.deleted;
                let removed = self
                    .remove_version(&version.model, &version.version, is_meant)
                    .await?;
                cleaned.deletions += usize::from(removed);
            }
        }

        for (model, version) in self.void_claims().await? {
            cleaned.abandoned += usize::from(self.clean_claimed(&model, &version).await?);
        }
        Ok(cleaned)
    }

    /// Takes over a void claim; returns whether files of an uncommitted version were removed.
    async fn clean_claimed(&self, model: &ModelName, version: &VersionName) -> Worked<bool> {
        let token = self.token("cleaning");
        let claim = match self.claim(model, version, &token, None).await {
            Ok(claim) => claim,
            // Another agent took the claim over.
            Err(WorkError::Claimed) => return Ok(false),
            Err(error) => return Err(error),
        };

        let manifest = self.get(&manifest_path(model, version)).await?;
        let is_abandoned = manifest.is_none();
        if is_abandoned {
            self.purge(model, version, &[]).await?;
            self.count(Sometimes::AbandonedCleaned);
        }
        self.release(claim).await;
        Ok(is_abandoned)
    }

    /// The `versions` with missing or truncated files, from a single listing.
    pub(super) async fn incomplete(
        &self,
        versions: Vec<VersionSummary>,
    ) -> Worked<Vec<VersionSummary>> {
        let (listed, _) = self.list("models/").await?;
        let stored = |version: &VersionSummary| -> u64 {
            let folder = folder(&version.model, &version.version);
            let files = listed.iter().filter(|file| file.path.starts_with(&folder));
            files.map(|file| file.size).sum()
        };

        let incomplete = versions.iter().filter(|it| stored(it) < it.size);
        Ok(incomplete.cloned().collect())
    }
}
