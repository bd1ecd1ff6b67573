//! Clean-up after crashes and outages: deletions, abandoned files, multipart uploads, and versions
//! that lost files.

use crate::models::{ModelStore, object};
use regionmesh_core::replication::Cleaned;
use regionmesh_protocol::models::{
    catalogue::Tombstone,
    manifest::{Manifest, ModelName, VersionName, VersionSummary},
};
use regionmesh_runtime::models::ModelError;
use std::collections::{BTreeMap, BTreeSet};

impl ModelStore {
    /// Cleans up after crashes and outages. Safe at any time, also while other agents do so.
    pub async fn clean(&self, tombstones: &[Tombstone]) -> Result<Cleaned, ModelError> {
        self.forget_leftovers();
        let mut cleaned = Cleaned {
            uploads: self.abort_leftovers().await?,
            ..Cleaned::default()
        };

        for version in self.versions().await? {
            let is_dead = |tombstone: &&Tombstone| {
                (&tombstone.model, &tombstone.version) == (&version.model, &version.version)
                    && version.published <= tombstone.deleted
            };

            if let Some(tombstone) = tombstones.iter().find(is_dead) {
                let is_meant = |manifest: &Manifest| manifest.published <= tombstone.deleted;
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

    /// Takes over a void claim; returns whether files of an uncommitted version were removed.
    async fn clean_claimed(
        &self,
        model: &ModelName,
        version: &VersionName,
    ) -> Result<bool, ModelError> {
        let token = format!("cleaning {:016x}", rand::random::<u64>());
        let claim = match self.claim(model, version, &token, None).await {
            Ok(claim) => claim,
            // Another agent took the claim over.
            Err(ModelError::Claimed { .. }) => return Ok(false),
            Err(error) => return Err(error),
        };

        let is_abandoned = match self.manifest_bytes(model, version).await {
            Ok(_) => false,
            Err(ModelError::NotFound { .. }) => {
                self.purge(model, version, &BTreeSet::new()).await?;
                tracing::warn!(%model, %version, "removed the files of an uncommitted version");
                true
            }
            Err(error) => return Err(error),
        };

        self.release(claim).await;
        Ok(is_abandoned)
    }

    /// The `versions` with missing or truncated files, from a single listing.
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
