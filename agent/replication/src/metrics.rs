//! Metrics of replication.

use prometheus::{
    Gauge, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry,
};

const RELAYS_HELP: &str = "Large versions for which another region was waited, from which they are \
    cheaper to fetch, by whether they came from it.";
const CLEANED_HELP: &str = "What crashed writers left and was cleaned up, by kind.";

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
        let metrics = Self {
            lag: lag(registry)?,
            missing: gauge(
                registry,
                "missing_versions",
                "Versions that a peer holds and this region lacks.",
            )?,
            versions: gauge(registry, "versions", "Versions that this region holds.")?,
            bytes: counters(
                registry,
                "bytes_total",
                "Chunk bytes by direction and region of the peer.",
                &["direction", "region"],
            )?,
            reused: counter(
                registry,
                "chunks_reused_total",
                "Chunks taken from versions already held instead of the network.",
            )?,
            corrupt: counters(
                registry,
                "corrupt_total",
                "Received bytes that are not what the manifest says.",
                &["region"],
            )?,
            fetches: counters(
                registry,
                "fetches_total",
                "Fetches of a version by outcome.",
                &["outcome"],
            )?,
            relays: counters(registry, "relays_total", RELAYS_HELP, &["outcome"])?,
            fetch_duration: fetch_duration(registry)?,
            conflicts: counter(
                registry,
                "conflicts_total",
                "Versions that lost their name to an earlier one.",
            )?,
            store_errors: counter(
                registry,
                "store_errors_total",
                "Failed looks at the region's store.",
            )?,
            unknown: gauge(
                registry,
                "unknown_catalogues",
                "Living regions of which it is not known what they hold.",
            )?,
            cleaned: counters(registry, "cleaned_total", CLEANED_HELP, &["kind"])?,
            losses: counter(
                registry,
                "losses_total",
                "Versions of which files were missing in the store; they are fetched again.",
            )?,
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

fn full_name(name: &str) -> String {
    format!("regionmesh_replication_{name}")
}

fn counters(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> prometheus::Result<IntCounterVec> {
    let counters = IntCounterVec::new(Opts::new(full_name(name), help), labels)?;
    registry.register(Box::new(counters.clone()))?;
    Ok(counters)
}

fn counter(registry: &Registry, name: &str, help: &str) -> prometheus::Result<IntCounter> {
    let counter = IntCounter::new(full_name(name), help)?;
    registry.register(Box::new(counter.clone()))?;
    Ok(counter)
}

fn gauge(registry: &Registry, name: &str, help: &str) -> prometheus::Result<IntGauge> {
    let gauge = IntGauge::new(full_name(name), help)?;
    registry.register(Box::new(gauge.clone()))?;
    Ok(gauge)
}

fn lag(registry: &Registry) -> prometheus::Result<Gauge> {
    let lag = Gauge::new(
        full_name("lag_seconds"),
        "How long the oldest missing version has been missing.",
    )?;
    registry.register(Box::new(lag.clone()))?;
    Ok(lag)
}

fn fetch_duration(registry: &Registry) -> prometheus::Result<Histogram> {
    let buckets = prometheus::exponential_buckets(0.05, 2.5, 12)?;
    let options = HistogramOpts::new(
        full_name("fetch_duration_seconds"),
        "Time to fetch and verify a version.",
    );
    let duration = Histogram::with_opts(options.buckets(buckets))?;

    registry.register(Box::new(duration.clone()))?;
    Ok(duration)
}
