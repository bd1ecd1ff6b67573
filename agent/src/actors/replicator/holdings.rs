//! What the region holds and lacks, for the board and the metrics.

use super::state::ReplicatorState;
use crate::actors::messages::GossipMessage;
use regionmesh_protocol::status::{Holdings, StatusEntry};
use std::time::Instant;

/// Most versions, and most aliases, in the board entry.
const SUMMARY_MAX: usize = 256;

impl ReplicatorState {
    /// Publishes what the region holds and lacks, and updates the metrics.
    pub(super) fn publish_holdings(&mut self) {
        let Some(own) = &self.own else { return };
        self.unknown.report(&self.arguments.snapshots.problems);

        let unknown = self.unknown.regions();
        let lag = self
            .first_missing
            .values()
            .map(Instant::elapsed)
            .max()
            .unwrap_or_default()
            .max(self.unknown.longest());
        let lag_ms = lag.as_millis() as u64;
        let metrics = &self.arguments.fetcher.metrics;

        metrics.unknown.set(unknown.len() as i64);
        metrics.missing.set(self.first_missing.len() as i64);
        metrics.lag.set(lag_ms as f64 / 1e3);

        let mut newest: Vec<_> = own.published().collect();
        newest.sort_by_key(|version| std::cmp::Reverse(version.published));

        let version_count = newest.len() as u64;
        let holdings = Holdings {
            // None where it is too large to be published: the others then record it as unknown.
            catalogue: self.own_digest,
            versions: newest
                .into_iter()
                .take(SUMMARY_MAX)
                .map(|version| {
                    (
                        version.model.clone(),
                        version.version.clone(),
                        version.content,
                    )
                })
                .collect(),
            version_count,
            aliases: own.aliases.iter().take(SUMMARY_MAX).cloned().collect(),
            missing: self.first_missing.len() as u64,
            // In whole seconds, so that the entry does not change with every tick.
            lag_ms: lag_ms / 1000 * 1000,
            unknown,
        };

        let _ =
            self.arguments
                .gossip
                .cast(GossipMessage::Publish(Box::new(StatusEntry::Holdings(
                    holdings,
                ))));
    }
}
