//! The status board: every agent's small signed entries, reconciled by digest and delta
//! (Scuttlebutt, van Renesse et al. 2008).
//!
//! Each agent owns at most one entry per [`StatusKind`](regionmesh_protocol::status::StatusKind),
//! signs it, and alone may replace it with a newer version. Agents relay entries for each other: a
//! relay can neither forge an entry nor roll it back, and if it withholds one, the next honest peer
//! provides it. Nothing here does IO or reads a clock.
//!
//! Trade-offs: the newest entry of an owner wins, so an owner must never run twice at the same
//! time; if every relay withholds an entry, the mesh does not get it; versions carry the owner's
//! start time, so an owner whose clock was set back is outranked by its own past until it receives
//! those entries (see [`Board::apply`]) and signs again.

mod delta;
mod digest;
mod limits;
mod outcome;
mod owner;
pub mod skew;
mod state;
mod view;

pub use delta::{Delta, ExchangeReply, ExchangeRequest};
pub use digest::{Digest, OwnerDigest};
pub use limits::BoardLimits;
pub use outcome::{Applied, Change, PublishError, Rejection};
pub use owner::SeenEntry;
pub use state::{Board, Judge};
pub use view::{AgentView, BoardView, SeenStatus};

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

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;
