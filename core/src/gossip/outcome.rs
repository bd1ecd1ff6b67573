//! What becomes of entries: accepted, rejected, or not published.

use regionmesh_protocol::{codec::CodecError, identity::AgentId, status::StatusKind};
use std::collections::BTreeMap;
use strum::IntoStaticStr;

/// Why an entry was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Rejection {
    /// Not newer than what is held.
    Stale,
    /// Its owner was forgotten, and it is not newer than what was forgotten.
    Forgotten,
    /// Its owner's certificate is not on the board.
    NoCertificate,
    /// The certificate is not the owner's, not of this mesh, or not valid now.
    BadCertificate,
    /// The signature is not the owner's.
    BadSignature,
    /// The payload is not a status entry of this kind.
    Malformed,
    /// Larger than an entry may be.
    TooLarge,
    /// No room for another agent or for more bytes.
    Full,
    /// Beyond the limit of one delta, or after too many forgeries in it.
    #[strum(serialize = "not_looked_at")]
    Skipped,
}

impl Rejection {
    /// For a metric label.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// Why our own status could not be published on the board.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// The key could not sign; the entry stays as it was.
    #[error("could not sign our {kind:?} entry: {why}; check the agent's key file")]
    Sign {
        kind: StatusKind,
        /// What the signer said.
        why: String,
    },
    /// The status is larger than an entry may be.
    #[error("our {kind:?} entry has {size} bytes, the limit is {limit}")]
    TooLarge {
        kind: StatusKind,
        /// Size of the status, bytes.
        size: usize,
        /// The limit, bytes.
        limit: usize,
    },
    /// The status can't be encoded.
    #[error("could not encode our {kind:?} entry: {source}")]
    Encode {
        kind: StatusKind,
        /// What the codec said.
        source: CodecError,
    },
}

/// An entry that changed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    pub owner: AgentId,
    pub kind: StatusKind,
    /// Whether it may change a decision of another agent.
    pub is_urgent: bool,
}

/// What became of a delta.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Applied {
    /// Entries that are new or newer.
    pub changes: Vec<Change>,
    /// How many entries were refused, by reason. Exact duplicates are not counted: peers overlap.
    pub rejected: BTreeMap<Rejection, u64>,
    /// Our own entries came back with higher versions (our clock was set back between two runs):
    /// call [`crate::gossip::Board::sign_again`].
    pub is_outranked: bool,
}
