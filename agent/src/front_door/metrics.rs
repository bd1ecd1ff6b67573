//! The front door's metrics.

use prometheus::{
    Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry, core::Collector,
};

/// The result of a request that a region answered.
pub(super) const ANSWERED: &str = "answered";
/// The results of all other requests.
pub(super) const FAILED: [&str; 10] = [
    "no_region",
    "no_place",
    "no_answer",
    "bad_request",
    "not_idempotent",
    "body_too_large",
    "broken",
    "attempts",
    "budget",
    "unavailable",
];
/// Reasons of retries.
const RETRIES: [&str; 3] = ["not_sent", "broken", "unavailable"];

/// Upper bounds of the time to connect, seconds.
const SEARCH_BUCKETS: [f64; 13] = [
    1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0,
];

/// The front door's metrics. Cheap to clone; clones count together.
#[derive(Debug, Clone)]
pub struct FrontDoorMetrics {
    /// Connections of clients, by result: `closed`, `broken`, or why it was cut off.
    pub(super) connections: IntCounterVec,
    /// Connections of clients open now.
    pub(super) open: IntGauge,
    /// Finished requests, by result: `answered`, or why the front door answered itself.
    pub(super) requests: IntCounterVec,
    /// Retries, by reason: `not_sent`, `broken`, `unavailable`.
    pub(super) retries: IntCounterVec,
    /// Failed attempts to connect.
    pub(super) unreached: IntCounter,
    /// Requests waiting for a region.
    pub(super) held: IntGauge,
    /// Bytes of bodies buffered for retries.
    pub(super) held_bytes: IntGauge,
    /// Limit on concurrent requests to regions.
    pub(super) window: IntGauge,
    /// Retries left.
    pub(super) budget: IntGauge,
    /// Time until a region is connected, seconds.
    pub(super) search: Histogram,
}

impl FrontDoorMetrics {
    /// Registers the metrics.
    pub fn new(registry: &Registry) -> prometheus::Result<Self> {
        let counters = |name: &str, help: &str, label: &str| {
            put(
                registry,
                IntCounterVec::new(Opts::new(name, help), &[label])?,
            )
        };
        let gauge = |name: &str, help: &str| put(registry, IntGauge::new(name, help)?);
        let metrics = Self {
            connections: counters(
                "regionmesh_front_door_connections_total",
                "Connections to the front door, by result.",
                "result",
            )?,
            open: gauge(
                "regionmesh_front_door_open_connections",
                "Open connections to the front door.",
            )?,
            requests: counters(
                "regionmesh_front_door_requests_total",
                "Requests to the front door: answered by a region, or why not.",
                "result",
            )?,
            retries: counters(
                "regionmesh_front_door_retries_total",
                "Retries of the front door, by reason.",
                "reason",
            )?,
            unreached: put(
                registry,
                IntCounter::new(
                    "regionmesh_front_door_connect_failures_total",
                    "Failed attempts to connect to a region, before anything was sent.",
                )?,
            )?,
            held: gauge(
                "regionmesh_front_door_held_requests",
                "Requests waiting for their turn or for a region that answers.",
            )?,
            held_bytes: gauge(
                "regionmesh_front_door_held_bytes",
                "Bytes of request bodies buffered for retries.",
            )?,
            window: gauge(
                "regionmesh_front_door_window",
                "Limit on concurrent requests from the front door to regions.",
            )?,
            budget: gauge(
                "regionmesh_front_door_retry_budget",
                "Retries left in the front door's budget.",
            )?,
            search: put(
                registry,
                Histogram::with_opts(
                    HistogramOpts::new(
                        "regionmesh_front_door_connect_duration_seconds",
                        "Time from the start of an attempt until a region is connected.",
                    )
                    .buckets(SEARCH_BUCKETS.into()),
                )?,
            )?,
        };

        metrics.initialise();
        Ok(metrics)
    }

    /// Creates all series with 0: rate() does not see the first value of a new series.
    fn initialise(&self) {
        for result in FAILED.iter().chain([&ANSWERED]) {
            let _ = self.requests.with_label_values(&[result]);
        }
        for reason in RETRIES {
            let _ = self.retries.with_label_values(&[reason]);
        }
    }

    /// A summary for people; none without requests.
    pub fn summary(&self) -> Option<String> {
        let count = |vec: &IntCounterVec, label: &str| vec.with_label_values(&[label]).get();
        let answered = count(&self.requests, ANSWERED);
        let failed: u64 = FAILED
            .iter()
            .map(|result| count(&self.requests, result))
            .sum();
        let retries: u64 = RETRIES
            .iter()
            .map(|reason| count(&self.retries, reason))
            .sum();

        (answered + failed > 0).then(|| {
            format!("{answered} answered, {failed} failed; {retries} times another attempt")
        })
    }
}

fn put<C: Collector + Clone + 'static>(registry: &Registry, metric: C) -> prometheus::Result<C> {
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}
