//! How much a board holds.

use std::time::Duration;

/// How much a board holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BoardLimits {
    /// Most owners; at the limit the one that has been dead longest makes room.
    pub agents: usize,
    /// Largest payload, bytes: a committed plan or 256 versions of holdings take less than half.
    pub(crate) entry_bytes: usize,
    /// Most bytes of all entries together: 1,024 agents with 64 KiB each.
    pub total_bytes: usize,
    /// Most entries in one delta. Checking a signature takes about 0.1 ms, so this bounds how long
    /// one `apply` takes.
    pub(crate) delta_entries: usize,
    /// Bad signatures in one delta after which the rest of it is skipped.
    pub(crate) delta_forgeries: usize,
    /// Most owners remembered as forgotten.
    pub tombstones: usize,
    /// A held chain is checked again after this long, so that an expired certificate stops
    /// counting.
    pub(crate) recheck_chain_after: Duration,
}

impl Default for BoardLimits {
    fn default() -> Self {
        Self {
            agents: 1024,
            entry_bytes: 256 << 10,
            total_bytes: 64 << 20,
            delta_entries: 1024,
            delta_forgeries: 16,
            tombstones: 2048,
            recheck_chain_after: Duration::from_secs(300),
        }
    }
}
