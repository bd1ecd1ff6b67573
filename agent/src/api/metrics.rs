//! Metrics of the API itself.

use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, IntGauge, Opts, Registry};
use std::time::Duration;

/// Metrics of the API; clones share them.
#[derive(Debug, Clone)]
pub(crate) struct ApiMetrics {
    requests: IntCounterVec,
    duration: HistogramVec,
    pub(crate) connections: IntGauge,
    pub(crate) refused_connections: IntCounterVec,
}

impl ApiMetrics {
    pub(crate) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let metrics = Self {
            requests: IntCounterVec::new(
                Opts::new(
                    "regionmesh_api_requests_total",
                    "Requests that the API answered.",
                ),
                &["route", "method", "code"],
            )?,
            duration: HistogramVec::new(
                HistogramOpts::new(
                    "regionmesh_api_request_duration_seconds",
                    "From a request's head to its answer's.",
                )
                .buckets(vec![0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10.0, 60.0]),
                &["route"],
            )?,
            connections: IntGauge::new(
                "regionmesh_api_connections",
                "Connections to the API that are open.",
            )?,
            refused_connections: IntCounterVec::new(
                Opts::new(
                    "regionmesh_api_refused_connections_total",
                    "Connections that the API did not serve, or not to their end, by reason.",
                ),
                &["reason"],
            )?,
        };

        registry.register(Box::new(metrics.requests.clone()))?;
        registry.register(Box::new(metrics.duration.clone()))?;
        registry.register(Box::new(metrics.connections.clone()))?;
        registry.register(Box::new(metrics.refused_connections.clone()))?;
        Ok(metrics)
    }

    /// Counts an answered request. `route` is the pattern, never the path: clients could create
    /// labels without bound.
    pub(crate) fn answered(&self, route: &str, method: &http::Method, code: u16, took: Duration) {
        let method = match method.as_str() {
            known @ ("GET" | "HEAD" | "POST" | "PUT" | "DELETE" | "OPTIONS") => known,
            _ => "other",
        };

        self.requests
            .with_label_values(&[route, method, &code.to_string()])
            .inc();
        self.duration
            .with_label_values(&[route])
            .observe(took.as_secs_f64());
    }
}
