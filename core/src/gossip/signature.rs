//! The keys that gossip signs and checks with, as the caller provides them.

use regionmesh_protocol::identity::AgentId;

/// Signs our own entries; in production with the key of the agent's certificate.
pub trait Signer: Send + Sync {
    /// Our certificate chain, leaf first, DER.
    fn chain(&self) -> Vec<Vec<u8>>;
    /// Signs with the leaf's key.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, String>;
}

/// Checks other agents' entries.
pub trait Verifier: Send + Sync {
    /// Whether `chain` is a certificate of `owner` that the mesh's authorities issued, valid now.
    fn check_chain(&self, owner: &AgentId, chain: &[Vec<u8>]) -> Result<(), String>;
    /// Whether `signature` over `message` was made with the key of `chain`'s leaf. Does not check
    /// the chain.
    fn check_signature(
        &self,
        chain: &[Vec<u8>],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), String>;
    /// When the leaf of `chain` begins and ends to be valid, Unix milliseconds; none if it can't be
    /// read. Does not check the chain.
    fn validity_ms(&self, _chain: &[Vec<u8>]) -> Option<(u64, u64)> {
        None
    }
}
