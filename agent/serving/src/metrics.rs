//! What the model server counts. Labels name only models of the catalogue, so that a client can't
//! make series.

use prometheus::{
    Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec,
    register_histogram_vec_with_registry, register_histogram_with_registry,
    register_int_counter_vec_with_registry, register_int_counter_with_registry,
    register_int_gauge_vec_with_registry, register_int_gauge_with_registry,
};
use regionmesh_protocol::models::manifest::{ModelName, VersionName};
use regionmesh_runtime::metrics::Registry;

/// Status codes that an inference can end with; used to remove the series of a version that is
/// gone.
const CODES: [&str; 8] = ["200", "400", "408", "413", "500", "503", "504", "404"];

/// Bounds of the histogram of inference times, seconds.
const DURATION_BUCKETS: [f64; 14] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.5, 5.0, 10.0,
];
/// Bounds of the histogram of waiting times, seconds.
const QUEUE_BUCKETS: [f64; 13] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// The metrics of the model server. Cheap to clone; clones count together.
#[derive(Debug, Clone)]
pub struct ServingMetrics {
    /// Inference requests by model, version and status.
    requests: IntCounterVec,
    /// From admission to the answer, by model.
    duration: HistogramVec,
    /// Requests that wait for a place.
    pub(crate) waiting: WaitingMetrics,
    /// Versions and their loads.
    pub(crate) loads: LoadMetrics,
    /// Panics of the engine that were caught.
    pub(crate) panics: IntCounter,
    /// Loads and inferences that still run although nothing waits for them.
    pub(crate) abandoned: IntGauge,
    /// Inferences that were not done in time.
    pub(crate) timeouts: IntCounter,
    /// Open connections.
    pub(crate) connections: IntGauge,
    /// Connections that were ended because of what came in, or did not come.
    pub(crate) refused_connections: IntCounterVec,
}

/// Metrics of requests that wait for a place.
#[derive(Debug, Clone)]
pub(crate) struct WaitingMetrics {
    /// Requests waiting for one of the running ones to end.
    pub(crate) queue: IntGauge,
    /// How long requests waited for a place that got one.
    pub(crate) queue_duration: Histogram,
    /// Requests refused because they would have waited too long, or the memory for bodies was full.
    pub(crate) overloads: IntCounter,
    /// Requests among them that waited until their deadline.
    pub(crate) queue_timeouts: IntCounter,
}

/// Metrics of versions and their loads.
#[derive(Debug, Clone)]
pub(crate) struct LoadMetrics {
    /// Versions loaded now.
    pub(crate) loaded: IntGauge,
    /// Memory reserved for them.
    pub(crate) loaded_bytes: IntGauge,
    /// Loads that failed, by model.
    pub(crate) load_failures: IntCounterVec,
    /// 1 while the wanted default version of a model can't be loaded.
    pub(crate) default_failed: IntGaugeVec,
    /// Versions that can't be served here.
    pub(crate) unservable: IntGauge,
    /// Versions that took the process down.
    pub(crate) quarantined: IntGauge,
    /// Changes of a model's default version.
    pub(crate) swaps: IntCounterVec,
}

impl WaitingMetrics {
    fn new(registry: &Registry) -> prometheus::Result<Self> {
        Ok(Self {
            queue: register_int_gauge_with_registry!(
                "regionmesh_inference_queue_length",
                "Inference requests in the queue.",
                registry
            )?,
            queue_duration: register_histogram_with_registry!(
                "regionmesh_inference_queue_duration_seconds",
                "Queueing time of inference requests.",
                QUEUE_BUCKETS.to_vec(),
                registry
            )?,
            overloads: register_int_counter_with_registry!(
                "regionmesh_inference_overloads_total",
                "Inference requests refused by overload.",
                registry
            )?,
            queue_timeouts: register_int_counter_with_registry!(
                "regionmesh_inference_queue_timeouts_total",
                "Of the overloads: refused at their deadline.",
                registry
            )?,
        })
    }
}

