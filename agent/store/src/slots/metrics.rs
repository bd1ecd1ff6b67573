//! Metrics of acceptors over object stores.

use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry};

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
        let counter = |name: &str, help: &str, labels: &[&str]| {
            let counter = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, prometheus::Error>(counter)
        };

        Ok(Self {
            writes: counter(
                "regionmesh_register_slot_writes_total",
                "Register slots written by this agent.",
                &["acceptor"],
            )?,
            retries: counter(
                "regionmesh_register_slot_retries_total",
                "Slot writes tried again: another agent took the slot, ours was outdated, or the \
                    outcome was unknown.",
                &["acceptor", "reason"],
            )?,
            errors: counter(
                "regionmesh_register_slot_errors_total",
                "Requests that this agent's acceptor could not answer.",
                &["acceptor", "reason"],
            )?,
            begun: counter(
                "regionmesh_register_acceptor_begun_total",
                "Times that this agent began an acceptor's state anew: first (there was none), \
                    lost (slots were deleted).",
                &["acceptor", "reason"],
            )?,
            duration: {
                let options = HistogramOpts::new(
                    "regionmesh_register_request_duration_seconds",
                    "Time that this agent's acceptor took for a request, its store included.",
                );
                let buckets = vec![
                    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
                ];
                let duration = HistogramVec::new(options.buckets(buckets), &["acceptor"])?;

                registry.register(Box::new(duration.clone()))?;
                duration
            },
        })
    }
}
