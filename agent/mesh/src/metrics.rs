//! What the mesh counts, and a log that garbage can't flood.

use super::tls::Identity;
use prometheus::{Gauge, GaugeVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// A refusal of one kind is logged at most this often.
const LOG_EVERY: Duration = Duration::from_secs(60);

/// The mesh's metrics. Cloned freely; clones count together.
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
    /// Expiry of our certificate.
    pub(crate) certificate_expiry: Gauge,
    /// Lifetime of our certificate.
    pub(crate) certificate_lifetime: Gauge,
    /// Looks at the certificate files by outcome.
    pub(crate) reloads: IntCounterVec,
    /// Regions that we have no connection to.
    pub(crate) unreachable_regions: IntGauge,
    refused: IntCounterVec,
    last_logged: Arc<Mutex<BTreeMap<&'static str, (Instant, u64)>>>,
}

impl MeshMetrics {
    /// Registers them.
    pub fn new(registry: &Registry) -> prometheus::Result<Self> {
        let counters = |name: &str, help: &str, labels: &[&str]| {
            let vec =
                IntCounterVec::new(Opts::new(format!("regionmesh_mesh_{name}"), help), labels)?;
            registry.register(Box::new(vec.clone()))?;
            Ok::<_, prometheus::Error>(vec)
        };

        let connections = IntGaugeVec::new(
            Opts::new(
                "regionmesh_mesh_connections",
                "Open connections by region of the peer.",
            ),
            &["region", "kind"],
        )?;

        let round_trip = GaugeVec::new(
            Opts::new(
                "regionmesh_mesh_round_trip_seconds",
                "Smoothed round-trip time to the region's nearest agent.",
            ),
            &["region"],
        )?;

        let certificate_expiry = Gauge::new(
            "regionmesh_certificate_expiry_timestamp_seconds",
            "When this agent's certificate expires, Unix time.",
        )?;
        let certificate_lifetime = Gauge::new(
            "regionmesh_certificate_lifetime_seconds",
            "How long this agent's certificate is valid, from its first to its last second.",
        )?;
        let unreachable_regions = IntGauge::new(
            "regionmesh_mesh_unreachable_regions",
            "Regions without a connection to any agent.",
        )?;

        let refused = counters(
            "refused_total",
            "What peers or strangers sent and we refused, by reason.",
            &["reason"],
        )?;
        let reloads = counters(
            "certificate_reloads_total",
            "Changed certificate files by outcome.",
            &["outcome"],
        )?;

        // From 0, so that an alert sees the first of each.
        ["loaded", "refused"]
            .iter()
            .for_each(|outcome| drop(reloads.with_label_values(&[*outcome])));
        registry.register(Box::new(connections.clone()))?;
        registry.register(Box::new(round_trip.clone()))?;
        registry.register(Box::new(certificate_expiry.clone()))?;
        registry.register(Box::new(certificate_lifetime.clone()))?;
        registry.register(Box::new(unreachable_regions.clone()))?;

        Ok(Self {
            connections,
            handshakes: counters(
                "handshakes_total",
                "Incoming handshakes by outcome.",
                &["outcome"],
            )?,
            dial_failures: counters(
                "dial_failures_total",
                "Failed attempts to connect, by region.",
                &["region"],
            )?,
            round_trip,
            datagrams: counters(
                "datagrams_total",
                "SWIM datagrams by direction.",
                &["direction"],
            )?,
            calls: counters(
                "calls_total",
                "Calls to peers' actors by outcome.",
                &["outcome"],
            )?,
            certificate_expiry,
            certificate_lifetime,
            reloads,
            unreachable_regions,
            refused,
            last_logged: Arc::default(),
        })
    }

    /// Shows how long the certificate in use is valid.
    pub(crate) fn show_certificate(&self, identity: &Identity) {
        self.certificate_expiry.set(identity.expires_s() as f64);
        self.certificate_lifetime.set(identity.lifetime_s() as f64);
    }

    /// Counts a refusal, and logs it unless one for the same reason was logged within a minute.
    pub(crate) fn refuse(&self, reason: &'static str, what: &str) {
        self.refused.with_label_values(&[reason]).inc();
        let mut logged = self
            .last_logged
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();

        match logged.get_mut(reason) {
            Some((at, unlogged)) if now.duration_since(*at) < LOG_EVERY => *unlogged += 1,
            previous => {
                let unlogged = previous.map_or(0, |(_, unlogged)| *unlogged);
                tracing::warn!(reason, unlogged_before = unlogged, "refused: {what}");
                logged.insert(reason, (now, 0));
            }
        }
    }
}
