//! Metrics of the mesh, and a rate-limited log of refused messages.

use parking_lot::Mutex;
use prometheus::{
    Gauge, GaugeVec, IntCounterVec, IntGauge, IntGaugeVec, register_gauge_vec_with_registry,
    register_gauge_with_registry, register_int_counter_vec_with_registry,
    register_int_gauge_vec_with_registry, register_int_gauge_with_registry,
};
use regionmesh_runtime::{logging::KeyedThrottle, metrics::Registry};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// A refusal of one kind is logged at most this often.
const LOG_EVERY: Duration = Duration::from_secs(60);

/// The mesh's metrics. Clones share their values.
#[derive(Debug, Clone)]
pub struct MeshMetrics {
    /// Connections by region of the peer and kind (`control`, `bulk`).
    pub(crate) connections: IntGaugeVec,
    /// Handshakes by outcome.
    pub(crate) handshakes: IntCounterVec,
    /// Attempts to dial that failed, by region.
    pub(crate) dial_failures: IntCounterVec,
    /// Smoothed round-trip time by region of the peer: the fastest connection's.
    pub(crate) round_trip: GaugeVec,
    /// Datagrams by direction.
    pub(crate) datagrams: IntCounterVec,
    /// Calls to peers' actors by outcome.
    pub(crate) calls: IntCounterVec,
    pub(crate) certificate: CertificateMetrics,
    /// Whether this agent holds links to other regions.
    pub(crate) gateway: IntGauge,
    /// Regions that we have no connection to.
    pub(crate) unreachable_regions: IntGauge,
    refused: IntCounterVec,
    refusal_log: Arc<Mutex<KeyedThrottle<&'static str>>>,
}

/// Metrics of this agent's certificate.
#[derive(Debug, Clone)]
pub(crate) struct CertificateMetrics {
    expiry: Gauge,
    lifetime: Gauge,
    /// Reloads of changed certificate files by outcome.
    pub(crate) reloads: IntCounterVec,
}

impl CertificateMetrics {
    fn new(registry: &Registry) -> prometheus::Result<Self> {
        let metrics = Self {
            expiry: register_gauge_with_registry!(
                "regionmesh_certificate_expiry_timestamp_seconds",
                "Expiry of the certificate, Unix time.",
                registry
            )?,
            lifetime: register_gauge_with_registry!(
                "regionmesh_certificate_lifetime_seconds",
                "Validity period of the certificate.",
                registry
            )?,
            reloads: register_int_counter_vec_with_registry!(
                "regionmesh_mesh_certificate_reloads_total",
                "Reloads of changed certificate files, by outcome: loaded, refused.",
                &["outcome"],
                registry
            )?,
        };

        // From 0, so that an alert sees the first of each.
        for outcome in ["loaded", "refused"] {
            let _ = metrics.reloads.with_label_values(&[outcome]);
        }

        Ok(metrics)
    }
}

impl MeshMetrics {
    /// Registers the metrics.
    pub fn new(registry: &Registry) -> prometheus::Result<Self> {
        let counters = |name: &str, help: &str, label: &str| {
            register_int_counter_vec_with_registry!(name, help, &[label], registry)
        };

        Ok(Self {
            connections: register_int_gauge_vec_with_registry!(
                "regionmesh_mesh_connections",
                "Open connections, by kind: control, bulk.",
                &["region", "kind"],
                registry
            )?,
            handshakes: counters(
                "regionmesh_mesh_handshakes_total",
                "Incoming handshakes, by outcome: accepted, own, sent-on, failed, timed-out, shed, \
                    retried.",
                "outcome",
            )?,
            dial_failures: counters(
                "regionmesh_mesh_dial_failures_total",
                "Failed connection attempts.",
                "region",
            )?,
            round_trip: register_gauge_vec_with_registry!(
                "regionmesh_mesh_round_trip_seconds",
                "Smoothed round-trip time to the nearest agent.",
                &["region"],
                registry
            )?,
            datagrams: counters(
                "regionmesh_mesh_datagrams_total",
                "SWIM datagrams, by direction: sent, received, relayed, unsendable.",
                "direction",
            )?,
            calls: counters(
                "regionmesh_mesh_calls_total",
                "Calls to peers, by outcome: answered, not-connected, busy, timed-out, broken, \
                    malformed.",
                "outcome",
            )?,
            certificate: CertificateMetrics::new(registry)?,
            gateway: register_int_gauge_with_registry!(
                "regionmesh_mesh_gateway",
                "1 while this agent holds links to other regions; at most three agents of a region \
                    do.",
                registry
            )?,
            unreachable_regions: register_int_gauge_with_registry!(
                "regionmesh_mesh_unreachable_regions",
                "Regions without any connection.",
                registry
            )?,
            refused: counters(
                "regionmesh_mesh_refused_total",
                "Connections and frames rejected, by reason.",
                "reason",
            )?,
            refusal_log: Arc::new(Mutex::new(KeyedThrottle::new(LOG_EVERY))),
        })
    }

    /// Sets the validity of the certificate in use: its expiry in Unix seconds, its lifetime in
    /// seconds.
    pub(crate) fn set_certificate(&self, expires_s: i64, lifetime_s: i64) {
        self.certificate.expiry.set(expires_s as f64);
        self.certificate.lifetime.set(lifetime_s as f64);
    }

    /// Counts a refusal, and logs it unless one for the same reason was logged within a minute.
    pub(crate) fn refuse(&self, reason: &'static str, what: &str) {
        self.refused.with_label_values(&[reason]).inc();
        if let Some(unlogged_before) = self.refusal_log.lock().admit(&reason, Instant::now()) {
            tracing::warn!(reason, unlogged_before, "refused: {what}");
        }
    }
}
