//! Models, versions and manifests: what a version consists of, down to its chunks.

use crate::{
    clock::HybridTime,
    identity::{IdentityError, RegionName, name_type},
    models::{
        chunking::{CHUNK_MAX, CHUNK_MIN, Chunk},
        digest::Digest,
    },
};
use serde::{Deserialize, Serialize};

name_type!(
    /// A model's name: 1 to 128 characters of `A-Za-z0-9._-`, beginning with a letter or digit.
    ModelName, "model", check_model
);
name_type!(
    /// A version: 1 to 64 characters of `A-Za-z0-9._-`, beginning with a letter or digit; may end
    /// in `+conflict.<region>` or `+conflict.<region>.<8 hexadecimal digits>`, which only conflict
    /// resolution writes.
    VersionName, "version", check_version
);

/// Prefix of the names of the mesh's own data, which is replicated like models, but neither served
/// nor listed.
const INTERNAL: &str = "regionmesh.";

impl ModelName {
    /// Whether the mesh keeps its own data under this name.
    pub fn is_internal(&self) -> bool {
        self.as_str().starts_with(INTERNAL)
    }
}

const CONFLICT: &str = "+conflict.";

impl VersionName {
    /// Whether conflict resolution gave this name.
    pub fn is_conflict(&self) -> bool {
        self.as_str().contains(CONFLICT)
    }

    /// The name as published.
    pub fn base(&self) -> &str {
        self.as_str()
            .split_once(CONFLICT)
            .map_or(self.as_str(), |(base, _)| base)
    }
}

/// Longest model name, bytes.
pub const MODEL_NAME_MAX: usize = 128;
/// Longest version name without a conflict suffix, bytes.
pub const VERSION_NAME_MAX: usize = 64;

fn check_word(
    kind: &'static str,
    name: &str,
    limit: usize,
    length: &'static str,
) -> Result<(), IdentityError> {
    let fail = |why| {
        Err(IdentityError::Name {
            kind,
            name: name.chars().take(80).collect(),
            why,
        })
    };

    if name.is_empty() || name.len() > limit {
        return fail(length);
    }

    if !name
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
    {
        return fail("only A-Z, a-z, 0-9, '.', '_' and '-' are allowed");
    }

    if !name.as_bytes()[0].is_ascii_alphanumeric() {
        return fail("must begin with a letter or digit");
    }
    Ok(())
}

fn check_model(kind: &'static str, name: &str) -> Result<(), IdentityError> {
    check_word(kind, name, MODEL_NAME_MAX, "must have 1 to 128 characters")
}

fn check_version(kind: &'static str, name: &str) -> Result<(), IdentityError> {
    let (base, suffix) = name
        .split_once(CONFLICT)
        .map_or((name, None), |(base, suffix)| (base, Some(suffix)));
    if let Some(suffix) = suffix {
        let (region, content) = suffix
            .split_once('.')
            .map_or((suffix, None), |(region, content)| (region, Some(content)));
        RegionName::new(region)?;

        let is_hex = |text: &str| {
            text.len() == 8 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        };
        if !content.is_none_or(is_hex) {
            let name = name.chars().take(80).collect();
            let why = "a conflict's content must have 8 hexadecimal digits";
            return Err(IdentityError::Name { kind, name, why });
        }
    }

    check_word(kind, base, VERSION_NAME_MAX, "must have 1 to 64 characters")
}

/// One file of a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestFile {
    /// Path below the version's folder, `/`-separated, never absolute, never with `..`.
    pub path: String,
    /// Size, bytes; the sum of the chunks' lengths.
    pub size: u64,
    /// BLAKE3 of the whole file.
    pub digest: Digest,
    /// The chunks, in order.
    pub chunks: Vec<Chunk>,
}

/// The content and origin of one version of a model. Immutable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    pub model: ModelName,
    pub version: VersionName,
    /// The files, sorted by path.
    pub files: Vec<ManifestFile>,
    /// The region where it was published.
    pub origin: RegionName,
    /// Who published it, by their own account.
    pub publisher: String,
    /// When it was published.
    pub published: HybridTime,
    /// Free key/value pairs, sorted by key.
    pub metadata: Vec<(String, String)>,
}

/// Summary of a manifest, as listed in a catalogue.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct VersionSummary {
    pub model: ModelName,
    pub version: VersionName,
    /// Digest of the files (paths and contents): the version's identity.
    pub content: Digest,
    /// Sum of the files' sizes, bytes.
    pub size: u64,
    /// When it was published.
    pub published: HybridTime,
    /// Where it was published.
    pub origin: RegionName,
}

/// Longest path of a file in a version, bytes.
pub const FILE_PATH_MAX: usize = 512;
/// Longest path segment, bytes: the limit that every file system and store supports.
pub(crate) const PATH_PART_MAX: usize = 255;
/// Most files of a version.
pub const FILES_MAX: usize = 10_000;
/// Largest version, bytes: 1 TiB.
pub const VERSION_SIZE_MAX: u64 = 1 << 40;
/// Longest publisher, metadata key or metadata value, characters.
pub const TEXT_MAX: usize = 1_024;
/// Most metadata pairs.
pub const METADATA_MAX: usize = 64;

