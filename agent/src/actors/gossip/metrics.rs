//! Metrics of the gossip actor.

use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};

/// Metrics of membership and the status board.
#[derive(Debug, Clone)]
pub struct GossipMetrics {
    pub(super) members_alive: IntGauge,
    pub(super) board_agents: IntGauge,
    pub(super) board_entries: IntGauge,
    pub(super) board_bytes: IntGauge,
    pub(super) exchanges: IntCounterVec,
    pub(super) entries_rejected: IntCounterVec,
    pub(super) datagrams: IntCounterVec,
    pub(super) datagrams_refused: IntCounterVec,
    pub(super) publish_failures: IntCounter,
}

impl GossipMetrics {
    /// Registers them.
    pub fn new(registry: &Registry) -> prometheus::Result<Self> {
        let gauge = |name: &str, help: &str| -> prometheus::Result<IntGauge> {
            let gauge = IntGauge::new(format!("regionmesh_gossip_{name}"), help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok(gauge)
        };
        let counters = |name: &str, help: &str, label: &str| -> prometheus::Result<IntCounterVec> {
            let counters = IntCounterVec::new(
                Opts::new(format!("regionmesh_gossip_{name}"), help),
                &[label],
            )?;

            registry.register(Box::new(counters.clone()))?;
            Ok(counters)
        };

        let publish_failures = IntCounter::new(
            "regionmesh_gossip_publish_failures_total",
            "Own facts that could not be signed or are too large.",
        )?;

        registry.register(Box::new(publish_failures.clone()))?;
        Ok(Self {
            members_alive: gauge(
                "members_alive",
                "Agents considered alive, this one included.",
            )?,
            board_agents: gauge("board_agents", "Agents with entries on the status board.")?,
            board_entries: gauge("board_entries", "Entries on the status board.")?,
            board_bytes: gauge("board_bytes", "Bytes of all entries on the status board.")?,
            exchanges: counters(
                "exchanges_total",
                "Board exchanges, begun and answered, by outcome.",
                "outcome",
            )?,
            entries_rejected: counters(
                "entries_rejected_total",
                "Board entries refused, by reason.",
                "reason",
            )?,
            datagrams: counters(
                "datagrams_total",
                "SWIM packets, by direction.",
                "direction",
            )?,
            datagrams_refused: counters(
                "datagrams_refused_total",
                "SWIM packets refused, by reason.",
                "reason",
            )?,
            publish_failures,
        })
    }
}
