//! What the agent passes to its DNS server.

use crate::{config::Config, metrics::DnsMetrics};
use regionmesh_core::{gossip::BoardView, planning::freeze::Freeze};
use regionmesh_protocol::plan::CommittedPlan;
use std::{sync::Arc, time::Instant};
use tokio::sync::watch;

/// What the DNS server needs.
#[derive(Debug, Clone)]
pub struct DnsArguments {
    /// Where to listen, the zone, the regions.
    pub config: Arc<Config>,
    /// The last committed plan, as this agent knows it.
    pub plan: watch::Receiver<Option<Arc<CommittedPlan>>>,
    /// Agents' measurements of each other's regions.
    pub board: watch::Receiver<Arc<BoardView>>,
    /// Counters; created once per registry, so that a restarted server continues them.
    pub metrics: DnsMetrics,
}

/// Channels between the agent and its DNS server, besides the plan.
#[derive(Debug, Clone)]
pub struct DnsChannels {
    /// Whether the plan is frozen, and what to answer until it is not.
    pub freeze: watch::Receiver<Option<Arc<Freeze>>>,
    /// When the process resumed after a stall. Written by the server.
    pub resumed: watch::Sender<Option<Instant>>,
    /// Whether the plan can be acted on. The server clears it after a stall, and answers nothing
    /// until it is set again.
    pub is_current: watch::Sender<bool>,
}
