//! What the front door counts.

use prometheus::{
    Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry, core::Collector,
};

/// The result of a request that a region answered.
pub(super) const ANSWERED: &str = "answered";
/// The results of all others.
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
/// Why another attempt was made.
const RETRIES: [&str; 3] = ["not_sent", "broken", "unavailable"];

/// The front door's metrics. Cheap to clone; clones count together.
#[derive(Debug, Clone)]
pub struct FrontDoorMetrics {
    /// Connections of clients, by result: `closed`, `broken`, or why one was not served to its end.
    pub(super) connections: IntCounterVec,
    /// Connections of clients open now.
    pub(super) open: IntGauge,
    /// Requests ended, by result: `answered`, or why the front door answered itself.
    pub(super) requests: IntCounterVec,
    /// Attempts that failed and were followed by another, by reason: `not_sent`, `broken`,
    /// `unavailable`.
    pub(super) retries: IntCounterVec,
    /// Attempts to connect that failed.
    pub(super) unreached: IntCounter,
    /// Requests that wait for a region now.
    pub(super) held: IntGauge,
    /// Bytes of bodies held for another attempt.
    pub(super) held_bytes: IntGauge,
    /// Requests that may be under way at once.
    pub(super) window: IntGauge,
    /// Retries that are left.
    pub(super) budget: IntGauge,
    /// Time until a region was connected.
    pub(super) search: Histogram,
}

impl FrontDoorMetrics {
    /// Registers the metrics.
    pub fn new(registry: &Registry) -> prometheus::Result<Self> {
        fn put<C: Collector + Clone + 'static>(
            registry: &Registry,
            metric: C,
        ) -> prometheus::Result<C> {
            registry.register(Box::new(metric.clone()))?;
            Ok(metric)
        }

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
                "Connections to the front door that are open.",
            )?,
            requests: counters(
                "regionmesh_front_door_requests_total",
                "Requests to the front door: answered by a region, or why not.",
                "result",
            )?,
            retries: counters(
                "regionmesh_front_door_retries_total",
                "Attempts of the front door that failed and were followed by another, by reason.",
                "reason",
            )?,
            unreached: put(
                registry,
                IntCounter::new(
                    "regionmesh_front_door_connect_failures_total",
                    "Attempts to connect to a region that failed before anything was sent.",
                )?,
            )?,
            held: gauge(
                "regionmesh_front_door_held_requests",
                "Requests that wait for their turn or for a region that answers.",
            )?,
            held_bytes: gauge(
                "regionmesh_front_door_held_bytes",
                "Bytes of request bodies that are kept for another attempt.",
            )?,
            window: gauge(
                "regionmesh_front_door_window",
                "Requests that the front door lets be under way to regions at once.",
            )?,
            budget: gauge(
                "regionmesh_front_door_retry_budget",
                "Retries that the front door's budget still allows.",
            )?,
            search: put(
                registry,
                Histogram::with_opts(
                    HistogramOpts::new(
                        "regionmesh_front_door_connect_duration_seconds",
                        "Time from an attempt's begin until a region is connected.",
                    )
                    .buckets(vec![
                        1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0,
                    ]),
                )?,
            )?,
        };

        // A rate does not see what a series began with, so that all begin at 0.
        for result in FAILED.iter().chain([&ANSWERED]) {
            let _ = metrics.requests.with_label_values(&[result]);
        }
        for reason in RETRIES {
            let _ = metrics.retries.with_label_values(&[reason]);
        }

        Ok(metrics)
    }

    /// What was counted, for people; none if no request came.
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
