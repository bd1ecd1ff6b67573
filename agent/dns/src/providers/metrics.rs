//! What the providers count.

use prometheus::{
    Histogram, HistogramVec, IntCounterVec, IntGaugeVec, register_histogram_vec_with_registry,
    register_histogram_with_registry, register_int_counter_vec_with_registry,
    register_int_gauge_vec_with_registry,
};
use regionmesh_runtime::metrics::Registry;
use std::time::Duration;

/// Upper bounds of the time of one request, seconds.
const REQUEST_BUCKETS: [f64; 10] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// Upper bounds of the time until a change is visible, seconds.
const CHANGE_BUCKETS: [f64; 10] = [0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0];

/// The providers' metrics. Cheap to clone; clones count together.
#[derive(Debug, Clone)]
pub struct ProviderMetrics {
    operations: IntCounterVec,
    operation_duration: HistogramVec,
    /// Attempts to write a plan to a zone, by outcome.
    pub(crate) publishes: IntCounterVec,
    /// `seq` of the plan that the zone was last written from by this agent.
    pub(crate) plan_seq: IntGaugeVec,
    /// Record sets that another writer changed.
    pub(crate) drift: IntGaugeVec,
    /// Time from the making of a plan to its being answered by all name servers of the zone.
    pub(crate) visible: Histogram,
    /// Time until the provider says that all its name servers have a change.
    pub(crate) in_sync: Histogram,
}

impl ProviderMetrics {
    /// Registers the metrics.
    pub fn new(registry: &Registry) -> prometheus::Result<Self> {
        let counters = |name: &str, help: &str, labels: &[&str]| {
            register_int_counter_vec_with_registry!(name, help, labels, registry)
        };
        let gauges = |name: &str, help: &str| {
            register_int_gauge_vec_with_registry!(name, help, &["provider"], registry)
        };
        let histogram = |name: &str, help: &str| {
            register_histogram_with_registry!(name, help, CHANGE_BUCKETS.to_vec(), registry)
        };

        Ok(Self {
            operations: counters(
                "regionmesh_dns_provider_requests_total",
                "Provider API requests, by outcome: ok, throttled, unanswered, refused.",
                &["provider", "operation", "outcome"],
            )?,
            operation_duration: register_histogram_vec_with_registry!(
                "regionmesh_dns_provider_request_duration_seconds",
                "Time of a provider request.",
                &["provider", "operation"],
                REQUEST_BUCKETS.to_vec(),
                registry
            )?,
            publishes: counters(
                "regionmesh_dns_provider_publishes_total",
                "Zone updates, by outcome: changed, unchanged, fenced, refused, busy, unanswered, \
                    raced, not_visible.",
                &["provider", "outcome"],
            )?,
            plan_seq: gauges(
                "regionmesh_dns_provider_plan_seq",
                "Plan last written by this agent; 0: none.",
            )?,
            drift: gauges(
                "regionmesh_dns_provider_drift_records",
                "Record sets that differ from the plan.",
            )?,
            visible: histogram(
                "regionmesh_dns_provider_visible_duration_seconds",
                "Time from making a plan until every name server serves it.",
            )?,
            in_sync: histogram(
                "regionmesh_dns_provider_in_sync_duration_seconds",
                "Time until the provider reports INSYNC.",
            )?,
        })
    }

    /// Begins a provider's counts at 0, so that an alert sees the first of each.
    pub(crate) fn begin(&self, provider: &str) {
        for outcome in ["changed", "fenced", "refused", "not_visible"] {
            let _ = self.publishes.with_label_values(&[provider, outcome]);
        }
    }

    /// Counts one request.
    pub(crate) fn request(&self, provider: &str, operation: &str, outcome: &str, took: Duration) {
        self.operations
            .with_label_values(&[provider, operation, outcome])
            .inc();
        self.operation_duration
            .with_label_values(&[provider, operation])
            .observe(took.as_secs_f64());
    }
}
