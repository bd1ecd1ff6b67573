//! What other parts know, as last learned.

use super::input::Routes;
use crate::{gateways::Gateways, gossip::BoardView, rendezvous};
use regionmesh_protocol::identity::{AgentId, RegionName};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

#[derive(Debug)]
pub(super) struct View {
    pub(super) own: AgentId,
    pub(super) board: Arc<BoardView>,
    /// Round trips to the connected agents, microseconds.
    pub(super) links: Arc<BTreeMap<AgentId, u64>>,
    pub(super) gateways: Arc<Gateways>,
    pub(super) routes: Option<Arc<dyn Routes>>,
    /// Whether the plan can be acted on.
    pub(super) is_current: bool,
}

impl View {
    pub(super) fn new(own: AgentId) -> Self {
        Self {
            own,
            board: Arc::default(),
            links: Arc::default(),
            gateways: Arc::default(),
            routes: None,
            is_current: false,
        }
    }

    /// Whether this agent, of the gateways of its region, is responsible for `key`.
    pub(super) fn is_ours(&self, key: &[u8]) -> bool {
        let Gateways { is_own, others, .. } = &*self.gateways;
        *is_own && rendezvous::is_first(&self.own, key, others)
    }

    /// Whether this agent is linked with a region, or relies on gateways that may be.
    pub(super) fn is_connected(&self, region: &RegionName) -> bool {
        !self.gateways.is_own || self.links.keys().any(|agent| agent.region == *region)
    }

    /// The gateways through which this agent learns of other regions; none if it is one.
    pub(super) fn through(&self) -> Vec<AgentId> {
        let Gateways { is_own, others, .. } = &*self.gateways;
        let linked = others
            .iter()
            .filter(|agent| !is_own && self.links.contains_key(*agent));
        linked.cloned().collect()
    }

    /// The connected agents of the regions that hold a version, the cheapest first.
    pub(super) fn sources(&self, holders: &[RegionName], unix_ms: u64) -> Vec<Vec<AgentId>> {
        self.routes.as_ref().map_or_else(Vec::new, |routes| {
            routes.sources(unix_ms, holders, &self.links)
        })
    }

    /// The connected region of `lacking` that is worth waiting for.
    pub(super) fn relay(
        &self,
        holders: &[RegionName],
        lacking: impl Iterator<Item = RegionName>,
        unix_ms: u64,
    ) -> Option<RegionName> {
        let lacking: BTreeSet<RegionName> = lacking
            .filter(|region| !holders.contains(region) && self.is_connected(region))
            .collect();

        let routes = self.routes.as_ref()?;
        routes.relay(unix_ms, &self.board, holders, &lacking)
    }
}