/// Why a manifest, or a part of one, is invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// A path that would leave the version's folder, or that some store does not support.
    #[error("file path {path:?} is not allowed: {why}")]
    Path {
        /// The path, cut to 80 characters.
        path: String,
        /// The rule that it breaks.
        why: &'static str,
    },
    /// Two files of the same path, or a path below another file, or files out of order.
    #[error("file {0:?} is listed twice, out of order, or below another file")]
    Order(String),
    /// No files, or only empty ones.
    #[error("a version needs at least one file that is not empty")]
    Empty,
    /// A limit is broken.
    #[error("{what}: {found}, the limit is {limit}")]
    Limit {
        /// What is too many, too long or too large.
        what: &'static str,
        /// How much there is.
        found: u64,
        /// How much there may be.
        limit: u64,
    },
    /// A file's chunks don't make up the file.
    #[error("file {path:?}: {why}")]
    Chunks {
        path: String,
        /// What does not fit.
        why: String,
    },
}

/// Checks the path of a file within a version: relative, plain, and safe in every store and file
/// system.
pub fn check_file_path(path: &str) -> Result<(), ManifestError> {
    let fail = |why| {
        Err(ManifestError::Path {
            path: path.chars().take(80).collect(),
            why,
        })
    };

    if path.is_empty() || path.len() > FILE_PATH_MAX {
        return fail("must have 1 to 512 characters");
    }

    if !path
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b"/._-+ @=,()!&'$;:".contains(&b))
    {
        return fail(
            "only letters, digits, spaces and / . _ - + @ = , ( ) ! & ' $ ; : are allowed; rename \
             the file",
        );
    }

    for part in path.split('/') {
        if part.is_empty() || part == "." || part == ".." {
            return fail("must be relative, without empty, '.' or '..' parts");
        }
        if part.len() > PATH_PART_MAX {
            return fail("no part between slashes may have more than 255 characters");
        }

        if part.starts_with(' ') || part.ends_with(' ') {
            return fail("no part may begin or end with a space");
        }
    }

    Ok(())
}

impl ManifestFile {
    fn check(&self) -> Result<(), ManifestError> {
        check_file_path(&self.path)?;
        let fail = |why: String| {
            Err(ManifestError::Chunks {
                path: self.path.clone(),
                why,
            })
        };
        let mut sum = 0u64;

        for (index, chunk) in self.chunks.iter().enumerate() {
            let length = chunk.length as usize;
            let is_last = index + 1 == self.chunks.len();
            if length == 0 || length > CHUNK_MAX || (length < CHUNK_MIN && !is_last) {
                return fail(format!(
                    "chunk {index} has {length} bytes, allowed are {CHUNK_MIN} to {CHUNK_MAX}"
                ));
            }

            sum += u64::from(chunk.length);
        }

        if sum != self.size {
            return fail(format!(
                "its chunks have {sum} bytes, the file {}",
                self.size
            ));
        }

        Ok(())
    }
}

impl Manifest {
    /// Checks everything that can be checked without the bytes. Call this on every manifest from a
    /// peer.
    pub fn check(&self) -> Result<(), ManifestError> {
        let limit = |what, found: usize, limit: usize| {
            if found > limit {
                return Err(ManifestError::Limit {
                    what,
                    found: found as u64,
                    limit: limit as u64,
                });
            }

            Ok(())
        };

        if self.files.is_empty() {
            return Err(ManifestError::Empty);
        }
        limit("files", self.files.len(), FILES_MAX)?;
        limit("metadata pairs", self.metadata.len(), METADATA_MAX)?;
        limit(
            "publisher, characters",
            self.publisher.chars().count(),
            TEXT_MAX,
        )?;

        for (key, value) in &self.metadata {
            limit(
                "metadata text, characters",
                key.chars().count().max(value.chars().count()),
                TEXT_MAX,
            )?;
        }

        for pair in self.files.windows(2) {
            let a = &pair[0].path;
            let b = &pair[1].path;
            if a >= b
                || b.strip_prefix(a.as_str())
                    .is_some_and(|rest| rest.starts_with('/'))
            {
                return Err(ManifestError::Order(b.clone()));
            }
        }

        let mut size = 0u64;
        for file in &self.files {
            file.check()?;
            size = size.saturating_add(file.size);
        }

        if size > VERSION_SIZE_MAX {
            return Err(ManifestError::Limit {
                what: "bytes",
                found: size,
                limit: VERSION_SIZE_MAX,
            });
        }

        Ok(())
    }

    /// Sum of the files' sizes, bytes.
    pub fn size(&self) -> u64 {
        self.files.iter().map(|file| file.size).sum()
    }

    /// The version's identity: a hash over the files' paths and contents. Name, time and publisher
    /// are not part of it, so that equal files published twice are one version.
    pub fn content(&self) -> Digest {
        let mut hasher = blake3::Hasher::new_derive_key("regionmesh 2026 version content");
        for file in &self.files {
            hasher.update(&(file.path.len() as u64).to_le_bytes());
            hasher.update(file.path.as_bytes());
            hasher.update(&file.size.to_le_bytes());
            hasher.update(&file.digest.0);
            for chunk in &file.chunks {
                hasher.update(&chunk.length.to_le_bytes());
                hasher.update(&chunk.digest.0);
            }
        }

        Digest(*hasher.finalize().as_bytes())
    }

    pub fn summary(&self) -> VersionSummary {
        VersionSummary {
            model: self.model.clone(),
            version: self.version.clone(),
            content: self.content(),
            size: self.size(),
            published: self.published,
            origin: self.origin.clone(),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
