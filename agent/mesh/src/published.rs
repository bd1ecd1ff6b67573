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

/// The status entry for this agent's connections.
pub(crate) fn published_links(
    settings: &Settings,
    own: &AgentId,
    links: &BTreeMap<AgentId, LinkInfo>,
) -> Links {
    let regions = settings.regions.iter().map(|region| &region.name);
    Links::new(
        &own.region,
        regions,
        links
            .iter()
            .map(|(agent, link)| (agent, link.round_trip_us)),
    )
}
