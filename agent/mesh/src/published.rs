//! This agent's connections, as published on its status board.

use super::settings::Settings;
use regionmesh_protocol::{identity::AgentId, status::Links};
use std::{collections::BTreeMap, time::Instant};

/// One connection of this agent, as it is published.
#[derive(Debug, Clone)]
pub struct LinkInfo {
    /// Smoothed round-trip time, microseconds.
    pub round_trip_us: u64,
    pub since: Instant,
}

/// The status entry for the connections of agent `own`, which need none to other regions unless it
/// is a gateway.
pub(crate) fn published_links(
    settings: &Settings,
    own: &AgentId,
    is_gateway: bool,
    links: &BTreeMap<AgentId, LinkInfo>,
) -> Links {
    let needed = settings.regions.iter().filter(|_| is_gateway);
    Links::new(
        &own.region,
        needed.map(|region| &region.name),
        links
            .iter()
            .map(|(agent, link)| (agent, link.round_trip_us)),
    )
}
