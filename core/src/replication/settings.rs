//! What the part is configured with, and its timings.

use std::time::Duration;

/// Configuration of replication.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Interval at which the store is read for changes by others.
    pub rescan_interval: Duration,
    /// Most versions fetched at the same time.
    pub parallel_versions: usize,
    /// Longest wait for a cheaper source.
    pub relay_wait: Duration,
}

/// Pause before a failed fetch, call or change is tried again.
pub(super) const RETRY: Duration = Duration::from_secs(2);
