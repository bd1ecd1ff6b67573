//! Metrics of the health actor.

use prometheus::{
    HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, register_histogram_vec_with_registry,
    register_int_counter_vec_with_registry, register_int_gauge_vec_with_registry,
    register_int_gauge_with_registry,
};
use regionmesh_core::health::probe::ProbeResult;
use regionmesh_protocol::{identity::RegionName, status::condition::Condition};
use regionmesh_runtime::metrics::Registry;
use std::{net::IpAddr, time::Duration};

/// Upper bounds of probe durations, in seconds.
const PROBE_BUCKETS: [f64; 12] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
];

/// Probes and verdicts.
#[derive(Debug, Clone)]
pub struct HealthMetrics {
    probes: IntCounterVec,
    confirmations: IntCounterVec,
    inferences: IntCounterVec,
    durations: HistogramVec,
    conditions: IntGaugeVec,
    verdicts: IntGaugeVec,
    addresses: IntGaugeVec,
    changes: IntCounterVec,
    abstaining: IntGauge,
    observing: IntGauge,
}

impl HealthMetrics {
    /// Registers the metrics.
    pub fn new(registry: &Registry) -> prometheus::Result<Self> {
        Ok(Self {
            probes: register_int_counter_vec_with_registry!(
                "regionmesh_probes_total",
                "Probes, by outcome: success, definite_failure, silence.",
                &["region", "outcome"],
                registry,
            )?,
            confirmations: register_int_counter_vec_with_registry!(
                "regionmesh_probe_confirmations_total",
                "Fast probes after a definite failure, by outcome: success, definite_failure, \
                    silence.",
                &["region", "outcome"],
                registry,
            )?,
            inferences: register_int_counter_vec_with_registry!(
                "regionmesh_probe_inferences_total",
                "Synthetic inferences, by outcome: passed, failed.",
                &["region", "outcome"],
                registry,
            )?,
            durations: register_histogram_vec_with_registry!(
                "regionmesh_probe_duration_seconds",
                "Time of a probe.",
                &["region"],
                PROBE_BUCKETS.to_vec(),
                registry,
            )?,
            conditions: register_int_gauge_vec_with_registry!(
                "regionmesh_observed_condition",
                "1 for this agent's own observation.",
                &["region", "condition"],
                registry,
            )?,
            verdicts: register_int_gauge_vec_with_registry!(
                "regionmesh_verdict",
                "1 for the mesh's verdict.",
                &["region", "condition"],
                registry,
            )?,
            addresses: register_int_gauge_vec_with_registry!(
                "regionmesh_address_verdict",
                "1 for the verdict on the address.",
                &["region", "address", "condition"],
                registry,
            )?,
            changes: register_int_counter_vec_with_registry!(
                "regionmesh_verdict_changes_total",
                "Changes of the mesh's verdict.",
                &["region"],
                registry,
            )?,
            abstaining: register_int_gauge_with_registry!(
                "regionmesh_observer_abstaining",
                "1 while no canary target is reachable.",
                registry,
            )?,
            observing: register_int_gauge_with_registry!(
                "regionmesh_observer_active",
                "1 while this agent observes endpoints; at most three agents of a region do.",
                registry,
            )?,
        })
    }

    pub(super) fn probed(&self, region: &RegionName, result: &ProbeResult, took: Duration) {
        self.probes
            .with_label_values(&[region.as_str(), outcome(result)])
            .inc();
        self.durations
            .with_label_values(&[region.as_str()])
            .observe(took.as_secs_f64());
    }

    pub(super) fn confirmed(&self, region: &RegionName, result: &ProbeResult) {
        self.confirmations
            .with_label_values(&[region.as_str(), outcome(result)])
            .inc();
    }

    pub(super) fn inferred(&self, region: &RegionName, has_passed: bool) {
        let outcome = if has_passed { "passed" } else { "failed" };
        self.inferences
            .with_label_values(&[region.as_str(), outcome])
            .inc();
    }

    pub(super) fn observes(&self, region: &RegionName, observed: Condition) {
        set(&self.conditions, region, observed);
    }

    pub(super) fn judges(&self, region: &RegionName, verdict: Condition) {
        set(&self.verdicts, region, verdict);
    }

    pub(super) fn judges_address(&self, region: &RegionName, address: IpAddr, verdict: Condition) {
        let address = address.to_string();
        for condition in Condition::ALL.iter().copied() {
            let labels = [region.as_str(), &address, condition.as_str()];
            self.addresses
                .with_label_values(&labels)
                .set(i64::from(condition == verdict));
        }
    }

    pub(super) fn changed(&self, region: &RegionName) {
        self.changes.with_label_values(&[region.as_str()]).inc();
    }

    pub(super) fn is_observer(&self, is_observer: bool) {
        self.observing.set(i64::from(is_observer));
    }

    pub(super) fn abstains(&self, is_abstaining: bool) {
        self.abstaining.set(i64::from(is_abstaining));
    }
}

fn outcome(result: &ProbeResult) -> &'static str {
    match result {
        ProbeResult::Success { .. } => "success",
        ProbeResult::DefiniteFailure(_) => "definite_failure",
        ProbeResult::Silence(_) => "silence",
    }
}

fn set(gauge: &IntGaugeVec, region: &RegionName, is: Condition) {
    for condition in Condition::ALL.iter().copied() {
        gauge
            .with_label_values(&[region.as_str(), condition.as_str()])
            .set(i64::from(condition == is));
    }
}
