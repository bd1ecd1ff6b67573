//! Metrics of the API itself.

use prometheus::{
    HistogramVec, IntCounterVec, IntGauge, register_histogram_vec_with_registry,
    register_int_counter_vec_with_registry, register_int_gauge_with_registry,
};
use regionmesh_runtime::metrics::Registry;
use std::time::Duration;

/// Upper bounds of the time of a request, seconds.
const REQUEST_BUCKETS: [f64; 8] = [0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10.0, 60.0];

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
        Ok(Self {
            requests: register_int_counter_vec_with_registry!(
                "regionmesh_api_requests_total",
                "API requests, by HTTP status.",
                &["route", "method", "code"],
                registry
            )?,
            duration: register_histogram_vec_with_registry!(
                "regionmesh_api_request_duration_seconds",
                "Time to the head of the answer.",
                &["route"],
                REQUEST_BUCKETS.to_vec(),
                registry
            )?,
            connections: register_int_gauge_with_registry!(
                "regionmesh_api_connections",
                "Open API connections.",
                registry
            )?,
            refused_connections: register_int_counter_vec_with_registry!(
                "regionmesh_api_refused_connections_total",
                "Connections refused or cut, by reason: crowded, one-client, slow-head, not-read, \
                    not-http, head-too-large, accept.",
                &["reason"],
                registry
            )?,
        })
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
