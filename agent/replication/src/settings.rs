//! `[replication]`: copying of models.

use regionmesh_core::replication;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Copying of models.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Interval at which the region's store is read for external changes, milliseconds.
    #[schemars(range(min = 100))]
    pub rescan_ms: u64,
    /// Number of versions fetched concurrently.
    #[schemars(range(min = 1))]
    pub parallel_versions: usize,
    /// Number of bulk streams per version.
    #[schemars(range(min = 1))]
    pub parallel_streams: usize,
    /// Idle time after which an unfinished upload is dropped, milliseconds.
    #[schemars(range(min = 1_000))]
    pub upload_idle_ms: u64,
    /// How long to wait until a cheaper source region has a version of 64 MiB or more, seconds; 0:
    /// fetch from any region that has it.
    #[schemars(range(max = 3_600))]
    pub relay_wait_s: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            rescan_ms: 10_000,
            parallel_versions: 2,
            parallel_streams: 4,
            upload_idle_ms: 15 * 60 * 1_000,
            relay_wait_s: 120,
        }
    }
}

impl From<&Settings> for replication::Settings {
    fn from(settings: &Settings) -> Self {
        Self {
            rescan_interval: Duration::from_millis(settings.rescan_ms),
            parallel_versions: settings.parallel_versions,
            relay_wait: Duration::from_secs(settings.relay_wait_s),
        }
    }
}
