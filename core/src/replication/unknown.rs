//! Regions whose catalogue could not be read. Not knowing what is missing is not the same as
//! missing nothing.

use super::effect::{Effect, Notice};
use crate::problem_change::ProblemChange;
use regionmesh_protocol::{identity::RegionName, status::problem::ProblemKind};
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

impl Unknown {
    fn is_over_limit(&self) -> bool {
        !self.was_known || self.failures >= FAILURES_MAX
    }

    fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.since)
    }
}

/// Regions with an unknown catalogue, and since when.
#[derive(Debug, Default)]
pub(super) struct UnknownCatalogues(BTreeMap<RegionName, Unknown>);

impl UnknownCatalogues {
    /// A region announced a catalogue that we have not read.
    pub(super) fn announced(&mut self, region: &RegionName, was_known: bool, now: Instant) {
        self.0.entry(region.clone()).or_insert_with(|| Unknown {
            since: now,
            failures: 0,
            why: "it has not been read yet".into(),
            was_known,
            is_logged: false,
        });
    }

    /// Whether it was announced so long ago.
    pub(super) fn is_older(&self, region: &RegionName, than: Duration, now: Instant) -> bool {
        let unknown = self.0.get(region);
        unknown.is_some_and(|unknown| unknown.age(now) >= than)
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
        self.0
            .iter()
            .filter(|(_, unknown)| unknown.is_over_limit())
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
    pub(super) fn longest(&self, now: Instant) -> Duration {
        self.0
            .values()
            .filter(|unknown| unknown.is_over_limit())
            .map(|unknown| unknown.age(now))
            .max()
            .unwrap_or_default()
    }

    /// Reports those that have been unknown for longer than [`TOLERATED`].
    pub(super) fn report(&mut self, now: Instant, out: &mut Vec<Effect>) {
        let kind = ProblemKind::CatalogueUnknown;
        let mut subjects = BTreeSet::new();
        for (region, unknown) in &mut self.0 {
            if !unknown.is_over_limit() {
                continue;
            }
            subjects.insert(region.to_string());

            if unknown.age(now) < TOLERATED {
                continue;
            }

            if !std::mem::replace(&mut unknown.is_logged, true) {
                out.push(Effect::Notice(Notice::CatalogueUnknown {
                    region: region.clone(),
                    why: unknown.why.clone(),
                }));
            }

            let detail = format!(
                "the catalogue of {region} can't be read: {}; its new versions are not replicated \
                    here",
                unknown.why
            );
            out.push(Effect::Problem(ProblemChange::Set {
                kind,
                subject: region.to_string(),
                detail,
            }));
        }

        out.push(Effect::Problem(ProblemChange::Retain { kind, subjects }));
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
        let now = Instant::now();

        unknown.announced(&new, false, now);
        unknown.announced(&old, true, now);
        assert_eq!(unknown.regions(), std::slice::from_ref(&new));
        unknown.failed(&old, "no".into());
        assert_eq!(unknown.regions(), std::slice::from_ref(&new));
        assert!(!unknown.is_unreadable(&old) && !unknown.is_unreadable(&new));
        unknown.failed(&old, "no".into());
        assert_eq!(unknown.regions(), [new.clone(), old.clone()]);
        assert!(unknown.is_unreadable(&old) && !unknown.is_unreadable(&new));
        assert_eq!(unknown.longest(now + TOLERATED), TOLERATED);
        unknown.learnt(&old);
        unknown.retain(&BTreeSet::new());
        assert!(unknown.regions().is_empty() && unknown.longest(now) == Duration::ZERO);
    }

    #[test]
    fn an_unknown_catalogue_is_a_problem_after_five_seconds_and_logged_once() {
        let mut unknown = UnknownCatalogues::default();
        let region: RegionName = "new".parse().unwrap();
        let start = Instant::now();
        let report = |unknown: &mut UnknownCatalogues, seconds| {
            let mut out = Vec::new();
            unknown.report(start + Duration::from_secs(seconds), &mut out);
            let logged = |effect: &&Effect| matches!(effect, Effect::Notice(_));
            let set =
                |effect: &&Effect| matches!(effect, Effect::Problem(ProblemChange::Set { .. }));
            (
                out.iter().filter(logged).count(),
                out.iter().filter(set).count(),
            )
        };

        unknown.announced(&region, false, start);
        assert_eq!(report(&mut unknown, 4), (0, 0));
        assert_eq!(report(&mut unknown, 5), (1, 1));
        assert_eq!(report(&mut unknown, 6), (0, 1));
        unknown.learnt(&region);
        assert_eq!(report(&mut unknown, 7), (0, 0));
    }
}
