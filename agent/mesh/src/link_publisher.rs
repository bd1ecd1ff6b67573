//! Publishes this agent's connections on its status board.

use super::links::Mesh;
use regionmesh_protocol::status::Links;
use std::{
    convert::Infallible,
    time::{Duration, Instant},
};

impl Mesh {
    /// Publishes this agent's connections: immediately when one opens or closes, and all of them
    /// again every `repeat`, since gossip may have restarted.
    pub async fn publish_links(&self, repeat: Duration) -> Infallible {
        let inner = &self.inner;
        let mut changes = inner.links.subscribe();
        let mut published = Links::default();
        let mut published_at = None::<Instant>;
        let mut sent_at = None::<Instant>;

        loop {
            let current = inner.published(&changes.borrow_and_update());
            if published_at.is_none_or(|at| current.replaces(&published, elapsed_ms(at))) {
                published = current;
                published_at = Some(Instant::now());
                sent_at = None;
            }

            if sent_at.is_none_or(|at| at.elapsed() >= repeat) {
                // Lost while gossip restarts, and sent again after `repeat`.
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
