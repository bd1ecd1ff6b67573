//! Metrics of replication.

use prometheus::{
    Gauge, Histogram, IntCounter, IntCounterVec, IntGauge, register_gauge_with_registry,
    register_histogram_with_registry, register_int_counter_vec_with_registry,
    register_int_counter_with_registry, register_int_gauge_with_registry,
};
use regionmesh_runtime::metrics::Registry;

const MISSING_HELP: &str = "Versions that a peer holds and this region lacks.";
const REUSED_HELP: &str = "Chunks copied from held versions.";
const RELAYS_HELP: &str = "Fetches that waited for a cheaper source, by outcome: relayed, direct.";
const UNKNOWN_HELP: &str = "Live regions whose holdings are unknown.";
const CLEANED_HELP: &str = "Leftovers of crashes removed, by kind: deletion, version, upload.";
const LOSSES_HELP: &str = "Versions whose files vanished; fetched again.";

/// The replication metrics. Clones share their values.
#[derive(Debug, Clone)]
pub struct ReplicationMetrics {
    /// How long the oldest missing version has been missing, seconds.
    pub lag: Gauge,
    /// Versions that a peer holds and this region lacks.
    pub missing: IntGauge,
    /// Versions held.
    pub versions: IntGauge,
    /// Chunk bytes by direction and region of the peer.
    pub(crate) bytes: IntCounterVec,
    /// Chunks taken from versions already held.
    pub(crate) reused: IntCounter,
    /// Chunks or files whose bytes were not what their manifest says, by region of the peer.
    pub(crate) corrupt: IntCounterVec,
    /// Fetches by outcome.
    pub fetches: IntCounterVec,
    /// Versions that waited for a cheaper region to hold them first, by outcome.
    pub relays: IntCounterVec,
    /// How long a fetch took.
    pub fetch_duration: Histogram,
    /// Versions that lost their name to an earlier one.
    pub conflicts: IntCounter,
    /// Failed scans of the store.
    pub store_errors: IntCounter,
    /// Live regions whose catalogue could not be read.
    pub unknown: IntGauge,
    /// What was cleaned up after crashes: deletions, versions, uploads.
    pub cleaned: IntCounterVec,
    /// Versions with missing files, which are fetched again.
    pub losses: IntCounter,
}

impl ReplicationMetrics {
    /// Registers the metrics.
    pub fn new(registry: &Registry) -> prometheus::Result<Self> {
        let gauge =
            |name: &str, help: &str| register_int_gauge_with_registry!(name, help, registry);
        let counter =
            |name: &str, help: &str| register_int_counter_with_registry!(name, help, registry);
        let counters = |name: &str, help: &str, labels: &[&str]| {
            register_int_counter_vec_with_registry!(name, help, labels, registry)
        };

        let metrics = Self {
            lag: register_gauge_with_registry!(
                "regionmesh_replication_lag_seconds",
                "Age of the oldest missing version or unknown catalogue.",
                registry
            )?,
            missing: gauge("regionmesh_replication_missing_versions", MISSING_HELP)?,
            versions: gauge(
                "regionmesh_replication_versions",
                "Versions that this region holds.",
            )?,
            bytes: counters(
                "regionmesh_replication_bytes_total",
                "Chunk bytes, by direction (sent, received) and peer's region.",
                &["direction", "region"],
            )?,
            reused: counter("regionmesh_replication_chunks_reused_total", REUSED_HELP)?,
            corrupt: counters(
                "regionmesh_replication_corrupt_total",
                "Received data that failed verification, by peer's region.",
                &["region"],
            )?,
            fetches: counters(
                "regionmesh_replication_fetches_total",
                "Version fetches, by outcome: fetched, failed.",
                &["outcome"],
            )?,
            relays: counters(
                "regionmesh_replication_relays_total",
                RELAYS_HELP,
                &["outcome"],
            )?,
            fetch_duration: register_histogram_with_registry!(
                "regionmesh_replication_fetch_duration_seconds",
                "Time to fetch and verify a version.",
                prometheus::exponential_buckets(0.05, 2.5, 12)?,
                registry
            )?,
            conflicts: counter(
                "regionmesh_replication_conflicts_total",
                "Versions renamed by a conflict.",
            )?,
            store_errors: counter(
                "regionmesh_replication_store_errors_total",
                "Failed scans of the region's store.",
            )?,
            unknown: gauge("regionmesh_replication_unknown_catalogues", UNKNOWN_HELP)?,
            cleaned: counters(
                "regionmesh_replication_cleaned_total",
                CLEANED_HELP,
                &["kind"],
            )?,
            losses: counter("regionmesh_replication_losses_total", LOSSES_HELP)?,
        };

        metrics.begin_at_zero();
        Ok(metrics)
    }

    /// Creates the series whose first increment an alert must see.
    fn begin_at_zero(&self) {
        for outcome in ["relayed", "direct"] {
            let _ = self.relays.with_label_values(&[outcome]);
        }
        for kind in ["deletion", "version", "upload"] {
            let _ = self.cleaned.with_label_values(&[kind]);
        }
        for outcome in ["fetched", "failed"] {
            let _ = self.fetches.with_label_values(&[outcome]);
        }
    }
}
