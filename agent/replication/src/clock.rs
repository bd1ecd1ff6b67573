//! The agent's hybrid logical clock: one per process, shared by publishers and receivers.

use parking_lot::Mutex;
use regionmesh_protocol::{clock::HybridTime, models::catalogue::Catalogue};
use std::sync::Arc;

/// A clock. Clones are the same clock.
#[derive(Debug, Clone, Default)]
pub struct HybridClock(Arc<Mutex<HybridTime>>);

impl HybridClock {
    /// A time later than every time given or observed before.
    pub fn next(&self) -> HybridTime {
        let mut last = self.0.lock();
        *last = last.next(regionmesh_runtime::time::unix_ms());
        *last
    }

    /// Advances the clock to a timestamp received from a peer.
    pub(crate) fn advance_to(&self, time: HybridTime) {
        let mut last = self.0.lock();
        *last = last.observe(time, regionmesh_runtime::time::unix_ms());
    }

    /// Advances the clock past every time in a catalogue, so that later publications get later
    /// timestamps.
    pub fn observe(&self, catalogue: &Catalogue) {
        let times = catalogue.versions.iter().map(|version| version.published);
        let times = times.chain(catalogue.aliases.iter().map(|alias| alias.set));
        let times = times.chain(
            catalogue
                .tombstones
                .iter()
                .map(|tombstone| tombstone.deleted),
        );
        let now_ms = regionmesh_runtime::time::unix_ms();
        let mut last = self.0.lock();

        *last = times.fold(*last, |last, seen| last.observe(seen, now_ms));
    }
}
