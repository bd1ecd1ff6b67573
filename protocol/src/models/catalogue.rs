//! A region's catalogue: versions, aliases, deletions.

use crate::{
    clock::HybridTime,
    codec::{self, CodecError},
    identity::RegionName,
    models::{
        digest::Digest,
        manifest::{ModelName, VersionName, VersionSummary},
    },
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One setting of an alias; the latest (time, then region) wins.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AliasEntry {
    /// When it was set.
    pub set: HybridTime,
    /// Where it was set.
    pub origin: RegionName,
    pub model: ModelName,
    /// The alias, for example `production`; the rules of [`VersionName`].
    pub alias: VersionName,
    /// The version that it names.
    pub version: VersionName,
    /// Who set it, by their own account.
    pub by: String,
}

/// A version was deleted: manifests published at or before `deleted` are dead.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Tombstone {
    pub model: ModelName,
    pub version: VersionName,
    /// When it was deleted.
    pub deleted: HybridTime,
    /// Where it was deleted.
    pub origin: RegionName,
    /// Digest of the deleted content, if known. The name stays reserved for that content: a pinned
    /// `name@version` must never mean two things.
    pub content: Option<Digest>,
}

impl Tombstone {
    /// Whether the name may be reused for `content`: only for the content that it named before.
    pub fn allows(&self, content: Digest) -> bool {
        self.content.is_none_or(|deleted| deleted == content)
    }
}

/// Everything that a region holds, as regions exchange it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Catalogue {
    /// Versions with a committed manifest, sorted.
    pub versions: Vec<VersionSummary>,
    /// The winning entry of each alias, sorted by model and alias.
    pub aliases: Vec<AliasEntry>,
    /// Deletions, sorted.
    pub tombstones: Vec<Tombstone>,
}

impl Catalogue {
    /// The versions of models that users published, without internal models.
    pub fn published(&self) -> impl Iterator<Item = &VersionSummary> {
        self.versions
            .iter()
            .filter(|version| !version.model.is_internal())
    }

    /// The versions by name.
    pub fn by_name(&self) -> ByName<'_> {
        self.versions
            .iter()
            .map(|held| ((&held.model, &held.version), held))
            .collect()
    }

    /// Sorts, and removes outranked entries: the normal form, over which digests are computed.
    pub fn normalise(&mut self) {
        // Newest first within a name, so that `dedup` keeps the newest.
        self.tombstones
            .sort_by(|a, b| (&a.model, &a.version, b).cmp(&(&b.model, &b.version, a)));
        self.tombstones
            .dedup_by(|b, a| a.model == b.model && a.version == b.version);
        self.aliases
            .sort_by(|a, b| (&a.model, &a.alias, b).cmp(&(&b.model, &b.alias, a)));
        self.aliases
            .dedup_by(|b, a| a.model == b.model && a.alias == b.alias);

        let deletions = Deletions::of(&self.tombstones);
        self.versions.retain(|version| !deletions.cover(version));
        self.versions.sort();
        self.versions.dedup();
    }

    /// The deletions that still have to be carried out, because their version is still held. Call
    /// this before [`Catalogue::normalise`], which hides them.
    pub fn unfinished_deletions(&self) -> Vec<Tombstone> {
        let held = self.by_name();
        let is_unfinished = |stone: &&Tombstone| {
            held.get(&(&stone.model, &stone.version))
                .is_some_and(|version| version.published <= stone.deleted)
        };

        self.tombstones
            .iter()
            .filter(is_unfinished)
            .cloned()
            .collect()
    }

    /// A hash of the catalogue: equal catalogues have equal digests.
    pub fn digest(&self) -> Result<Digest, CodecError> {
        Ok(Digest::of(&codec::encode_document(self)?))
    }

    /// The version an alias names.
    pub fn alias(&self, model: &ModelName, alias: &str) -> Option<&VersionName> {
        self.aliases
            .iter()
            .find(|entry| &entry.model == model && entry.alias.as_str() == alias)
            .map(|entry| &entry.version)
    }

    /// A version by name.
    pub fn version(&self, model: &ModelName, version: &VersionName) -> Option<&VersionSummary> {
        self.versions
            .iter()
            .find(|held| &held.model == model && &held.version == version)
    }
}

/// A catalogue's versions by name.
pub type ByName<'a> = BTreeMap<(&'a ModelName, &'a VersionName), &'a VersionSummary>;

/// The newest deletion of each name: a region may hold thousands of versions and deletions.
#[derive(Debug, Default)]
pub struct Deletions(BTreeMap<(ModelName, VersionName), HybridTime>);

impl Deletions {
    pub fn of(tombstones: &[Tombstone]) -> Self {
        let mut newest = Self::default();
        for stone in tombstones {
            let deleted = newest
                .0
                .entry((stone.model.clone(), stone.version.clone()))
                .or_default();
            *deleted = stone.deleted.max(*deleted);
        }

        newest
    }

    /// Whether `version` was published at or before the deletion of its name.
    pub fn cover(&self, version: &VersionSummary) -> bool {
        let name = (version.model.clone(), version.version.clone());
        let deleted = self.0.get(&name);
        deleted.is_some_and(|deleted| version.published <= *deleted)
    }
}
