//! This agent's connections, as published on its status board.

use super::links::Inner;
use regionmesh_protocol::{identity::AgentId, status::Links};
use std::{collections::BTreeMap, time::Instant};

/// One connection of this agent, as it is published.
#[derive(Debug, Clone)]
pub struct LinkInfo {
    /// Smoothed round-trip time, microseconds.
    pub round_trip_us: u64,
    pub since: Instant,
}

/// The status entry for this agent's connections. Another agent than a gateway needs none to other
/// regions.
pub(crate) fn published_links(inner: &Inner, links: &BTreeMap<AgentId, LinkInfo>) -> Links {
    let is_gateway = inner.is_gateway();
    let needed = inner.settings.regions.iter().filter(|_| is_gateway);
    Links::new(
        &inner.id.region,
        needed.map(|region| &region.name),
        links
            .iter()
            .map(|(agent, link)| (agent, link.round_trip_us)),
    )
}
