//! What replication counts.

use prometheus::{
    Gauge, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry,
};

/// The metrics. Clones count together.
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
    /// Versions that another region was waited for, since they are cheaper to fetch from it, by
    /// outcome.
    pub relays: IntCounterVec,
    /// How long a fetch took.
    pub fetch_duration: Histogram,
    /// Versions that lost their name to an earlier one.
    pub conflicts: IntCounter,
    /// Failed looks at the store.
    pub store_errors: IntCounter,
    /// Living regions whose catalogue could not be read.
    pub unknown: IntGauge,
    /// What was cleaned up after crashes: deletions, versions, uploads.
    pub cleaned: IntCounterVec,
    /// Versions of which files were missing, so that they were fetched again.
    pub losses: IntCounter,
}

impl ReplicationMetrics {
    /// Registers them.
    pub fn new(registry: &Registry) -> prometheus::Result<Self> {
        let name = |name: &str| format!("regionmesh_replication_{name}");
        let counters = |what: &str, help: &str, labels: &[&str]| {
            let vec = IntCounterVec::new(Opts::new(name(what), help), labels)?;
            registry.register(Box::new(vec.clone()))?;
            Ok::<_, prometheus::Error>(vec)
        };
        let counter = |what: &str, help: &str| {
            let counter = IntCounter::new(name(what), help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, prometheus::Error>(counter)
        };

        let gauge = |what: &str, help: &str| {
            let gauge = IntGauge::new(name(what), help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok::<_, prometheus::Error>(gauge)
        };
        let lag = Gauge::new(
            name("lag_seconds"),
            "How long the oldest missing version has been missing.",
        )?;

        registry.register(Box::new(lag.clone()))?;
        let buckets = prometheus::exponential_buckets(0.05, 2.5, 12)?;
        let fetch_duration = Histogram::with_opts(
            HistogramOpts::new(
                name("fetch_duration_seconds"),
                "Time to fetch and verify a version.",
            )
            .buckets(buckets),
        )?;

        registry.register(Box::new(fetch_duration.clone()))?;
        let fetches = counters(
            "fetches_total",
            "Fetches of a version by outcome.",
            &["outcome"],
        )?;
        let relays = counters(
            "relays_total",
            "Large versions for which another region was waited, from which they are cheaper to \
                fetch, by whether they came from it.",
            &["outcome"],
        )?;

        ["relayed", "direct"]
            .iter()
            .for_each(|outcome| drop(relays.with_label_values(&[*outcome])));

        // From 0, so that an alert sees the first of each.
        let cleaned = counters(
            "cleaned_total",
            "What crashed writers left and was cleaned up, by kind.",
            &["kind"],
        )?;

        ["deletion", "version", "upload"]
            .iter()
            .for_each(|kind| drop(cleaned.with_label_values(&[*kind])));
        ["fetched", "failed"]
            .iter()
            .for_each(|outcome| drop(fetches.with_label_values(&[*outcome])));
        Ok(Self {
            lag,
            missing: gauge(
                "missing_versions",
                "Versions that a peer holds and this region lacks.",
            )?,
            versions: gauge("versions", "Versions that this region holds.")?,
            bytes: counters(
                "bytes_total",
                "Chunk bytes by direction and region of the peer.",
                &["direction", "region"],
            )?,
            reused: counter(
                "chunks_reused_total",
                "Chunks taken from versions already held instead of the network.",
            )?,
            corrupt: counters(
                "corrupt_total",
                "Received bytes that are not what the manifest says.",
                &["region"],
            )?,
            fetches,
            relays,
            fetch_duration,
            conflicts: counter(
                "conflicts_total",
                "Versions that lost their name to an earlier one.",
            )?,
            store_errors: counter("store_errors_total", "Failed looks at the region's store.")?,
            unknown: gauge(
                "unknown_catalogues",
                "Living regions of which it is not known what they hold.",
            )?,
            cleaned,
            losses: counter(
                "losses_total",
                "Versions of which files were missing in the store; they are fetched again.",
            )?,
        })
    }
}
