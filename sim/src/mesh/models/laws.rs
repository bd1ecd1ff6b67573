//! What must hold for models: a visible version is whole, no acknowledged publication is lost, and
//! soon after healing every region holds the same.

use super::{
    commit::{decode_manifest, file_path, manifest_path},
    context::{WorkError, Worked},
    objects::Change,
    publish::PublishError,
    told::{catalogue, deletions, held, is_deleted, is_held, manifest_of},
};
use crate::mesh::{sometimes::Sometimes, world::World};
use regionmesh_protocol::models::{
    catalogue::{AliasEntry, Catalogue, Deletions, Tombstone},
    digest::Digest,
    manifest::{Manifest, VersionSummary},
};
use std::collections::BTreeSet;

impl World {
    /// Whether a store has a version with every byte.
    pub(super) fn holds_whole(&self, region: usize, path: &str, manifest: &Manifest) -> bool {
        let objects = &self.stores[region].objects;
        let content = held(objects, path).map(|held| held.content());
        content == Some(manifest.content())
            && manifest.files.iter().all(|file| {
                let path = file_path(&manifest.model, &manifest.version, &file.path);
                let bytes = objects.get(&path);
                bytes.is_some_and(|bytes| Digest::of(bytes) == file.digest)
            })
    }

    /// A store has changed.
    pub(super) fn check_change(&mut self, region: usize, change: &Change) {
        let Some(path) = manifest_of(&change.path) else {
            return;
        };
        let Some(manifest) = held(&self.stores[region].objects, &path) else {
            if change.path == path {
                self.laws.models.lost.remove(&(region, path));
                self.check_vanished(region, change);
            }
            return;
        };

        let is_whole = self.holds_whole(region, &path, &manifest);
        let lost = (region, path);
        match (self.laws.models.lost.contains(&lost), is_whole) {
            (true, true) => {
                self.laws.models.lost.remove(&lost);
                self.reached.count(Sometimes::LossRepaired);
            }
            (false, false) => {
                let what = format!("{} in {}", lost.1, self.names[region]);
                let law = "a visible version's bytes match its manifest";
                self.laws.break_law(law, self.now_ms, what);
            }
            _ => {}
        }
    }

    /// A manifest is gone: the version was deleted, or it has another name.
    fn check_vanished(&mut self, region: usize, change: &Change) {
        let before = change.before.as_deref().map(decode_manifest);
        let Some(Ok(manifest)) = before else {
            return;
        };
        let version = manifest.summary();
        let objects = &self.stores[region].objects;
        let is_dead = Deletions::of(&deletions(objects)).cover(&version);
        if !is_dead && !is_held(&version, &catalogue(objects).versions) {
            let what = format!("{} in {}", change.path, self.names[region]);
            let law = "no visible version vanishes";
            self.laws.break_law(law, self.now_ms, what);
        }
    }

    /// A user learns how a publication ended.
    pub(super) fn published(
        &mut self,
        number: usize,
        outcome: Result<VersionSummary, PublishError>,
    ) {
        let begun = &self.laws.models.acts[number];
        let id = &self.machines[begun.agent].id;
        let act = begun.act;
        let took_ms = self.now_ms - begun.begun_ms;
        self.trace.note(self.now_ms, || {
            format!("{id}: {act:?} took {took_ms} ms: {}", in_words(&outcome))
        });

        let version = match outcome {
            Ok(version) => {
                self.reached.count(Sometimes::VersionPublished);
                version
            }
            Err(PublishError::NameTaken(_, version)) => {
                self.reached.count(Sometimes::NameTaken);
                version
            }
            Err(PublishError::ExistsElsewhere | PublishError::NameDeleted)
            | Err(PublishError::Failed(WorkError::Exists)) => {
                return self.reached.count(Sometimes::PublishRefused);
            }
            Err(PublishError::Failed(_)) => return self.reached.count(Sometimes::PublishFailed),
        };

        let region = self.machines[begun.agent].region;
        let objects = &self.stores[region].objects;
        let mut later = deletions(objects);
        later.retain(|stone| !begun.deletions.contains(stone));
        // One that its deletion covers is held no longer, or not for long.
        let is_dead = Deletions::of(&begun.deletions).cover(&version);
        let is_held = is_held(&version, &catalogue(objects).versions) && !is_dead;
        if !is_held && !is_deleted(&version, &later) {
            let path = manifest_path(&version.model, &version.version);
            let what = format!("{path} in {}", self.names[region]);
            let law = "an acknowledged version is visible";
            self.laws.break_law(law, self.now_ms, what);
        }
        self.laws.models.published.push(version);
    }

