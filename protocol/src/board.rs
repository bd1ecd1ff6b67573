//! The status board: every agent's small signed entries, reconciled by digest and delta (Scuttlebutt, van Renesse et al. 2008).

use serde::{Deserialize, Serialize};

/// Version of an entry at its owner. A restarted agent's entries outrank those of its earlier life without any disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EntryVersion {
    /// When the owner's process started, Unix milliseconds.
    pub started_ms: u64,
    /// Counts the owner's changes of any entry since then.
    pub counter: u64,
}
