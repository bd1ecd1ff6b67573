//! Changes of a region's versions: commit, remove and rename.
//!
//! Each holds the version's claim ([`super::claims`]) from its first read of the manifest to its
//! last write, so that files of two contents are never mixed under one name, and a reader that
//! starts from manifests sees all of a version or nothing.

use crate::{
    OpenStore,
    claims::Claim,
    fault::model_error,
    models::{ModelStore, decode_manifest, file_path, folder, manifest_path},
    opened::CALL_TIMEOUT,
    staging,
};
use futures::StreamExt;
use object_store::{ObjectStoreExt, path::Path as ObjectPath};
use regionmesh_protocol::{
    codec,
    models::manifest::{Manifest, ManifestFile, ModelName, VersionName, VersionSummary},
};
use regionmesh_runtime::models::ModelError;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

/// Files stored in parallel: most of the time is spent waiting for a disk or a store.
const FILES_AT_ONCE: usize = 8;

/// Where a version's files come from.
enum Source<'a> {
    /// Local files, one per file of the manifest, in order.
    Staged(&'a [PathBuf]),
    /// Another version in the same store.
    Version(&'a VersionSummary),
}

/// Where one file comes from.
enum Origin {
    Staged(PathBuf),
    Object(ObjectPath),
}

async fn place_one(store: OpenStore, origin: Origin, target: ObjectPath) -> Result<(), ModelError> {
    match origin {
        Origin::Staged(staged) => staging::place(&store, &staged, &target).await,
        Origin::Object(source) => store
            .objects
            .copy(&source, &target)
            .await
            .map_err(|error| model_error("copy", &source, &error)),
    }
}

impl ModelStore {
    /// Makes a version visible. Its verified files are in `staged`, one path per file of the
    /// manifest, in order.
    ///
    /// Committing the same content again is idempotent and restores lost files. The manifest is put
    /// last, and only if absent.
    pub async fn commit(
        &self,
        manifest: &Manifest,
        staged: &[PathBuf],
    ) -> Result<VersionSummary, ModelError> {
        if staged.len() != manifest.files.len() {
            let why = format!(
                "it has {} files, {} were staged",
                manifest.files.len(),
                staged.len()
            );

            return Err(refused(manifest, why));
        }

        let _write = self.changes.write();
        self.commit_from(manifest, Source::Staged(staged)).await
    }

    async fn commit_from(
        &self,
        manifest: &Manifest,
        source: Source<'_>,
    ) -> Result<VersionSummary, ModelError> {
        manifest
            .check()
            .map_err(|error| refused(manifest, error.to_string()))?;

        let bytes = codec::encode_document(manifest)
            .map_err(|error| refused(manifest, error.to_string()))?;
        // Checked without a claim first, so that a refusal does not wait for another writer.
        if let Some(existing) = self.existing_whole(manifest).await? {
            return Ok(existing);
        }

        let content = manifest.content().to_string();
        let mut claim = self
            .claim(&manifest.model, &manifest.version, &content, None)
            .await?;
        let committed = self
            .commit_claimed(manifest, source, bytes, &mut claim)
            .await;

        if committed.is_err() {
            self.note_leftovers();
        }

        match &committed {
            // The claim and the files now belong to another writer.
            Err(ModelError::Claimed { .. }) => {}
            Err(_) => match self.existing(manifest).await {
                Ok(None) => {
                    // Frees the space, in case the disk is full. What can't be removed stays
                    // claimed, and is cleaned up later.
                    if claim.is_inherited || self.remove_files(manifest).await.is_err() {
                        return committed;
                    }
                    self.release(claim).await;
                }
                _ => self.release(claim).await,
            },
            Ok(_) => self.release(claim).await,
        }

        committed
    }

    async fn commit_claimed(
        &self,
        manifest: &Manifest,
        source: Source<'_>,
        bytes: Vec<u8>,
        claim: &mut Claim,
    ) -> Result<VersionSummary, ModelError> {
        // Again, since another writer may have committed before we had the claim.
        if let Some(existing) = self.existing_whole(manifest).await? {
            return Ok(existing);
        }

        if claim.is_inherited {
            let path =
                |file: &ManifestFile| file_path(&manifest.model, &manifest.version, &file.path);
            let wanted = manifest.files.iter().map(path).collect();
            self.purge(&manifest.model, &manifest.version, &wanted)
                .await?;
        }

        self.holding(claim, self.place(manifest, &source)).await?;
        self.check_files_stored(manifest).await?;
        self.confirm(claim).await?;

        let path = manifest_path(&manifest.model, &manifest.version);
        let stored = self.create(&path, bytes).await?;
        let stored = decode_manifest(&stored).map_err(|why| refused(manifest, why))?;

        same_content(manifest, &stored)
    }

    /// Checks that the store has every file at its full size.
    async fn check_files_stored(&self, manifest: &Manifest) -> Result<(), ModelError> {
        let listed = self
            .list(&folder(&manifest.model, &manifest.version))
            .await?;
        let sizes: BTreeMap<_, _> = listed
            .into_iter()
            .map(|meta| (meta.location, meta.size))
            .collect();

        for file in &manifest.files {
            let path = file_path(&manifest.model, &manifest.version, &file.path);
            if sizes.get(&path) != Some(&file.size) {
                return Err(ModelError::NotStored {
                    path: path.to_string(),
                });
            }
        }

        Ok(())
    }

    async fn place(&self, manifest: &Manifest, source: &Source<'_>) -> Result<(), ModelError> {
        let mut steps = Vec::with_capacity(manifest.files.len());
        for (index, file) in manifest.files.iter().enumerate() {
            let target = file_path(&manifest.model, &manifest.version, &file.path);
            steps.push(match source {
                Source::Staged(staged) => (Origin::Staged(staged[index].clone()), target),
                Source::Version(from) => (
                    Origin::Object(file_path(&from.model, &from.version, &file.path)),
                    target,
                ),
            });
        }

        let targets: Vec<_> = steps.iter().map(|(_, target)| target.clone()).collect();
        let placed = futures::stream::iter(steps)
            .map(|(origin, target)| place_one(self.store.clone(), origin, target))
            .buffer_unordered(FILES_AT_ONCE);

        // All must end before the first error is returned: a write in progress could put its file
        // after the clean-up.
        placed
            .collect::<Vec<_>>()
            .await
            .into_iter()
            .collect::<Result<(), _>>()?;

        staging::sync_folders(&self.store, targets.into_iter()).await
    }

    /// The committed version, but none if its files are missing, so that a further commit restores
    /// them.
    async fn existing_whole(
        &self,
        manifest: &Manifest,
    ) -> Result<Option<VersionSummary>, ModelError> {
        let Some(existing) = self.existing(manifest).await? else {
            return Ok(None);
        };
        match self.check_files_stored(manifest).await {
            Ok(()) => Ok(Some(existing)),
            Err(ModelError::NotStored { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The committed version of that name if its content is the manifest's; an error for other
    /// content.
    async fn existing(&self, manifest: &Manifest) -> Result<Option<VersionSummary>, ModelError> {
        match self.manifest(&manifest.model, &manifest.version).await {
            Ok(existing) => same_content(manifest, &existing).map(Some),
            Err(ModelError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Removes a version if `is_meant` accepts it, and returns whether there was one. The manifest
    /// goes first, so that no reader starts, then the files.
    pub(crate) async fn remove(
        &self,
        model: &ModelName,
        version: &VersionName,
        is_meant: impl Fn(&Manifest) -> bool,
    ) -> Result<bool, ModelError> {
        let _write = self.changes.write();
        self.remove_version(model, version, is_meant).await
    }

    pub(crate) async fn remove_version(
        &self,
        model: &ModelName,
        version: &VersionName,
        is_meant: impl Fn(&Manifest) -> bool,
    ) -> Result<bool, ModelError> {
        let existing = match self.manifest(model, version).await {
            Ok(manifest) if is_meant(&manifest) => manifest,
            Ok(_) | Err(ModelError::NotFound { .. }) => return Ok(false),
            Err(error) => return Err(error),
        };
        let token = format!("removing {:016x}", rand::random::<u64>());
        let held = existing.content().to_string();

        // Also blocks writers of the same content.
        let claim = self.claim(model, version, &token, Some(&held)).await?;
        let removed = match self.manifest(model, version).await {
            Ok(manifest) if is_meant(&manifest) => {
                self.remove_claimed(&manifest).await.map(|()| true)
            }
            Ok(_) | Err(ModelError::NotFound { .. }) => Ok(false),
            Err(error) => Err(error),
        };

        if removed.is_ok() {
            self.release(claim).await;
        }
        removed
    }

    async fn remove_claimed(&self, manifest: &Manifest) -> Result<(), ModelError> {
        self.delete_object(&manifest_path(&manifest.model, &manifest.version))
            .await?;
        self.remove_files(manifest).await
    }

    /// Removes the files of a manifest, and no other files in its folder.
    async fn remove_files(&self, manifest: &Manifest) -> Result<(), ModelError> {
        for file in &manifest.files {
            self.delete_object(&file_path(&manifest.model, &manifest.version, &file.path))
                .await?;
        }

        self.remove_empty_folders(&manifest.model, &manifest.version)
            .await;
        Ok(())
    }

    /// Removes every file in the folder of a version except `wanted`.
    pub(crate) async fn purge(
        &self,
        model: &ModelName,
        version: &VersionName,
        wanted: &BTreeSet<ObjectPath>,
    ) -> Result<(), ModelError> {
        for meta in self.list(&folder(model, version)).await? {
            if !wanted.contains(&meta.location) {
                self.delete_object(&meta.location).await?;
            }
        }

        self.remove_empty_folders(model, version).await;
        Ok(())
    }

    /// Object stores ignore empty folders, but model servers don't.
    async fn remove_empty_folders(&self, model: &ModelName, version: &VersionName) {
        let Some(root) = &self.store.root else { return };
        let path = root
            .join("models")
            .join(model.as_str())
            .join(version.as_str());
        let removing = tokio::task::spawn_blocking(move || {
            remove_empty(&path);
            path.parent().map(std::fs::remove_dir)
        });
        let _ = tokio::time::timeout(CALL_TIMEOUT, removing).await;
    }

    /// Renames a version; content, publisher and time stay.
    pub async fn rename(&self, from: &VersionSummary, to: &VersionName) -> Result<(), ModelError> {
        let _write = self.changes.write();
        let is_meant = |manifest: &Manifest| manifest.summary() == *from;

        match self.manifest(&from.model, &from.version).await {
            Ok(manifest) if is_meant(&manifest) => {
                let manifest = Manifest {
                    version: to.clone(),
                    ..manifest
                };

                self.commit_from(&manifest, Source::Version(from)).await?;
                self.remove_version(&from.model, &from.version, is_meant)
                    .await
                    .map(drop)
            }
            // Another agent of the region renamed it first.
            Ok(_) | Err(ModelError::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// The summary of `existing` if its content is the manifest's.
fn same_content(manifest: &Manifest, existing: &Manifest) -> Result<VersionSummary, ModelError> {
    if existing.content() == manifest.content() {
        return Ok(existing.summary());
    }
    Err(ModelError::Exists {
        model: manifest.model.clone(),
        version: manifest.version.clone(),
        theirs: existing.content().to_string(),
        ours: manifest.content().to_string(),
    })
}

fn refused(manifest: &Manifest, why: String) -> ModelError {
    ModelError::Manifest {
        model: manifest.model.clone(),
        version: manifest.version.clone(),
        why,
    }
}

/// Removes a folder and its subfolders, as far as they are empty.
fn remove_empty(path: &Path) {
    for entry in std::fs::read_dir(path).into_iter().flatten().flatten() {
        remove_empty(&entry.path());
    }
    let _ = std::fs::remove_dir(path);
}
