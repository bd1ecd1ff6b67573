//! Metrics of gossip.

use prometheus::{
    IntCounter, IntCounterVec, IntGauge, register_int_counter_vec_with_registry,
    register_int_counter_with_registry, register_int_gauge_with_registry,
};
use regionmesh_runtime::metrics::Registry;

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
        let gauge =
            |name: &str, help: &str| register_int_gauge_with_registry!(name, help, registry);
        let counters = |name: &str, help: &str, label: &str| {
            register_int_counter_vec_with_registry!(name, help, &[label], registry)
        };

        Ok(Self {
            members_alive: gauge(
                "regionmesh_gossip_members_alive",
                "Agents considered alive, this one included.",
            )?,
            board_agents: gauge(
                "regionmesh_gossip_board_agents",
                "Agents on the status board.",
            )?,
            board_entries: gauge(
                "regionmesh_gossip_board_entries",
                "Entries on the status board.",
            )?,
            board_bytes: gauge(
                "regionmesh_gossip_board_bytes",
                "Size of the status board, bytes.",
            )?,
            exchanges: counters(
                "regionmesh_gossip_exchanges_total",
                "Board exchanges, by outcome: ok, answered, or the error.",
                "outcome",
            )?,
            entries_rejected: counters(
                "regionmesh_gossip_entries_rejected_total",
                "Board entries rejected, by reason: stale (harmless), forgotten, no_certificate, \
                    bad_certificate, bad_signature, malformed, too_large, full, not_looked_at.",
                "reason",
            )?,
            datagrams: counters(
                "regionmesh_gossip_datagrams_total",
                "SWIM packets, by direction: sent, received.",
                "direction",
            )?,
            datagrams_refused: counters(
                "regionmesh_gossip_datagrams_refused_total",
                "SWIM packets rejected, by reason: malformed, wrong_sender, full.",
                "reason",
            )?,
            publish_failures: register_int_counter_with_registry!(
                "regionmesh_gossip_publish_failures_total",
                "Own entries too large or not signed.",
                registry
            )?,
        })
    }

    pub(crate) fn count_datagram(&self, direction: &str) {
        self.datagrams.with_label_values(&[direction]).inc();
    }
}
