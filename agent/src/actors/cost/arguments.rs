//! What the cost actor is started with.

use super::metrics::CostMetrics;
use crate::{
    actors::messages::CoreMessage,
    address::Address,
    config::Config,
    cost::{archive::Archive, books::Books, view::LiveView},
    snapshots::Snapshots,
};
use regionmesh_protocol::identity::AgentId;
use regionmesh_runtime::meter::Meter;
use std::sync::Arc;
use tokio::sync::watch;

/// What the actor is started with, on each start.
#[derive(Clone)]
pub struct CostArguments {
    /// The configuration in force.
    pub live: watch::Receiver<Arc<Config>>,
    /// This agent.
    pub id: AgentId,
    /// When the process started, Unix milliseconds.
    pub started_ms: u64,
    /// What the other actors publish.
    pub snapshots: Snapshots,
    /// Where the cost status is published.
    pub core: Address<CoreMessage>,
    /// What this agent counted.
    pub meter: Meter,
    /// Bills, prices and usage in the region's bucket.
    pub archive: Archive,
    /// Where bills and prices are published.
    pub books: Arc<watch::Sender<Arc<Books>>>,
    /// Where the live plane is published.
    pub view: Arc<watch::Sender<Arc<LiveView>>>,
    pub metrics: CostMetrics,
}
