//! Maintenance of the store: cleaning up after crashes, and checking that no files were lost.

use super::{
    effect::{Effect, Notice},
    input::Cleaned,
    view::View,
};
use regionmesh_protocol::models::{catalogue::Catalogue, manifest::VersionSummary};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

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

/// When maintenance is due.
#[derive(Debug, Default)]
pub(super) struct Upkeep {
    /// Whether a write of this agent left files behind, and the store is available.
    pub(super) has_leftovers: bool,
    is_cleaning: bool,
    cleaned_at: Option<Instant>,
    is_retrying: bool,
    is_checking: bool,
    checked_at: Option<Instant>,
    /// How often versions that lost files were fetched again.
    attempts: BTreeMap<VersionSummary, usize>,
}

impl Upkeep {
    /// Each agent cleans up after its own start and its own failed writes, since it alone
    /// recognises its leftovers immediately; otherwise one agent of the region does.
    pub(super) fn clean_if_due(
        &mut self,
        own: &Catalogue,
        view: &View,
        now: Instant,
        out: &mut Vec<Effect>,
    ) {
        let pause = self.cleaned_at.map(|at| now.saturating_duration_since(at));
        let is_due = match pause {
            None => true,
            Some(pause) if self.is_retrying => pause >= CLEAN_RETRY,
            Some(pause) if self.has_leftovers => pause >= CLEAN_AFTER_FAILURE,
            Some(pause) => pause >= CLEAN_EVERY && view.is_ours(CLEANING),
        };

        if !self.is_cleaning && is_due {
            self.is_cleaning = true;
            self.cleaned_at = Some(now);
            out.push(Effect::CleanUp(own.tombstones.clone()));
        }
    }

    /// A clean-up ended. Returns whether it removed something.
    pub(super) fn cleaned(
        &mut self,
        outcome: Result<Cleaned, String>,
        out: &mut Vec<Effect>,
    ) -> bool {
        self.is_cleaning = false;
        self.is_retrying = outcome.is_err();
        match outcome {
            Ok(cleaned) => {
                out.push(Effect::Notice(Notice::CleanedUp(cleaned)));
                cleaned != Cleaned::default()
            }
            Err(why) => {
                out.push(Effect::Notice(Notice::CleanUpFailed(why)));
                false
            }
        }
    }

    /// Checks periodically that the store still has the files that its manifests name.
    pub(super) fn check_if_due(
        &mut self,
        own: &Catalogue,
        rescan_interval: Duration,
        view: &View,
        now: Instant,
        out: &mut Vec<Effect>,
    ) {
        // Not at the start: which other regions hold a version is not known then.
        let checked_at = *self.checked_at.get_or_insert(now);
        let is_over =
            now.saturating_duration_since(checked_at) >= rescan_interval * RESCANS_PER_CHECK;

        if is_over && !self.is_checking && view.is_ours(CLEANING) {
            self.is_checking = true;
            self.checked_at = Some(now);
            out.push(Effect::FindLosses(own.versions.clone()));
        }
    }

    pub(super) fn checked(&mut self) {
        self.is_checking = false;
    }

    /// Only these versions lack files.
    pub(super) fn retain_attempts(&mut self, incomplete: &[VersionSummary]) {
        self.attempts
            .retain(|version, _| incomplete.contains(version));
    }

    /// How often this version was fetched again before, counting from now.
    pub(super) fn attempt(&mut self, version: &VersionSummary) -> usize {
        let attempts = self.attempts.entry(version.clone()).or_default();
        *attempts += 1;
        *attempts - 1
    }
}
