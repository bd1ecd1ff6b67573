//! What the providers count.

use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry,
};
use std::time::Duration;

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
            let counters = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counters.clone()))?;
            Ok::<_, prometheus::Error>(counters)
        };
        let gauges = |name: &str, help: &str| {
            let gauges = IntGaugeVec::new(Opts::new(name, help), &["provider"])?;
            registry.register(Box::new(gauges.clone()))?;
            Ok::<_, prometheus::Error>(gauges)
        };

        let histogram = |name: &str, help: &str| {
            let buckets = vec![0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0];
            let histogram = Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets))?;
            registry.register(Box::new(histogram.clone()))?;
            Ok::<_, prometheus::Error>(histogram)
        };

        let operation_duration = HistogramVec::new(
            HistogramOpts::new(
                "regionmesh_dns_provider_request_duration_seconds",
                "Time of one request to a provider.",
            )
            .buckets(vec![0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0]),
            &["provider", "operation"],
        )?;

        registry.register(Box::new(operation_duration.clone()))?;
        Ok(Self {
            operations: counters(
                "regionmesh_dns_provider_requests_total",
                "Requests to a provider's API, by operation and outcome: ok, throttled, \
                    unanswered, refused.",
                &["provider", "operation", "outcome"],
            )?,
            operation_duration,
            publishes: counters(
                "regionmesh_dns_provider_publishes_total",
                "Attempts to make a zone as a plan says, by outcome: changed, unchanged, fenced, \
                    refused, busy, unanswered, raced, not_visible.",
                &["provider", "outcome"],
            )?,
            plan_seq: gauges(
                "regionmesh_dns_provider_plan_seq",
                "Number of the plan that this agent last wrote into the provider's zone; 0 if it \
                    never did.",
            )?,
            drift: gauges(
                "regionmesh_dns_provider_drift_records",
                "Record sets in the provider's zone that differ from the plan that it was written \
                    from.",
            )?,
            visible: histogram(
                "regionmesh_dns_provider_visible_duration_seconds",
                "Time from the making of a plan until every name server of the provider's zone \
                    answers it.",
            )?,
            in_sync: histogram(
                "regionmesh_dns_provider_in_sync_duration_seconds",
                "Time from a change until the provider says that all its name servers have it.",
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
