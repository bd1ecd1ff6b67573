//! Finishing what crashes and outages interrupted: deletions, abandoned files, uploads in parts,
//! and versions that lost files.

use crate::models::{ModelStore, object};
use regionmesh_protocol::models::{
    catalogue::Tombstone,
    manifest::{Manifest, ModelName, VersionName, VersionSummary},
};
use regionmesh_runtime::models::ModelError;
use std::collections::{BTreeMap, BTreeSet};

/// How much was cleaned up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cleaned {
    /// Versions that were deleted and still there.
    pub deletions: usize,
    /// Versions whose writer never committed.
    pub abandoned: usize,
    /// Uploads in parts that nobody ended.
    pub uploads: usize,
}

impl ModelStore {
    /// Finishes what crashes and outages interrupted. Safe at any time, and beside other agents
    /// that do the same.
    pub async fn clean(&self, tombstones: &[Tombstone]) -> Result<Cleaned, ModelError> {
        self.forget_leftovers();
        let mut cleaned = Cleaned {
            uploads: self.abort_leftovers().await?,
            ..Cleaned::default()
        };

        for version in self.versions().await? {
            let is_dead = |stone: &&Tombstone| {
                (&stone.model, &stone.version) == (&version.model, &version.version)
                    && version.published <= stone.deleted
            };

            if let Some(stone) = tombstones.iter().find(is_dead) {
                let is_meant = |manifest: &Manifest| manifest.published <= stone.deleted;
                cleaned.deletions += usize::from(
                    self.remove(&version.model, &version.version, is_meant)
                        .await?,
                );
            }
        }

        for (model, version) in self.void_claims().await? {
            cleaned.abandoned += usize::from(self.clean_claimed(&model, &version).await?);
        }
        Ok(cleaned)
    }

    /// Takes up a void claim; whether files of a version that was never committed were removed.
    async fn clean_claimed(
        &self,
        model: &ModelName,
        version: &VersionName,
    ) -> Result<bool, ModelError> {
        let token = format!("cleaning {:016x}", rand::random::<u64>());
        let claim = match self.claim(model, version, &token, None).await {
            Ok(claim) => claim,
            // Another agent took it up again.
            Err(ModelError::Claimed { .. }) => return Ok(false),
            Err(error) => return Err(error),
        };

        let is_abandoned = match self.manifest_bytes(model, version).await {
            Ok(_) => false,
            Err(ModelError::NotFound { .. }) => {
                self.purge(model, version, &BTreeSet::new()).await?;
                tracing::warn!(%model, %version, "removed what a writer left that never committed");
                true
            }
            Err(error) => return Err(error),
        };

        self.release(claim).await;
        Ok(is_abandoned)
    }

    /// Of `versions`, those that files are missing of, or parts of files: one listing for all of
    /// them.
    pub async fn incomplete(
        &self,
        versions: &[VersionSummary],
    ) -> Result<Vec<VersionSummary>, ModelError> {
        let mut stored: BTreeMap<(String, String), u64> = BTreeMap::new();
        for meta in self.list(&object(&["models"])).await? {
            let mut parts = meta
                .location
                .parts()
                .skip(1)
                .map(|part| part.as_ref().to_owned());

            if let (Some(model), Some(version)) = (parts.next(), parts.next()) {
                *stored.entry((model, version)).or_default() += meta.size;
            }
        }

        let is_incomplete = |version: &&VersionSummary| {
            let key = (version.model.to_string(), version.version.to_string());
            stored.get(&key).copied().unwrap_or(0) < version.size
        };

        Ok(versions.iter().filter(is_incomplete).cloned().collect())
    }
}
