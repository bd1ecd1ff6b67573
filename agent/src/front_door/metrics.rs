//! The front door's metrics.

use prometheus::{
    Histogram, IntCounter, IntCounterVec, IntGauge, register_histogram_with_registry,
    register_int_counter_vec_with_registry, register_int_counter_with_registry,
    register_int_gauge_with_registry,
};
use regionmesh_runtime::metrics::Registry;

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

const REQUESTS_HELP: &str = "Requests, by result: answered, unavailable (a region's last 503), or \
    the front door's own error: no_region, no_place, no_answer, broken, attempts, budget, \
    not_idempotent, body_too_large, bad_request.";

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
            register_int_counter_vec_with_registry!(name, help, &[label], registry)
        };
        let gauge =
            |name: &str, help: &str| register_int_gauge_with_registry!(name, help, registry);

        let metrics = Self {
            connections: counters(
                "regionmesh_front_door_connections_total",
                "Client connections, by result: closed, broken, or a reason as for the API.",
                "result",
            )?,
            open: gauge(
                "regionmesh_front_door_open_connections",
                "Open client connections.",
            )?,
            requests: counters(
                "regionmesh_front_door_requests_total",
                REQUESTS_HELP,
                "result",
            )?,
            retries: counters(
                "regionmesh_front_door_retries_total",
                "Retries, by reason: not_sent, broken, unavailable.",
                "reason",
            )?,
            unreached: register_int_counter_with_registry!(
                "regionmesh_front_door_connect_failures_total",
                "Failed connection attempts.",
                registry
            )?,
            held: gauge(
                "regionmesh_front_door_held_requests",
                "Requests waiting for a region.",
            )?,
            held_bytes: gauge(
                "regionmesh_front_door_held_bytes",
                "Request bodies buffered for retries.",
            )?,
            window: gauge(
                "regionmesh_front_door_window",
                "Concurrent requests to regions allowed.",
            )?,
            budget: gauge(
                "regionmesh_front_door_retry_budget",
                "Retries left in the budget.",
            )?,
            search: register_histogram_with_registry!(
                "regionmesh_front_door_connect_duration_seconds",
                "Time until a region is connected.",
                SEARCH_BUCKETS.to_vec(),
                registry
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
