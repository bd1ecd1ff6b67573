//! Models, versions and manifests: what a version consists of, down to its chunks.

use crate::{
    clock::HybridTime,
    identity::{IdentityError, RegionName, name_type},
};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A BLAKE3 hash.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Digest(pub [u8; 32]);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

name_type!(
    /// A model's name: 1 to 128 characters of `A-Za-z0-9._-`, beginning with a letter or digit.
    ModelName, "model", check_model
);
name_type!(
    /// A version: 1 to 64 characters of `A-Za-z0-9._-`, beginning with a letter or digit; may end in
    /// `+conflict.<region>`, which only conflict resolution writes.
    VersionName, "version", check_version
);

/// Longest model name, bytes.
pub const MODEL_NAME_MAX: usize = 128;
/// Longest version name without a conflict suffix, bytes.
pub const VERSION_NAME_MAX: usize = 64;

fn check_word(kind: &'static str, name: &str, limit: usize, length: &'static str) -> Result<(), IdentityError> {
    let fail = |why| Err(IdentityError::Name { kind, name: name.chars().take(80).collect(), why });
    if name.is_empty() || name.len() > limit {
        return fail(length);
    }
    if !name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-')) {
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
    let (name, region) = name.split_once("+conflict.").map_or((name, None), |(name, region)| (name, Some(region)));
    region.map_or(Ok(()), |region| RegionName::new(region).map(drop))?;
    check_word(kind, name, VERSION_NAME_MAX, "must have 1 to 64 characters")
}

/// One content-defined chunk of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunk {
    /// BLAKE3 of its bytes.
    pub digest: Digest,
    /// Its length, bytes.
    pub length: u32,
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

/// What a version of a model consists of. Immutable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The model.
    pub model: ModelName,
    /// The version.
    pub version: VersionName,
    /// The files, sorted by path.
    pub files: Vec<ManifestFile>,
    /// The region where it was published.
    pub origin: RegionName,
    /// Who published it, as they said.
    pub publisher: String,
    /// When it was published.
    pub published: HybridTime,
    /// Free key/value pairs, sorted by key.
    pub metadata: Vec<(String, String)>,
}

/// A manifest in brief: what a catalogue lists.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct VersionSummary {
    /// The model.
    pub model: ModelName,
    /// The version.
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
