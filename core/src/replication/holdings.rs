//! What the region holds and lacks, for the board and the metrics.

use super::{
    effect::{Effect, Notice},
    replicator::Replication,
};
use crate::now::{Now, millis};
use regionmesh_protocol::status::{Holdings, StatusEntry};
use std::cmp::Reverse;

/// Most versions, and most aliases, in the board entry.
const SUMMARY_MAX: usize = 256;

impl Replication {
    /// Publishes what the region holds and lacks.
    pub(super) fn publish_holdings(&mut self, now: Now, out: &mut Vec<Effect>) {
        let Some(own) = &self.own else { return };
        self.peers.unknown.report(now.monotonic, out);

        let unknown = self.peers.unknown.regions();
        let missing = self.fetches.missing_count();
        let lag = self
            .fetches
            .longest(now.monotonic)
            .max(self.peers.unknown.longest(now.monotonic));
        let lag_ms = millis(lag);

        out.push(Effect::Notice(Notice::Lag {
            unknown: unknown.len(),
            missing,
            lag_ms,
        }));

        let mut newest: Vec<_> = own.catalogue.published().collect();
        newest.sort_by_key(|version| Reverse(version.published));

        let version_count = newest.len() as u64;
        let summaries = newest.into_iter().take(SUMMARY_MAX).map(|version| {
            (
                version.model.clone(),
                version.version.clone(),
                version.content,
            )
        });
        let aliases = own.catalogue.aliases.iter().take(SUMMARY_MAX);
        let holdings = Holdings {
            // None where it is too large to be published: the others then record it as unknown.
            catalogue: own.digest,
            versions: summaries.collect(),
            version_count,
            aliases: aliases.cloned().collect(),
            missing: missing as u64,
            // In whole seconds, so that the entry does not change with every tick.
            lag_ms: lag_ms / 1000 * 1000,
            unknown,
        };

        out.push(Effect::Publish(Box::new(StatusEntry::Holdings(holdings))));
    }
}
