//! The server as the agent runs it: what it is handed, and how it runs until it is stopped.

use super::{DnsError, config::Config, metrics::DnsMetrics, server::DnsServer};
use regionmesh_core::{gossip::BoardView, planning::freeze::Freeze};
use regionmesh_protocol::plan::CommittedPlan;
use std::{sync::Arc, time::Instant};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// What the DNS server needs.
#[derive(Debug, Clone)]
pub struct DnsArguments {
    /// Where to listen, the zone, the regions.
    pub config: Arc<Config>,
    /// The last committed plan, as this agent knows it.
    pub plan: watch::Receiver<Option<Arc<CommittedPlan>>>,
    /// What agents measure of each other's regions.
    pub board: watch::Receiver<Arc<BoardView>>,
    /// Counters; made once per registry, so that a restarted server goes on counting.
    pub metrics: DnsMetrics,
}

/// Channels between the agent and its DNS server, besides the plan.
#[derive(Debug, Clone)]
pub struct Guide {
    /// Whether the plan is frozen, and what to answer meanwhile.
    pub freeze: watch::Receiver<Option<Arc<Freeze>>>,
    /// When the process resumed after a stall. Written by the server.
    pub resumed: watch::Sender<Option<Instant>>,
    /// Whether the plan can be acted on. The server clears it after a stall, and answers nothing
    /// until it is set again.
    pub is_current: watch::Sender<bool>,
}

/// Binds and serves until `stop`, as `guide` says: what to answer while the plan is frozen, and
/// when a plan is heard again after the process stood still. Binding failures are returned;
/// afterwards nothing from outside ends it.
pub async fn run(
    arguments: DnsArguments,
    guide: Guide,
    stop: CancellationToken,
) -> Result<(), DnsError> {
    DnsServer::bind(arguments)
        .await?
        .guided_by(guide)
        .serve(stop)
        .await
}
