//! Maintenance of the store: cleaning up after crashes, and finding versions that lost files.

use super::state::ReplicatorState;
use crate::actors::messages::ReplicatorMessage;
use ractor::ActorRef;
use regionmesh_protocol::models::{catalogue::Catalogue, manifest::VersionSummary};
use regionmesh_store::Cleaned;
use std::time::{Duration, Instant};

/// How often leftovers of crashes are cleaned up, in addition to once after the start.
const CLEAN_EVERY: Duration = Duration::from_secs(3600);
/// Pause before a failed clean-up is repeated.
const CLEAN_RETRY: Duration = Duration::from_secs(60);
/// Shortest pause between two clean-ups where a write of this agent failed.
const CLEAN_AFTER_FAILURE: Duration = Duration::from_secs(10);
/// Files are checked once in this many rescans: that takes a listing of all objects.
const RESCANS_PER_CHECK: u32 = 10;
/// Elects the responsible agent of a region.
const CLEANING: &[u8] = b"cleaning";

impl ReplicatorState {
    /// Starts what is due. Each agent cleans up after its own start and its own failed writes,
    /// since it alone recognises its leftovers immediately; otherwise one agent of the region does.
    pub(super) fn maintain(&mut self, me: &ActorRef<ReplicatorMessage>) {
        let Some(own) = &self.own else { return };
        let is_due = match (self.upkeep.cleaned_at, self.upkeep.is_retrying) {
            (None, _) => true,
            (Some(at), true) => at.elapsed() >= CLEAN_RETRY,
            (Some(at), false) if self.arguments.store.needs_cleaning() => {
                at.elapsed() >= CLEAN_AFTER_FAILURE
            }
            (Some(at), false) => at.elapsed() >= CLEAN_EVERY && self.is_ours(CLEANING),
        };

        if self.upkeep.is_running || !is_due {
            return;
        }
        self.upkeep.is_running = true;
        self.upkeep.cleaned_at = Some(Instant::now());

        let me = me.clone();
        let store = self.arguments.store.clone();
        let tombstones = own.tombstones.clone();

        self.tasks.spawn(async move {
            let cleaned = store
                .clean(&tombstones)
                .await
                .map_err(|error| error.to_string());
            let _ = me.cast(ReplicatorMessage::Cleaned(cleaned));
        });
    }

    /// A clean-up ended.
    pub(super) fn cleaned(
        &mut self,
        me: &ActorRef<ReplicatorMessage>,
        outcome: Result<Cleaned, String>,
    ) {
        self.upkeep.is_running = false;
        self.upkeep.is_retrying = outcome.is_err();

        let metrics = &self.arguments.fetcher.metrics;
        match outcome {
            Ok(cleaned) => {
                let Cleaned {
                    deletions,
                    abandoned,
                    uploads,
                } = cleaned;

                for (what, count) in [
                    ("deletion", deletions),
                    ("version", abandoned),
                    ("upload", uploads),
                ] {
                    metrics
                        .cleaned
                        .with_label_values(&[what])
                        .inc_by(count as u64);
                }

                if cleaned != Cleaned::default() {
                    tracing::info!(
                        deletions,
                        abandoned,
                        uploads,
                        "cleaned up what crashed writers left in the store"
                    );

                    self.catch_up(me);
                }
            }
            Err(why) => tracing::warn!(why, "cleaning up the store failed; retrying"),
        }
    }

    /// Checks periodically that the store still has the files that its manifests name.
    pub(super) fn check_files(&mut self, me: &ActorRef<ReplicatorMessage>) {
        let interval =
            Duration::from_millis(self.arguments.config.replication.rescan_ms) * RESCANS_PER_CHECK;

        // Not at the start: which other regions hold a version is not known then.
        let checked_at = *self.upkeep.checked_at.get_or_insert_with(Instant::now);
        let is_due =
            checked_at.elapsed() >= interval && !self.upkeep.is_checking && self.is_ours(CLEANING);
        let Some(own) = self.own.as_ref().filter(|_| is_due) else {
            return;
        };

        self.upkeep.is_checking = true;
        self.upkeep.checked_at = Some(Instant::now());

        let me = me.clone();
        let store = self.arguments.store.clone();
        let versions = own.versions.clone();

        self.tasks.spawn(async move {
            let incomplete = store
                .incomplete(&versions)
                .await
                .map_err(|error| error.to_string());
            let _ = me.cast(ReplicatorMessage::LossesFound(incomplete));
        });
    }

    /// Fetches versions that lost files again, in place, from the regions that hold them. Loaded
    /// models keep serving.
    pub(super) fn losses_found(
        &mut self,
        me: &ActorRef<ReplicatorMessage>,
        found: Result<Vec<VersionSummary>, String>,
    ) {
        self.upkeep.is_checking = false;
        let found = match found {
            Ok(found) => found,
            Err(why) => return tracing::warn!(why, "the files in the store could not be listed"),
        };

        for version in found {
            let holds = |peer: &Catalogue| {
                peer.version(&version.model, &version.version)
                    .is_some_and(|held| held.content == version.content)
            };
            let holders = self
                .peers
                .iter()
                .filter(|(_, (_, peer))| holds(peer))
                .map(|(region, _)| region.clone());
            let sources = self.sources(&holders.collect::<Vec<_>>());

            let VersionSummary {
                model,
                version: name,
                ..
            } = &version;

            if sources.is_empty() {
                tracing::error!(%model, version = %name, "files of this version are missing from \
                    the store, and no reachable region holds it");
            } else if !self.fetching.contains(&version) {
                tracing::error!(%model, version = %name, "files of this version are missing from \
                    the store; fetching them again from another region");
                self.arguments.fetcher.metrics.losses.inc();
                self.fetch(me, version, sources);
            }
        }
    }

    /// Releases a version that was held before and has its files again.
    pub(super) fn announce_replaced(&self, version: &VersionSummary) {
        let held = self
            .own
            .as_ref()
            .and_then(|own| own.version(&version.model, &version.version));
        let is_held = held.is_some_and(|held| held.content == version.content);

        if let Some(quarantine) = self.arguments.quarantine.as_ref().filter(|_| is_held) {
            quarantine.try_again(&version.model, &version.version);
        }
    }
}
