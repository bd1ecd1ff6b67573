//! What a fetch need not download: chunks of an earlier attempt or of other versions.

use super::{
    Fetcher,
    error::FetchError,
    pieces::{Piece, blocking, open, put_chunk, scan},
};
use regionmesh_protocol::models::{digest::Digest, manifest::Manifest};
use regionmesh_runtime::models::ModelError;
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Arc,
};

impl Fetcher {
    /// Creates the staging files; returns the chunks that no earlier attempt left there.
    pub(super) async fn prepare(
        &self,
        manifest: &Manifest,
        paths: &[PathBuf],
    ) -> Result<Vec<Piece>, FetchError> {
        let mut missing = Vec::new();
        for (index, (file, path)) in manifest.files.iter().zip(paths).enumerate() {
            let file = file.clone();
            let path = path.clone();
            missing.extend(blocking(&path.clone(), move || scan(index, &file, &path)).await?);
        }

        Ok(missing)
    }

    /// Copies chunks from other local versions; returns the chunks that none of them has.
    pub(super) async fn reuse(
        &self,
        manifest: &Manifest,
        paths: &[PathBuf],
        mut missing: Vec<Piece>,
    ) -> Result<Vec<Piece>, FetchError> {
        if missing.is_empty() {
            return Ok(missing);
        }

        let mut held = self.store.versions().await?;
        // Versions of the same model share the most chunks.
        held.sort_by_key(|version| version.model != manifest.model);
        for version in held {
            let Ok(other) = self.store.manifest(&version.model, &version.version).await else {
                continue;
            };
            let wanted: HashMap<Digest, u32> = missing
                .iter()
                .map(|piece| (piece.digest, piece.length))
                .collect();
            let mut found: HashMap<Digest, (&str, u64)> = HashMap::new();

            for file in &other.files {
                let mut offset = 0;
                for chunk in &file.chunks {
                    if wanted.get(&chunk.digest) == Some(&chunk.length) {
                        found.insert(chunk.digest, (&file.path, offset));
                    }
                    offset += u64::from(chunk.length);
                }
            }

            let mut rest = Vec::new();
            for piece in missing {
                let copied = match found.get(&piece.digest) {
                    Some((path, offset)) => {
                        let range = *offset..offset + u64::from(piece.length);
                        let read = self
                            .store
                            .read_range(&other.model, &other.version, path, range)
                            .await;

                        // An unreadable or damaged chunk is downloaded like any other.
                        match read {
                            Ok(bytes) => copy_chunk(&paths[piece.file], &piece, &bytes).await?,
                            Err(_) => false,
                        }
                    }
                    None => false,
                };

                if copied {
                    self.metrics.reused.inc();
                } else {
                    rest.push(piece);
                }
            }

            missing = rest;
            if missing.is_empty() {
                break;
            }
        }

        Ok(missing)
    }
}

/// Whether the bytes were those of the chunk, and are now in place.
async fn copy_chunk(path: &Path, piece: &Piece, bytes: &[u8]) -> Result<bool, ModelError> {
    let staged = open(path).map_err(|error| ModelError::io("assemble", path, error))?;
    let copied = put_chunk(Arc::new(staged), path, piece, bytes.to_vec()).await?;
    Ok(copied.is_some())
}