impl LoadMetrics {
    fn new(registry: &Registry) -> prometheus::Result<Self> {
        Ok(Self {
            loaded: register_int_gauge_with_registry!(
                "regionmesh_serving_models_loaded",
                "Loaded model versions.",
                registry
            )?,
            loaded_bytes: register_int_gauge_with_registry!(
                "regionmesh_serving_models_loaded_bytes",
                "Memory reserved for loaded versions.",
                registry
            )?,
            load_failures: register_int_counter_vec_with_registry!(
                "regionmesh_serving_load_failures_total",
                "Failed loads.",
                &["model"],
                registry
            )?,
            default_failed: register_int_gauge_vec_with_registry!(
                "regionmesh_serving_default_failed",
                "1: default version fails to load; an older one may serve.",
                &["model"],
                registry
            )?,
            unservable: register_int_gauge_with_registry!(
                "regionmesh_serving_versions_unservable",
                "Versions held but unservable or quarantined.",
                registry
            )?,
            quarantined: register_int_gauge_with_registry!(
                "regionmesh_serving_versions_quarantined",
                "Versions whose load killed the process.",
                registry
            )?,
            swaps: register_int_counter_vec_with_registry!(
                "regionmesh_serving_swaps_total",
                "Changes of the default version.",
                &["model"],
                registry
            )?,
        })
    }
}

impl ServingMetrics {
    /// Registers the metrics; once per registry, so that a restarted server continues its counts.
    pub fn new(registry: &Registry) -> prometheus::Result<Self> {
        Ok(Self {
            requests: register_int_counter_vec_with_registry!(
                "regionmesh_inference_requests_total",
                "Inference requests; model and version are empty if unknown.",
                &["model", "version", "code"],
                registry
            )?,
            duration: register_histogram_vec_with_registry!(
                "regionmesh_inference_duration_seconds",
                "Time from request to answer, queue included; successes only.",
                &["model"],
                DURATION_BUCKETS.to_vec(),
                registry
            )?,
            waiting: WaitingMetrics::new(registry)?,
            loads: LoadMetrics::new(registry)?,
            panics: register_int_counter_with_registry!(
                "regionmesh_inference_panics_total",
                "Engine panics, caught.",
                registry
            )?,
            abandoned: register_int_gauge_with_registry!(
                "regionmesh_serving_abandoned_computations",
                "Computations still running after a timeout or disconnect.",
                registry
            )?,
            timeouts: register_int_counter_with_registry!(
                "regionmesh_inference_timeouts_total",
                "Inferences over serving.inference_timeout_ms.",
                registry
            )?,
            connections: register_int_gauge_with_registry!(
                "regionmesh_serving_connections",
                "Open serving connections.",
                registry
            )?,
            refused_connections: register_int_counter_vec_with_registry!(
                "regionmesh_serving_refused_connections_total",
                "Connections refused or cut, by reason, as for the API.",
                &["reason"],
                registry
            )?,
        })
    }

    /// Begins the counts of a version that was loaded at 0, so that an alert sees its first
    /// failure.
    pub(crate) fn begin(&self, model: &ModelName, version: &VersionName) {
        for code in ["200", "500", "503"] {
            let _ = self
                .requests
                .with_label_values(&[model.as_str(), version.as_str(), code]);
        }

        let _ = self
            .requests
            .with_label_values(&[model.as_str(), "", "503"]);
    }

    /// Counts a request. `model` and `version` are none where the catalogue doesn't have them.
    pub(crate) fn request(
        &self,
        model: Option<&ModelName>,
        version: Option<&VersionName>,
        code: http::StatusCode,
    ) {
        let model = model.map_or("", ModelName::as_str);
        let version = version.map_or("", VersionName::as_str);
        self.requests
            .with_label_values(&[model, version, code.as_str()])
            .inc();
    }

    /// Notes how long a successful request took.
    pub(crate) fn duration(&self, model: &ModelName, seconds: f64) {
        self.duration
            .with_label_values(&[model.as_str()])
            .observe(seconds);
    }

    /// Forgets the series of a version that was deleted.
    pub(crate) fn forget_version(&self, model: &ModelName, version: &VersionName) {
        for code in CODES {
            // Absent for codes that never occurred.
            let _ = self
                .requests
                .remove_label_values(&[model.as_str(), version.as_str(), code]);
        }
    }

    /// Forgets the series of a model that was deleted.
    pub(crate) fn forget_model(&self, model: &ModelName) {
        for code in CODES {
            let _ = self
                .requests
                .remove_label_values(&[model.as_str(), "", code]);
        }

        let _ = self.duration.remove_label_values(&[model.as_str()]);
        for vec in [&self.loads.load_failures, &self.loads.swaps] {
            let _ = vec.remove_label_values(&[model.as_str()]);
        }

        let _ = self
            .loads
            .default_failed
            .remove_label_values(&[model.as_str()]);
    }
}
