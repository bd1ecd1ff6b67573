//! One signed entry of the board.

use crate::{
    codec::{self, CodecError},
    identity::{AgentId, MeshName},
    status::StatusKind,
};
use serde::{Deserialize, Serialize};

/// Separates board signatures from other signatures by the same key.
const DOMAIN: &str = "regionmesh status board entry 1";

/// Version of an entry at its owner. A restarted agent's entries outrank those of its earlier run
/// without any disk.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct EntryVersion {
    /// When the owner's process started, Unix milliseconds.
    pub started_ms: u64,
    /// Counts the owner's changes of any entry since then.
    pub counter: u64,
}

impl EntryVersion {
    /// The version after this one.
    #[must_use]
    pub fn next(self) -> Self {
        match self.counter.checked_add(1) {
            Some(counter) => Self { counter, ..self },
            None => Self {
                started_ms: self.started_ms.saturating_add(1),
                counter: 0,
            },
        }
    }
}

/// One entry as it travels: opaque payload, signed by its owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Whose entry it is.
    pub owner: AgentId,
    /// Which of the owner's entries.
    pub kind: StatusKind,
    /// Its version; unique among all entries of the owner.
    pub version: EntryVersion,
    /// The encoded [`StatusEntry`](crate::status::StatusEntry).
    #[serde(with = "codec::bytes")]
    pub payload: Vec<u8>,
    /// The owner's signature over all of the above and the mesh's name.
    #[serde(with = "codec::bytes")]
    pub signature: Vec<u8>,
}

impl Entry {
    /// What the owner signs.
    pub fn signed_bytes(
        mesh: &MeshName,
        owner: &AgentId,
        kind: StatusKind,
        version: EntryVersion,
        payload: &[u8],
    ) -> Result<Vec<u8>, CodecError> {
        codec::encode(&(DOMAIN, mesh, owner, kind, version, payload))
    }

    /// Size of the entry on the wire and in memory, bytes; a little more than its encoding.
    pub fn size(&self) -> usize {
        const OVERHEAD: usize = 48;

        self.owner.region.as_str().len()
            + self.owner.agent.as_str().len()
            + self.payload.len()
            + self.signature.len()
            + OVERHEAD
    }
}
