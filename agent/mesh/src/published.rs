//! What the mesh is told of this agent's connections.

use super::{
    links::{LinkInfo, Mesh},
    settings::Settings,
};
use regionmesh_protocol::{identity::AgentId, status::Links};
use std::{
    collections::BTreeMap,
    convert::Infallible,
    time::{Duration, Instant},
};

/// This agent's connections as the mesh is told of them.
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

impl Mesh {
    /// Publishes this agent's connections on the status board: each that comes or goes at once, and
    /// all of them again every `repeat`, since gossip may have been restarted in between.
    pub async fn publish_links(&self, repeat: Duration) -> Infallible {
        let inner = &self.inner;
        let mut changes = inner.links.subscribe();
        let mut published = Links::default();
        let mut published_at = None::<Instant>;
        let mut sent_at = None::<Instant>;

        loop {
            let current = published_links(&inner.settings, &inner.id, &changes.borrow_and_update());
            if published_at.is_none_or(|at| current.replaces(&published, elapsed_ms(at))) {
                (published, published_at, sent_at) = (current, Some(Instant::now()), None);
            }

            if sent_at.is_none_or(|at| at.elapsed() >= repeat) {
                // Gossip is being restarted: sent again soon.
                inner.gossip.publish(published.clone());
                sent_at = Some(Instant::now());
            }

            // Changes come every few seconds, since round-trip times are among them.
            let _ = tokio::time::timeout(repeat, changes.changed()).await;
        }
    }
}

fn elapsed_ms(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}
