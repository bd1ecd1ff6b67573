//! Missing versions, and their fetches.

use super::{
    effect::{Effect, Notice},
    settings::RETRY,
};
use crate::throttle::KeyedThrottle;
use regionmesh_protocol::{
    identity::{AgentId, RegionName},
    models::manifest::VersionSummary,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

/// How often a fetch of one version that fails repeatedly is logged.
const LOG_EVERY: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct Fetches {
    running: BTreeSet<VersionSummary>,
    /// Fetches that failed less than [`RETRY`] ago.
    failed: BTreeMap<VersionSummary, Instant>,
    missing_since: BTreeMap<VersionSummary, Instant>,
    /// Versions that wait for a relay, and which region that is.
    pub(super) awaited: BTreeMap<VersionSummary, RegionName>,
    /// Limits the log of a version that can't be fetched.
    log: KeyedThrottle<VersionSummary>,
}

impl Fetches {
    pub(super) fn new() -> Self {
        Self {
            running: BTreeSet::new(),
            failed: BTreeMap::new(),
            missing_since: BTreeMap::new(),
            awaited: BTreeMap::new(),
            log: KeyedThrottle::new(LOG_EVERY),
        }
    }

    /// These versions are missing now, no others.
    pub(super) fn note_missing(&mut self, missing: &BTreeSet<VersionSummary>, now: Instant) {
        self.missing_since
            .retain(|version, _| missing.contains(version));
        self.awaited.retain(|version, _| missing.contains(version));
        self.log.retain(|version| missing.contains(version));
        self.failed
            .retain(|_, at| now.saturating_duration_since(*at) < RETRY);

        for version in missing {
            self.missing_since.entry(version.clone()).or_insert(now);
        }
    }

    pub(super) fn missing_count(&self) -> usize {
        self.missing_since.len()
    }

    /// How long a version has been missing.
    pub(super) fn missing_for(&self, version: &VersionSummary, now: Instant) -> Duration {
        self.missing_since
            .get(version)
            .map(|since| now.saturating_duration_since(*since))
            .unwrap_or_default()
    }

    /// How long the oldest version has been missing.
    pub(super) fn longest(&self, now: Instant) -> Duration {
        let oldest = self.missing_since.values().min();
        oldest
            .map(|since| now.saturating_duration_since(*since))
            .unwrap_or_default()
    }

    pub(super) fn running_count(&self) -> usize {
        self.running.len()
    }

    pub(super) fn is_running(&self, version: &VersionSummary) -> bool {
        self.running.contains(version)
    }

    /// Whether it is neither under way nor paused after a failure.
    pub(super) fn may_start(&self, version: &VersionSummary) -> bool {
        !self.running.contains(version) && !self.failed.contains_key(version)
    }

    pub(super) fn start(
        &mut self,
        version: VersionSummary,
        sources: Vec<Vec<AgentId>>,
        now: Instant,
        out: &mut Vec<Effect>,
    ) {
        let missing_since = self.missing_since.get(&version).copied();
        self.running.insert(version.clone());

        out.push(Effect::Fetch {
            version,
            sources,
            missing_since: missing_since.unwrap_or(now),
        });
    }

    pub(super) fn succeeded(&mut self, version: &VersionSummary) {
        self.running.remove(version);
        self.failed.remove(version);
    }

    pub(super) fn fail(
        &mut self,
        version: VersionSummary,
        why: String,
        now: Instant,
        out: &mut Vec<Effect>,
    ) {
        self.running.remove(&version);
        self.failed.insert(version.clone(), now);

        if let Some(left_out) = self.log.admit(&version, now) {
            out.push(Effect::Notice(Notice::FetchFailed {
                version,
                why,
                left_out,
            }));
        }
    }
}
