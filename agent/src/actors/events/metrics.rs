//! Metrics of events and alerts.

use prometheus::{IntCounterVec, IntGaugeVec, Opts, Registry};
use regionmesh_protocol::event::{EventKind, Severity};

/// Metrics of events and alerts.
#[derive(Debug, Clone)]
pub struct EventMetrics {
    pub(super) events: IntCounterVec,
    pub(super) alerts: IntGaugeVec,
    pub(super) left_out: prometheus::IntGauge,
    pub(super) problems: IntGaugeVec,
}

impl EventMetrics {
    /// Registers the metrics.
    pub fn new(registry: &Registry) -> prometheus::Result<Self> {
        let metrics = Self {
            events: IntCounterVec::new(
                Opts::new("regionmesh_events_total", "Events that this agent noticed."),
                &["kind", "severity"],
            )?,
            alerts: IntGaugeVec::new(
                Opts::new(
                    "regionmesh_alerts_firing",
                    "Active alerts, as this agent sees it.",
                ),
                &["alertname", "severity", "region", "about"],
            )?,
            left_out: prometheus::IntGauge::new(
                "regionmesh_alerts_left_out",
                "Alerts beyond the limit; they are not sent.",
            )?,
            problems: IntGaugeVec::new(
                Opts::new(
                    "regionmesh_problems",
                    "Active problems of this agent, by kind.",
                ),
                &["kind"],
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

        registry.register(Box::new(metrics.events.clone()))?;
        registry.register(Box::new(metrics.alerts.clone()))?;
        registry.register(Box::new(metrics.left_out.clone()))?;
        registry.register(Box::new(metrics.problems.clone()))?;
        Ok(metrics)
    }
}
