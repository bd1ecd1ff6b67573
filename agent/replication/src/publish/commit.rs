//! Committing an upload: the checks against other versions of its name, and the commit itself.

use super::{Publisher, REMOVAL_TIMEOUT, error::PublishError, uploads::Upload};
use regionmesh_core::replication::{conflict_name, name_winner};
use regionmesh_protocol::{
    clock::HybridTime,
    models::manifest::{Manifest, ManifestError, VersionSummary},
};
use regionmesh_runtime::models::ModelError;

impl Publisher {
    /// Makes the version visible. Ends the upload, also on failure.
    pub async fn commit(&self, id: &str) -> Result<VersionSummary, PublishError> {
        let upload = self
            .uploads
            .lock()
            .remove(id)
            .ok_or_else(|| PublishError::NoUpload(id.into()))?;
        let committed = self.commit_upload(&upload).await;
        let _ =
            tokio::time::timeout(REMOVAL_TIMEOUT, tokio::fs::remove_dir_all(&upload.folder)).await;

        committed
    }

    async fn commit_upload(&self, upload: &Upload) -> Result<VersionSummary, PublishError> {
        if let Some((path, _)) = upload.files.iter().find(|(_, (_, file))| file.is_none()) {
            return Err(PublishError::Unfinished(path.clone()));
        }

        let complete = upload
            .files
            .values()
            .filter_map(|(staged, file)| Some((staged.clone(), file.clone()?)));
        let (staged, files): (Vec<_>, Vec<_>) = complete.unzip();
        let mut manifest = Manifest {
            model: upload.model.clone(),
            version: upload.version.clone(),
            files,
            origin: self.region.clone(),
            publisher: upload.publisher.clone(),
            published: HybridTime::default(),
            metadata: upload.metadata.clone(),
        };

        manifest.check()?;
        if manifest.size() == 0 {
            return Err(ManifestError::Empty.into());
        }
        self.check_elsewhere(&manifest)?;
        self.store.check_available().await?;
        self.check_not_deleted(&manifest).await?;

        let announced = self.publications.announce(&mut manifest, &self.clock);
        let summary = self.store.commit(&manifest, &staged).await?;
        let conflicting = self
            .publications
            .find_elsewhere(&self.region, &summary)
            .await;

        drop(announced);
        match conflicting.filter(|conflicting| name_winner(conflicting, &summary) == conflicting) {
            Some(conflicting) => Err(PublishError::NameTaken {
                stored_as: conflict_name(&summary).unwrap_or_else(|_| summary.version.clone()),
                model: summary.model,
                version: summary.version,
                region: conflicting.origin,
            }),
            None => Ok(summary),
        }
    }

    /// The version of that name with different content that this region holds or is about to
    /// commit. A publisher in another region waits for the answer.
    pub async fn conflicting_version(
        &self,
        published: &VersionSummary,
    ) -> Result<Option<VersionSummary>, ModelError> {
        // First, so that later announcements get later timestamps than the version in question.
        self.clock.advance_to(published.published);
        if let Some(announced) = self.publications.announced(published) {
            return Ok(Some(announced));
        }

        match self
            .store
            .manifest(&published.model, &published.version)
            .await
        {
            Ok(manifest) => {
                Ok(Some(manifest.summary()).filter(|held| held.content != published.content))
            }
            Err(ModelError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A deleted version's name can only be used again for the same content.
    async fn check_not_deleted(&self, manifest: &Manifest) -> Result<(), PublishError> {
        let deletion = self
            .store
            .deletion_of(&manifest.model, &manifest.version)
            .await?;

        match deletion.filter(|tombstone| !tombstone.allows(manifest.content())) {
            Some(tombstone) => Err(PublishError::NameDeleted {
                model: tombstone.model,
                version: tombstone.version,
            }),
            None => Ok(()),
        }
    }

    /// Refuses a name that a live peer is known to hold with different content: it would only
    /// become a conflict.
    fn check_elsewhere(&self, manifest: &Manifest) -> Result<(), PublishError> {
        let content = manifest.content();
        for (agent, view) in &self.board.borrow().agents {
            let Some(holdings) = view.holdings() else {
                continue;
            };
            let differs = holdings.versions.iter().any(|(model, version, held)| {
                *model == manifest.model && *version == manifest.version && *held != content
            });

            if agent.region != self.region && differs {
                return Err(PublishError::ExistsElsewhere {
                    model: manifest.model.clone(),
                    version: manifest.version.clone(),
                    region: agent.region.clone(),
                });
            }
        }

        Ok(())
    }
}
