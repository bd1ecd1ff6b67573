//! Metrics of events and alerts.

use prometheus::{
    IntCounterVec, IntGauge, IntGaugeVec, register_int_counter_vec_with_registry,
    register_int_gauge_vec_with_registry, register_int_gauge_with_registry,
};
use regionmesh_protocol::event::{EventKind, Severity};
use regionmesh_runtime::metrics::Registry;

/// Metrics of events and alerts.
#[derive(Debug, Clone)]
pub struct EventMetrics {
    pub(super) events: IntCounterVec,
    pub(super) alerts: IntGaugeVec,
    pub(super) left_out: IntGauge,
    pub(super) problems: IntGaugeVec,
}

impl EventMetrics {
    /// Registers the metrics.
    pub fn new(registry: &Registry) -> prometheus::Result<Self> {
        let metrics = Self {
            events: register_int_counter_vec_with_registry!(
                "regionmesh_events_total",
                "Events noticed.",
                &["kind", "severity"],
                registry
            )?,
            alerts: register_int_gauge_vec_with_registry!(
                "regionmesh_alerts_firing",
                "Active alerts; about is the subject.",
                &["alertname", "severity", "region", "about"],
                registry
            )?,
            left_out: register_int_gauge_with_registry!(
                "regionmesh_alerts_left_out",
                "Alerts beyond 256; the most numerous kinds go first.",
                registry
            )?,
            problems: register_int_gauge_vec_with_registry!(
                "regionmesh_problems",
                "Active problems of this agent.",
                &["kind"],
                registry
            )?,
        };

        // Start at 0, so that a rate sees the first event.
        for kind in EventKind::ALL.iter().copied() {
            for severity in Severity::ALL.iter().copied() {
                metrics
                    .events
                    .with_label_values(&[kind.as_str(), severity.as_str()]);
            }
        }

        Ok(metrics)
    }
}
