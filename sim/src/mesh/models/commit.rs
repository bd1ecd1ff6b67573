//! Changes of a region's versions by the rules of regionmesh-store: a version's files first, its
//! manifest last and only if absent; the manifest goes first when a version goes.

use super::{
    claims::Claim,
    context::{Context, WorkError, Worked},
    objects::Bytes,
};
use regionmesh_protocol::{
    codec,
    models::manifest::{Manifest, ModelName, VersionName, VersionSummary},
};
use std::collections::BTreeMap;

/// Where a version's files come from.
#[derive(Clone, Copy)]
pub(super) enum Source<'a> {
    /// One for each file of the manifest, in order.
    Staged(&'a [Bytes]),
    /// Another version in the same store.
    Version(&'a VersionSummary),
}

pub(crate) fn manifest_path(model: &ModelName, version: &VersionName) -> String {
    format!("manifests/{model}/{version}")
}

pub(crate) fn folder(model: &ModelName, version: &VersionName) -> String {
    format!("models/{model}/{version}/")
}

pub(crate) fn file_path(model: &ModelName, version: &VersionName, path: &str) -> String {
    format!("models/{model}/{version}/{path}")
}

pub(crate) fn decode_manifest(bytes: &[u8]) -> Worked<Manifest> {
    let unreadable = |error: String| WorkError::Unreadable(error);
    let manifest: Manifest =
        codec::decode_document(bytes).map_err(|error| unreadable(error.to_string()))?;
    manifest
        .check()
        .map_err(|error| unreadable(error.to_string()))?;
    Ok(manifest)
}

/// The summary of `existing` if its content is the manifest's.
fn same_content(manifest: &Manifest, existing: &Manifest) -> Worked<VersionSummary> {
    match existing.content() == manifest.content() {
        true => Ok(existing.summary()),
        false => Err(WorkError::Exists),
    }
}

impl Context {
    pub(super) async fn manifest(
        &self,
        model: &ModelName,
        version: &VersionName,
    ) -> Worked<Manifest> {
        let stored = self.get(&manifest_path(model, version)).await?;
        decode_manifest(&stored.ok_or(WorkError::NotFound)?)
    }

    /// Makes a version visible.
    pub(super) async fn commit(
        &self,
        manifest: &Manifest,
        source: Source<'_>,
    ) -> Worked<VersionSummary> {
        if let Some(existing) = self.existing_whole(manifest).await? {
            return Ok(existing);
        }

        let content = manifest.content().to_string();
        let claim = self
            .claim(&manifest.model, &manifest.version, &content, None)
            .await?;
        let committed = self.commit_claimed(manifest, source, &claim).await;
        if committed.is_err() {
            self.with(|it| it.has_leftovers = true);
        }

        match &committed {
            // The claim and the files now belong to another writer.
            Err(WorkError::Claimed) => {}
            Err(_) => match self.existing(manifest).await {
                Ok(None) => {
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
        claim: &Claim,
    ) -> Worked<VersionSummary> {
        let bytes = codec::encode_document(manifest)
            .map_err(|error| WorkError::Unreadable(error.to_string()))?;
        if let Some(existing) = self.existing_whole(manifest).await? {
            return Ok(existing);
        }
        if claim.is_inherited {
            let path = |path: &str| file_path(&manifest.model, &manifest.version, path);
            let wanted: Vec<String> = manifest.files.iter().map(|file| path(&file.path)).collect();
            self.purge(&manifest.model, &manifest.version, &wanted)
                .await?;
        }

        self.place(manifest, source).await?;
        self.check_files_stored(manifest).await?;
        self.confirm(claim).await?;

        let path = manifest_path(&manifest.model, &manifest.version);
        let stored = self.create(path, bytes.into()).await?;
        same_content(manifest, &decode_manifest(&stored)?)
    }

    async fn place(&self, manifest: &Manifest, source: Source<'_>) -> Worked<()> {
        for (index, file) in manifest.files.iter().enumerate() {
            let to = file_path(&manifest.model, &manifest.version, &file.path);
            match source {
                Source::Staged(staged) => self.put(to, staged[index].clone()).await?,
                Source::Version(from) => {
                    let from = file_path(&from.model, &from.version, &file.path);
                    self.copy(from, to).await?;
                }
            }
        }
        Ok(())
    }

    /// Checks that the store has every file at its full size.
    async fn check_files_stored(&self, manifest: &Manifest) -> Worked<()> {
        let folder = folder(&manifest.model, &manifest.version);
        let (listed, _) = self.list(&folder).await?;
        let sizes: BTreeMap<String, u64> = listed
            .into_iter()
            .map(|listed| (listed.path, listed.size))
            .collect();

        for file in &manifest.files {
            let path = file_path(&manifest.model, &manifest.version, &file.path);
            if sizes.get(&path) != Some(&file.size) {
                return Err(WorkError::NotStored(path));
            }
        }
        Ok(())
    }

    /// The committed version, but none if its files are missing.
    async fn existing_whole(&self, manifest: &Manifest) -> Worked<Option<VersionSummary>> {
        let Some(existing) = self.existing(manifest).await? else {
            return Ok(None);
        };
        match self.check_files_stored(manifest).await {
            Ok(()) => Ok(Some(existing)),
            Err(WorkError::NotStored(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The committed version of that name if its content is the manifest's.
    async fn existing(&self, manifest: &Manifest) -> Worked<Option<VersionSummary>> {
        match self.manifest(&manifest.model, &manifest.version).await {
            Ok(existing) => same_content(manifest, &existing).map(Some),
            Err(WorkError::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Removes a version if `is_meant` accepts it, and returns whether there was one.
    pub(super) async fn remove_version(
        &self,
        model: &ModelName,
        version: &VersionName,
        is_meant: impl Fn(&Manifest) -> bool,
    ) -> Worked<bool> {
        let existing = match self.manifest(model, version).await {
            Ok(manifest) if is_meant(&manifest) => manifest,
            Ok(_) | Err(WorkError::NotFound) => return Ok(false),
            Err(error) => return Err(error),
        };
        let token = self.token("removing");
        let held = existing.content().to_string();

        // Also blocks writers of the same content.
        let claim = self.claim(model, version, &token, Some(&held)).await?;
        let removed = match self.manifest(model, version).await {
            Ok(manifest) if is_meant(&manifest) => {
                self.remove_claimed(&manifest).await.map(|()| true)
            }
            Ok(_) | Err(WorkError::NotFound) => Ok(false),
            Err(error) => Err(error),
        };

        if removed.is_ok() {
            self.release(claim).await;
        }
        removed
    }

    async fn remove_claimed(&self, manifest: &Manifest) -> Worked<()> {
        let path = manifest_path(&manifest.model, &manifest.version);
        self.delete(&path).await?;
        self.remove_files(manifest).await
    }

    async fn remove_files(&self, manifest: &Manifest) -> Worked<()> {
        for file in &manifest.files {
            let path = file_path(&manifest.model, &manifest.version, &file.path);
            self.delete(&path).await?;
        }
        Ok(())
    }

    /// Removes every file in the folder of a version except `wanted`.
    pub(super) async fn purge(
        &self,
        model: &ModelName,
        version: &VersionName,
        wanted: &[String],
    ) -> Worked<()> {
        let (listed, _) = self.list(&folder(model, version)).await?;
        for found in listed {
            if !wanted.contains(&found.path) {
                self.delete(&found.path).await?;
            }
        }
        Ok(())
    }

    /// Renames a version; content, publisher and time stay.
    pub(super) async fn rename(&self, from: &VersionSummary, to: &VersionName) -> Worked<()> {
        let _write = self.write();
        let is_meant = |manifest: &Manifest| manifest.summary() == *from;
        match self.manifest(&from.model, &from.version).await {
            Ok(manifest) if is_meant(&manifest) => {
                let manifest = Manifest {
                    version: to.clone(),
                    ..manifest
                };
                self.commit(&manifest, Source::Version(from)).await?;
                self.remove_version(&from.model, &from.version, is_meant)
                    .await
                    .map(drop)
            }
            // Another agent of the region renamed it first.
            Ok(_) | Err(WorkError::NotFound) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
