//! Verifying a stored version against its manifest.

use crate::{
    fault::model_error,
    models::{ModelStore, file_path},
};
use bytes::Bytes;
use object_store::{Error as ObjectError, ObjectStoreExt};
use regionmesh_protocol::models::{
    chunking::Chunk,
    digest::Digest,
    manifest::{Manifest, ManifestFile, ModelName, VersionName, VersionSummary},
};
use regionmesh_runtime::models::ModelError;
use tokio::task::JoinError;

/// Bytes read at a time.
const BLOCK: u64 = 8 << 20;

impl ModelStore {
    /// Reads every byte of a version and compares it with the manifest.
    pub async fn verify(
        &self,
        model: &ModelName,
        version: &VersionName,
    ) -> Result<VersionSummary, ModelError> {
        let manifest = self.manifest(model, version).await?;
        for file in &manifest.files {
            self.verify_file(&manifest, file).await?;
        }
        Ok(manifest.summary())
    }

    async fn verify_file(
        &self,
        manifest: &Manifest,
        file: &ManifestFile,
    ) -> Result<(), ModelError> {
        self.verify_size(manifest, file).await?;

        let mut whole = blake3::Hasher::new();
        let mut offset = 0u64;
        let mut index = 0;

        while index < file.chunks.len() {
            let chunks = next_block(&file.chunks[index..]);
            let length: u64 = chunks.iter().map(|chunk| u64::from(chunk.length)).sum();
            let bytes = self
                .read_range(
                    &manifest.model,
                    &manifest.version,
                    &file.path,
                    offset..offset + length,
                )
                .await?;

            let (bad, hasher) = hash_block(bytes, chunks.to_vec(), whole)
                .await
                .map_err(|error| damaged(manifest, format!("verification failed: {error}")))?;

            whole = hasher;
            if let Some(bad) = bad {
                return Err(damaged(
                    manifest,
                    format!(
                        "chunk {} of file {} has wrong bytes",
                        index + bad,
                        file.path
                    ),
                ));
            }

            index += chunks.len();
            offset += length;
        }

        if *whole.finalize().as_bytes() != file.digest.0 {
            return Err(damaged(
                manifest,
                format!("the digest of file {} is wrong", file.path),
            ));
        }

        Ok(())
    }

    async fn verify_size(
        &self,
        manifest: &Manifest,
        file: &ManifestFile,
    ) -> Result<(), ModelError> {
        let path = file_path(&manifest.model, &manifest.version, &file.path);
        let meta = match self.store.objects.head(&path).await {
            Ok(meta) => meta,
            Err(ObjectError::NotFound { .. }) => {
                return Err(damaged(manifest, format!("file {} is missing", file.path)));
            }
            Err(error) => return Err(model_error("read", &path, &error)),
        };

        if meta.size != file.size {
            return Err(damaged(
                manifest,
                format!(
                    "file {} has {} bytes, the manifest says {}",
                    file.path, meta.size, file.size
                ),
            ));
        }

        Ok(())
    }
}

fn damaged(manifest: &Manifest, what: String) -> ModelError {
    ModelError::Damaged {
        model: manifest.model.clone(),
        version: manifest.version.clone(),
        what,
    }
}

/// The first chunks, up to [`BLOCK`] bytes; at least one.
fn next_block(chunks: &[Chunk]) -> &[Chunk] {
    let mut length = 0;
    let count = chunks
        .iter()
        .take_while(|chunk| {
            let is_first = length == 0;
            length += u64::from(chunk.length);
            is_first || length <= BLOCK
        })
        .count();

    &chunks[..count]
}

/// The index of the first chunk with wrong bytes, and the hash of the file so far.
async fn hash_block(
    bytes: Bytes,
    chunks: Vec<Chunk>,
    mut whole: blake3::Hasher,
) -> Result<(Option<usize>, blake3::Hasher), JoinError> {
    tokio::task::spawn_blocking(move || {
        let mut rest = &bytes[..];
        let bad = chunks.iter().position(|chunk| {
            let (chunk_bytes, after) = rest.split_at(rest.len().min(chunk.length as usize));
            rest = after;
            Digest::of(chunk_bytes) != chunk.digest
        });

        whole.update(&bytes);
        (bad, whole)
    })
    .await
}
