//! What holds when two regions said different things: versions, aliases, deletions.

use crate::{
    clock::HybridTime,
    identity::RegionName,
    manifest::{ModelName, VersionName, VersionSummary},
};
use serde::{Deserialize, Serialize};

/// One setting of an alias; the latest (time, then region) wins.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AliasEntry {
    /// When it was set.
    pub set: HybridTime,
    /// Where it was set.
    pub origin: RegionName,
    /// The model.
    pub model: ModelName,
    /// The alias, for example `production`; the rules of [`VersionName`].
    pub alias: VersionName,
    /// The version that it names.
    pub version: VersionName,
    /// Who set it, as they said.
    pub by: String,
}

/// A version was deleted: manifests published at or before `deleted` are dead.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Tombstone {
    /// The model.
    pub model: ModelName,
    /// The version.
    pub version: VersionName,
    /// When it was deleted.
    pub deleted: HybridTime,
    /// Where it was deleted.
    pub origin: RegionName,
}

/// All that a region holds, as one region tells another.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Catalogue {
    /// Versions with a committed manifest, sorted.
    pub versions: Vec<VersionSummary>,
    /// The winning entry of each alias, sorted by model and alias.
    pub aliases: Vec<AliasEntry>,
    /// Deletions, sorted.
    pub tombstones: Vec<Tombstone>,
}
