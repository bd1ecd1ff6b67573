//! What users did and were told, and what stores hold.

use super::{
    act::Act,
    commit::decode_manifest,
    objects::Objects,
    upkeep::{ALIASES, DELETIONS, MANIFESTS, newest},
};
use regionmesh_protocol::{
    codec,
    models::{
        catalogue::{AliasEntry, Catalogue, Tombstone},
        manifest::{Manifest, VersionSummary},
    },
};
use std::collections::BTreeSet;

/// What users did, and what they were told.
#[derive(Debug, Default)]
pub(crate) struct ModelLaws {
    pub(super) acts: Vec<BegunAct>,
    pub(super) published: Vec<VersionSummary>,
    pub(super) deleted: Vec<Tombstone>,
    pub(super) named: Vec<AliasEntry>,
    /// Stores, and the manifests there of which files have vanished.
    pub(super) lost: BTreeSet<(usize, String)>,
}

#[derive(Debug)]
pub(super) struct BegunAct {
    pub(super) act: Act,
    pub(super) agent: usize,
    pub(super) begun_ms: u64,
    /// The deletions that its region had recorded before.
    pub(super) deletions: Vec<Tombstone>,
}

impl ModelLaws {
    /// Returns the number of the act.
    pub(super) fn begin(
        &mut self,
        act: Act,
        agent: usize,
        begun_ms: u64,
        deletions: Vec<Tombstone>,
    ) -> usize {
        self.acts.push(BegunAct {
            act,
            agent,
            begun_ms,
            deletions,
        });
        self.acts.len() - 1
    }
}

/// The manifest at this path.
pub(super) fn held(objects: &Objects, path: &str) -> Option<Manifest> {
    decode_manifest(objects.get(path)?).ok()
}

/// The newest deletion of each name.
pub(super) fn deletions(objects: &Objects) -> Vec<Tombstone> {
    let paths = newest(objects.below(DELETIONS).map(|(path, _)| path));
    let bytes = paths.into_iter().filter_map(|path| objects.get(path));
    bytes
        .filter_map(|bytes| codec::decode(bytes).ok())
        .collect()
}

/// Everything in a store, before deletions hide a part of it.
pub(super) fn catalogue(objects: &Objects) -> Catalogue {
    let aliases = newest(objects.below(ALIASES).map(|(path, _)| path));
    let aliases = aliases.into_iter().filter_map(|path| objects.get(path));
    let manifests = objects.below(MANIFESTS).map(|(_, bytes)| bytes);
    Catalogue {
        versions: manifests
            .filter_map(|bytes| decode_manifest(bytes).ok())
            .map(|manifest| manifest.summary())
            .collect(),
        aliases: aliases
            .filter_map(|bytes| codec::decode(bytes).ok())
            .collect(),
        tombstones: deletions(objects),
    }
}

fn is_same_base(one: &VersionSummary, other: &VersionSummary) -> bool {
    one.model == other.model && one.version.base() == other.version.base()
}

/// Whether users deleted a version, by its name or by the one that it got in a conflict.
pub(super) fn is_deleted(version: &VersionSummary, deletions: &[Tombstone]) -> bool {
    deletions.iter().any(|stone| {
        stone.model == version.model
            && stone.version.base() == version.version.base()
            && (stone.version == version.version || stone.content == Some(version.content))
            && version.published <= stone.deleted
    })
}

/// Whether a version is held under its name or one that it got in a conflict.
pub(super) fn is_held(version: &VersionSummary, versions: &[VersionSummary]) -> bool {
    let mut versions = versions.iter();
    versions.any(|held| is_same_base(held, version) && held.content == version.content)
}

/// The manifest of the version that a file or a manifest belongs to.
pub(super) fn manifest_of(path: &str) -> Option<String> {
    let (kind, rest) = path.split_once('/')?;
    match kind {
        "manifests" => Some(path.to_owned()),
        "models" => {
            let (version, _) = rest.rsplit_once('/')?;
            Some(format!("{MANIFESTS}{version}"))
        }
        _ => None,
    }
}
