//! Metrics of the mesh, and a rate-limited log of refused messages.

use prometheus::{Gauge, GaugeVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
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
    pub(crate) certificate_expiry: Gauge,
    pub(crate) certificate_lifetime: Gauge,
    /// Reloads of changed certificate files by outcome.
    pub(crate) reloads: IntCounterVec,
    /// Regions that we have no connection to.
    pub(crate) unreachable_regions: IntGauge,
    refused: IntCounterVec,
    last_logged: Arc<Mutex<BTreeMap<&'static str, (Instant, u64)>>>,
}

impl MeshMetrics {
    /// Registers the metrics.
    pub fn new(registry: &Registry) -> prometheus::Result<Self> {
        let reloads = counters(
            registry,
            "certificate_reloads_total",
            "Changed certificate files by outcome.",
            &["outcome"],
        )?;
        // From 0, so that an alert sees the first of each.
        for outcome in ["loaded", "refused"] {
            let _ = reloads.with_label_values(&[outcome]);
        }

        Ok(Self {
            connections: connections(registry)?,
            handshakes: counters(
                registry,
                "handshakes_total",
                "Incoming handshakes by outcome.",
                &["outcome"],
            )?,
            dial_failures: counters(
                registry,
                "dial_failures_total",
                "Failed attempts to connect, by region.",
                &["region"],
            )?,
            round_trip: round_trip(registry)?,
            datagrams: counters(
                registry,
                "datagrams_total",
                "SWIM datagrams by direction.",
                &["direction"],
            )?,
            calls: counters(
                registry,
                "calls_total",
                "Calls to peers' actors by outcome.",
                &["outcome"],
            )?,
            certificate_expiry: gauge(
                registry,
                "regionmesh_certificate_expiry_timestamp_seconds",
                "When this agent's certificate expires, Unix time.",
            )?,
            certificate_lifetime: gauge(
                registry,
                "regionmesh_certificate_lifetime_seconds",
                "How long this agent's certificate is valid, from its first to its last second.",
            )?,
            reloads,
            unreachable_regions: unreachable_regions(registry)?,
            refused: counters(
                registry,
                "refused_total",
                "What peers or strangers sent and we refused, by reason.",
                &["reason"],
            )?,
            last_logged: Arc::default(),
        })
    }

    /// Sets the validity of the certificate in use: its expiry in Unix seconds, its lifetime in
    /// seconds.
    pub(crate) fn set_certificate(&self, expires_s: i64, lifetime_s: i64) {
        self.certificate_expiry.set(expires_s as f64);
        self.certificate_lifetime.set(lifetime_s as f64);
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

fn counters(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> prometheus::Result<IntCounterVec> {
    let options = Opts::new(format!("regionmesh_mesh_{name}"), help);
    let counters = IntCounterVec::new(options, labels)?;

    registry.register(Box::new(counters.clone()))?;
    Ok(counters)
}

fn gauge(registry: &Registry, name: &str, help: &str) -> prometheus::Result<Gauge> {
    let gauge = Gauge::new(name, help)?;
    registry.register(Box::new(gauge.clone()))?;
    Ok(gauge)
}

fn connections(registry: &Registry) -> prometheus::Result<IntGaugeVec> {
    let options = Opts::new(
        "regionmesh_mesh_connections",
        "Open connections by region of the peer.",
    );
    let connections = IntGaugeVec::new(options, &["region", "kind"])?;

    registry.register(Box::new(connections.clone()))?;
    Ok(connections)
}

fn round_trip(registry: &Registry) -> prometheus::Result<GaugeVec> {
    let options = Opts::new(
        "regionmesh_mesh_round_trip_seconds",
        "Smoothed round-trip time to the region's nearest agent.",
    );
    let round_trip = GaugeVec::new(options, &["region"])?;

    registry.register(Box::new(round_trip.clone()))?;
    Ok(round_trip)
}

fn unreachable_regions(registry: &Registry) -> prometheus::Result<IntGauge> {
    let unreachable = IntGauge::new(
        "regionmesh_mesh_unreachable_regions",
        "Regions without a connection to any agent.",
    )?;

    registry.register(Box::new(unreachable.clone()))?;
    Ok(unreachable)
}
