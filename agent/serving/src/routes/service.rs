//! The state that request handlers share.

use crate::{admission::Admission, loader::VersionRegistry, metrics::ServingMetrics};
use http::HeaderName;
use regionmesh_protocol::identity::RegionName;
use regionmesh_runtime::meter::Meter;
use std::{sync::Arc, time::Duration};
use tokio::sync::{Semaphore, watch};

/// Names the region that answered.
pub(crate) const REGION_HEADER: HeaderName = HeaderName::from_static("x-regionmesh-region");

/// The state of the request handlers.
#[derive(Clone)]
pub(crate) struct Service {
    pub(crate) version_registry: Arc<VersionRegistry>,
    /// Limits of request bodies.
    pub(crate) admission: Arc<Admission>,
    /// Limits the inferences of all models together.
    pub(crate) computing: Arc<Semaphore>,
    /// From the whole request received to the answer.
    pub(crate) inference_timeout: Duration,
    /// True while the region drains: not ready, but inference continues.
    pub(crate) draining: watch::Receiver<bool>,
    pub(crate) region: RegionName,
    /// Measures inferences, for the cost report.
    pub(crate) meter: Meter,
    pub(crate) metrics: ServingMetrics,
}

/// Model and version of a path.
#[derive(serde::Deserialize)]
pub(super) struct Target {
    pub(super) model: String,
    pub(super) version: Option<String>,
}
