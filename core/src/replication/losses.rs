//! Versions that lost files in the store.

use super::{
    effect::{Effect, Notice},
    replicator::Replication,
};
use crate::now::Now;
use regionmesh_protocol::models::{
    catalogue::{Deletions, Tombstone},
    manifest::VersionSummary,
};

impl Replication {
    /// Fetches versions that lost files again, in place, from the regions that hold them. Loaded
    /// models keep serving.
    pub(super) fn losses_found(
        &mut self,
        found: Result<Vec<VersionSummary>, String>,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        self.upkeep.checked();
        let found = match found {
            Ok(found) => found,
            Err(why) => return out.push(Effect::Notice(Notice::ListingFailed(why))),
        };
        if found.is_empty() {
            return;
        }

        // The files of a version that was deleted since the check began are gone on purpose.
        let deletions = Deletions::of(&self.known_tombstones());
        for version in found.into_iter().filter(|found| !deletions.cover(found)) {
            let holders = self.peers.holders(&version);
            let sources = self.view.sources(&holders, now.unix_ms);
            let is_fetched = !sources.is_empty();
            if is_fetched && self.fetches.is_running(&version) {
                continue;
            }

            out.push(Effect::Notice(Notice::FilesLost {
                version: version.clone(),
                is_fetched,
            }));
            if is_fetched {
                self.fetches.start(version, sources, now.monotonic, out);
            }
        }
    }

    fn known_tombstones(&self) -> Vec<Tombstone> {
        let own = self.own.iter().flat_map(|own| &own.catalogue.tombstones);
        own.chain(self.peers.tombstones()).cloned().collect()
    }

    /// Releases a version that was held before and has its files again.
    pub(super) fn release(&self, version: VersionSummary, out: &mut Vec<Effect>) {
        let held = self
            .own
            .as_ref()
            .and_then(|own| own.catalogue.version(&version.model, &version.version));

        if held.is_some_and(|held| held.content == version.content) {
            out.push(Effect::Replaced(version));
        }
    }
}
