//! Metrics of acceptors over object stores.

use prometheus::{
    HistogramVec, IntCounterVec, register_histogram_vec_with_registry,
    register_int_counter_vec_with_registry,
};
use regionmesh_runtime::metrics::Registry;

/// Upper bounds of the time of a request, seconds.
const REQUEST_BUCKETS: [f64; 11] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// The metrics of slots; one set for all stores of an agent.
#[derive(Debug, Clone)]
pub struct SlotMetrics {
    pub(super) writes: IntCounterVec,
    pub(super) retries: IntCounterVec,
    pub(super) errors: IntCounterVec,
    pub(super) begun: IntCounterVec,
    pub(super) duration: HistogramVec,
}

impl SlotMetrics {
    /// Registers the metrics.
    pub fn new(registry: &Registry) -> prometheus::Result<Self> {
        let counters = |name: &str, help: &str, labels: &[&str]| {
            register_int_counter_vec_with_registry!(name, help, labels, registry)
        };

        Ok(Self {
            writes: counters(
                "regionmesh_register_slot_writes_total",
                "Slots written; acceptor: region, witness.",
                &["acceptor"],
            )?,
            retries: counters(
                "regionmesh_register_slot_retries_total",
                "Slot writes retried, by reason: taken, outdated, unknown.",
                &["acceptor", "reason"],
            )?,
            errors: counters(
                "regionmesh_register_slot_errors_total",
                "Requests that the store failed, by reason: store, timeout, corrupt, other-layout, \
                    too-large, contended, exhausted.",
                &["acceptor", "reason"],
            )?,
            begun: counters(
                "regionmesh_register_acceptor_begun_total",
                "Acceptor states created, by reason: first, lost (slots deleted).",
                &["acceptor", "reason"],
            )?,
            duration: register_histogram_vec_with_registry!(
                "regionmesh_register_request_duration_seconds",
                "Time of a request, store included.",
                &["acceptor"],
                REQUEST_BUCKETS.to_vec(),
                registry
            )?,
        })
    }
}
