//! Regions whose catalogue could not be read. Not knowing what is missing is not the same as
//! missing nothing.

use regionmesh_protocol::{identity::RegionName, status::problem::ProblemKind};
use regionmesh_runtime::problems::Problems;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

/// A catalogue unknown for longer is a problem. Normally a catalogue arrives within a second.
const TOLERATED: Duration = Duration::from_secs(5);
/// Failed attempts after which a region whose catalogue was known before counts as unknown.
const FAILURES_MAX: u32 = 2;

#[derive(Debug)]
struct Unknown {
    since: Instant,
    failures: u32,
    why: String,
    /// Whether an earlier catalogue of the region was read.
    was_known: bool,
    is_logged: bool,
}

/// Regions with an unknown catalogue, and since when.
#[derive(Debug, Default)]
pub(super) struct UnknownCatalogues(BTreeMap<RegionName, Unknown>);

impl UnknownCatalogues {
    /// A region announced a catalogue that we have not read.
    pub(super) fn announced(&mut self, region: &RegionName, was_known: bool) {
        self.0.entry(region.clone()).or_insert_with(|| Unknown {
            since: Instant::now(),
            failures: 0,
            why: "it has not been read yet".into(),
            was_known,
            is_logged: false,
        });
    }

    /// Reading it failed.
    pub(super) fn failed(&mut self, region: &RegionName, why: String) {
        let Some(unknown) = self.0.get_mut(region) else {
            return;
        };
        unknown.failures = unknown.failures.saturating_add(1);
        unknown.why = why;
    }

    /// It was read.
    pub(super) fn learnt(&mut self, region: &RegionName) {
        self.0.remove(region);
    }

    /// Forgets all regions except these, which are alive.
    pub(super) fn retain(&mut self, living: &BTreeSet<RegionName>) {
        self.0.retain(|region, _| living.contains(region));
    }

    /// The regions whose catalogue is unknown.
    pub(super) fn regions(&self) -> Vec<RegionName> {
        let is_unknown = |unknown: &Unknown| !unknown.was_known || unknown.failures >= FAILURES_MAX;
        self.0
            .iter()
            .filter(|(_, unknown)| is_unknown(unknown))
            .map(|(region, _)| region.clone())
            .collect()
    }

    /// Whether reading a region's catalogue failed repeatedly.
    pub(super) fn is_unreadable(&self, region: &RegionName) -> bool {
        self.0
            .get(region)
            .is_some_and(|unknown| unknown.failures >= FAILURES_MAX)
    }

    /// How long the oldest of them has been unknown.
    pub(super) fn longest(&self) -> Duration {
        let unknown = self.regions();
        self.0
            .iter()
            .filter(|(region, _)| unknown.contains(region))
            .map(|(_, unknown)| unknown.since.elapsed())
            .max()
            .unwrap_or_default()
    }

    /// Reports those that have been unknown for longer than [`TOLERATED`].
    pub(super) fn report(&mut self, problems: &Problems) {
        let unknown = self.regions();
        for region in &unknown {
            let Some(entry) = self
                .0
                .get_mut(region)
                .filter(|entry| entry.since.elapsed() >= TOLERATED)
            else {
                continue;
            };

            if !std::mem::replace(&mut entry.is_logged, true) {
                tracing::error!(%region, why = entry.why, "the catalogue of this region can't be \
                    read: its new versions are not replicated");
            }

            let detail = format!(
                "the catalogue of {region} can't be read: {}; its new versions are not replicated \
                    here",
                entry.why
            );

            problems.set(ProblemKind::CatalogueUnknown, region.as_str(), detail);
        }

        problems.retain(ProblemKind::CatalogueUnknown, |subject| {
            unknown.iter().any(|region| region.as_str() == subject)
        });
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_catalogue_never_read_is_unknown_immediately_and_a_known_one_after_failures() {
        let mut unknown = UnknownCatalogues::default();
        let new: RegionName = "new".parse().unwrap();
        let old: RegionName = "old".parse().unwrap();

        unknown.announced(&new, false);
        unknown.announced(&old, true);
        assert_eq!(unknown.regions(), std::slice::from_ref(&new));
        unknown.failed(&old, "no".into());
        assert_eq!(unknown.regions(), std::slice::from_ref(&new));
        assert!(!unknown.is_unreadable(&old) && !unknown.is_unreadable(&new));
        unknown.failed(&old, "no".into());
        assert_eq!(unknown.regions(), [new.clone(), old.clone()]);
        assert!(unknown.is_unreadable(&old) && !unknown.is_unreadable(&new));
        unknown.learnt(&old);
        unknown.retain(&BTreeSet::new());
        assert!(unknown.regions().is_empty() && unknown.longest() == Duration::ZERO);
    }
}
