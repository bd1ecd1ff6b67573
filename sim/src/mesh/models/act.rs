//! What users do with models.

use super::{objects::Bytes, publish::Upload};
use regionmesh_protocol::{
    identity::IdentityError,
    models::manifest::{ModelName, VersionName},
};

/// What users do with a version, or what happens to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    /// Publish the content with this number.
    Publish {
        agent: usize,
        name: u32,
        content: u64,
    },
    /// Delete the version of that name, or one that lost it.
    Delete {
        agent: usize,
        name: u32,
        is_conflict: bool,
    },
    /// Let an alias name it.
    Alias { agent: usize, name: u32 },
    /// A file vanishes from a store, if another has the version.
    LoseFile { region: usize, name: u32 },
}

impl Act {
    /// The agent that users ask.
    pub(super) fn agent(self) -> Option<usize> {
        match self {
            Self::Publish { agent, .. }
            | Self::Delete { agent, .. }
            | Self::Alias { agent, .. } => Some(agent),
            Self::LoseFile { .. } => None,
        }
    }

    pub(super) fn name(self) -> Result<(ModelName, VersionName), IdentityError> {
        let name = match self {
            Self::Publish { name, .. }
            | Self::Delete { name, .. }
            | Self::Alias { name, .. }
            | Self::LoseFile { name, .. } => name,
        };
        let model = ModelName::new(format!("m{}", name % 2))?;
        Ok((model, VersionName::new(name.to_string())?))
    }
}

/// One to four files of a few bytes.
pub(super) fn upload(model: ModelName, version: VersionName, content: u64) -> Upload {
    let digest = blake3::hash(&content.to_le_bytes());
    let seed = digest.as_bytes();
    let files = (0..1 + usize::from(seed[0] % 4)).map(|index| {
        let size = 8 + usize::from(seed[index + 1] % 2) * 8;
        let bytes = blake3::keyed_hash(seed, &[index as u8]);
        Bytes::from(&bytes.as_bytes()[..size])
    });
    Upload {
        model,
        version,
        files: files.collect(),
    }
}
