//! Where an agent fetches versions from.

use regionmesh_core::{gossip::BoardView, replication::Routes};
use regionmesh_protocol::identity::{AgentId, RegionName};
use std::collections::{BTreeMap, BTreeSet};

/// Each region that holds a version is cheaper than the next; none is worth waiting for.
#[derive(Debug)]
pub(crate) struct NearestFirst;

impl Routes for NearestFirst {
    fn sources(
        &self,
        _: u64,
        holders: &[RegionName],
        links: &BTreeMap<AgentId, u64>,
    ) -> Vec<Vec<AgentId>> {
        let of_region = |region: &RegionName| -> Vec<AgentId> {
            let agents = links.keys().filter(|agent| agent.region == *region);
            agents.cloned().collect()
        };
        let lists = holders.iter().map(of_region);
        lists.filter(|list| !list.is_empty()).collect()
    }

    fn relay(
        &self,
        _: u64,
        _: &BoardView,
        _: &[RegionName],
        _: &BTreeSet<RegionName>,
    ) -> Option<RegionName> {
        None
    }
}