    pub(super) fn deleted(&mut self, outcome: Worked<Tombstone>) {
        if let Ok(stone) = outcome {
            self.laws.models.deleted.push(stone);
        }
    }

    pub(super) fn named(&mut self, outcome: Worked<AliasEntry>) {
        if let Ok(entry) = outcome {
            self.laws.models.named.push(entry);
        }
    }

    /// Whether every region holds the same, and all of it.
    pub(crate) fn check_models(&self) -> Result<(), String> {
        let stores = &self.stores[..self.shape.regions];
        let mut all = Vec::new();
        for (name, store) in self.names.iter().zip(stores) {
            let mut catalogue = catalogue(&store.objects);
            if let Some(stone) = catalogue.unfinished_deletions().first() {
                return Err(format!(
                    "{name} still has {}@{}",
                    stone.model, stone.version
                ));
            }
            catalogue.normalise();
            self.check_acknowledged(&catalogue)
                .map_err(|what| format!("{name} lacks {what}"))?;
            all.push((name, catalogue));
        }

        if let Some((region, path)) = self.laws.models.lost.first() {
            return Err(format!("{} lacks files of {path}", self.names[*region]));
        }
        let Some((first_name, first)) = all.first() else {
            return Ok(());
        };
        for (name, other) in &all[1..] {
            if let Some(what) = difference(first, other) {
                return Err(format!("{first_name} and {name} differ in {what}"));
            }
        }
        Ok(())
    }

    /// What users were told, and a region does not know.
    fn check_acknowledged(&self, catalogue: &Catalogue) -> Result<(), String> {
        let laws = &self.laws.models;
        let version = laws.published.iter().find(|version| {
            !is_held(version, &catalogue.versions) && !is_deleted(version, &catalogue.tombstones)
        });
        if let Some(version) = version {
            return Err(format!("{}@{}", version.model, version.version));
        }

        let is_recorded = |stone: &&Tombstone| {
            let mut known = catalogue.tombstones.iter();
            known.any(|known| {
                (&known.model, &known.version) == (&stone.model, &stone.version)
                    && known.deleted >= stone.deleted
            })
        };
        if let Some(stone) = laws.deleted.iter().find(|stone| !is_recorded(stone)) {
            return Err(format!("the deletion of {}@{}", stone.model, stone.version));
        }

        let is_set = |entry: &&AliasEntry| {
            let mut known = catalogue.aliases.iter();
            known.any(|known| known.model == entry.model && known.set >= entry.set)
        };
        match laws.named.iter().find(|entry| !is_set(entry)) {
            Some(entry) => Err(format!("the alias of {}@{}", entry.model, entry.version)),
            None => Ok(()),
        }
    }
}

/// What two regions hold differently. Equal content may have been published twice.
fn difference(one: &Catalogue, other: &Catalogue) -> Option<String> {
    let names = |catalogue: &Catalogue| -> BTreeSet<String> {
        let versions = catalogue.versions.iter();
        let name = |it: &VersionSummary| format!("{}@{} {:.8?}", it.model, it.version, it.content);
        versions.map(name).collect()
    };
    let theirs = names(other);
    let ours = names(one);
    if let Some(version) = ours.symmetric_difference(&theirs).next() {
        return Some(version.clone());
    }
    if one.tombstones != other.tombstones {
        return Some("deletions".into());
    }
    (one.aliases != other.aliases).then(|| "aliases".into())
}

fn in_words(outcome: &Result<VersionSummary, PublishError>) -> String {
    match outcome {
        Ok(version) => format!("{}@{} is visible", version.model, version.version),
        Err(PublishError::NameTaken(name, version)) => {
            format!("{}@{} is stored as {name}", version.model, version.version)
        }
        Err(error) => format!("{error:?}"),
    }
}
