//! Versions that lost files in the store.

use super::{
    effect::{Effect, Notice},
    offers::offers,
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
        self.upkeep.retain_attempts(&found);
        if found.is_empty() {
            return;
        }

        // The files of a version that was deleted since the check began are gone on purpose.
        let deletions = Deletions::of(&self.known_tombstones());
        for version in found.into_iter().filter(|found| !deletions.cover(found)) {
            let mut offers = offers(self.peers.holders(&version));
            let mut all = offers.iter();
            if all.any(|offer| self.fetches.is_running(&offer.version)) {
                continue;
            }

            // The regions with the manifest that was tried last may have lost the same files.
            let attempt = self.upkeep.attempt(&version);
            let tried = attempt.checked_rem(offers.len()).unwrap_or(0);
            offers.rotate_left(tried);
            let mut reachable = offers.iter();
            let offer = reachable.find_map(|offer| self.reachable(offer, now.unix_ms));
            out.push(Effect::Notice(Notice::FilesLost {
                version: version.clone(),
                is_fetched: offer.is_some(),
            }));
            if let Some((offered, sources)) = offer {
                self.fetches.start(offered, sources, now.monotonic, out);
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
