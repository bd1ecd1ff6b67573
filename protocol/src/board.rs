//! The status board: every agent's small signed entries, reconciled by digest and delta (Scuttlebutt, van Renesse et al. 2008).

use crate::identity::AgentId;
use serde::{Deserialize, Serialize};

/// Version of an entry at its owner. A restarted agent's entries outrank those of its earlier life without any disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EntryVersion {
    /// When the owner's process started, Unix milliseconds.
    pub started_ms: u64,
    /// Counts the owner's changes of any entry since then.
    pub counter: u64,
}

/// Signs our own entries. The production side is the agent's certificate key.
pub trait Signer: Send + Sync {
    /// Our certificate chain, leaf first, DER.
    fn chain(&self) -> Vec<Vec<u8>>;
    /// Signs with the leaf's key; fails if the key can't.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, String>;
}

/// Checks other agents' entries.
pub trait Verifier: Send + Sync {
    /// Whether `chain` is a certificate of `owner` that the mesh's authorities issued, valid now.
    fn check_chain(&self, owner: &AgentId, chain: &[Vec<u8>]) -> Result<(), String>;
    /// Whether `signature` over `message` was made with the key of `chain`'s leaf. Does not check the chain.
    fn check_signature(&self, chain: &[Vec<u8>], message: &[u8], signature: &[u8]) -> Result<(), String>;
}
