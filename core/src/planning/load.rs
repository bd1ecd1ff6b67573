//! What regions serve, derived from counters that agents publish: requests per second, and what was
//! served since a ramp step began.
//!
//! Counters restart with each process, agents come and go, and a reader may join late: only
//! increments that we observed count. Agents don't agree on any of this; a new leader starts
//! measuring afresh, and a ramp waits for it.

use crate::{
    planning::capacity,
    recovery::canary::{CanaryComparison, Evidence},
};
use regionmesh_protocol::{
    identity::{AgentId, RegionName},
    status::served::Served,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Time between two points of a region's rate, milliseconds: as often as agents publish.
const POINT_MS: u64 = 5_000;
/// Points kept: rates are over a minute, so that the load of a region that just failed is still in
/// them.
const POINTS_MAX: usize = 13;

/// Measures what every region serves.
#[derive(Debug, Default)]
pub(crate) struct LoadMeter {
    last: BTreeMap<AgentId, Served>,
    regions: BTreeMap<RegionName, RegionLoad>,
    comparisons: BTreeMap<RegionName, Begun>,
}

#[derive(Debug, Default)]
struct RegionLoad {
    served: Served,
    /// Time and what was served until then.
    points: VecDeque<(u64, Served)>,
    /// Estimated capacity, requests per second.
    most_rps: Option<u32>,
    /// Whether one of its agents publishes counters now.
    is_measured: bool,
}

/// What was served when a step began.
#[derive(Debug)]
struct Begun {
    step: usize,
    since_ms: u64,
    served: BTreeMap<RegionName, Served>,
}

impl LoadMeter {
    /// Takes in the counters of the living agents; `now_ms` is any clock that only goes forward.
    pub(crate) fn observe<'a>(
        &mut self,
        counters: impl Iterator<Item = (&'a AgentId, Served)>,
        now_ms: u64,
    ) {
        self.regions
            .values_mut()
            .for_each(|region| region.is_measured = false);

        let mut present = BTreeSet::new();
        for (agent, served) in counters {
            present.insert(agent.clone());
            let region = self.regions.entry(agent.region.clone()).or_default();
            region.is_measured = true;

            // Counts from before we first saw it don't count.
            let added = self
                .last
                .get(agent)
                .map_or_else(Served::default, |last| served.since(last));

            region.served = region.served.plus(&added);
            self.last.insert(agent.clone(), served);
        }

        self.last.retain(|agent, _| present.contains(agent));
        for region in self.regions.values_mut() {
            let is_due = region
                .points
                .back()
                .is_none_or(|(at_ms, _)| now_ms.saturating_sub(*at_ms) >= POINT_MS);

            if is_due {
                region.points.push_back((now_ms, region.served));
                if region.points.len() > POINTS_MAX {
                    region.points.pop_front();
                }
            }
        }
    }

    /// A region's load, requests per second over the last minute; none until there are two points.
    /// If measurement stops, the last known rate stays.
    pub(crate) fn rps(&self, region: &RegionName) -> Option<u32> {
        let points = &self.regions.get(region)?.points;
        let (first_ms, first) = points.front()?;
        let (last_ms, last) = points.back()?;
        let ms = last_ms.checked_sub(*first_ms).filter(|ms| *ms > 0)?;
        let rps = last
            .requests()
            .saturating_sub(first.requests())
            .saturating_mul(1_000)
            .div_ceil(ms);

        Some(u32::try_from(rps).unwrap_or(u32::MAX))
    }

    /// The estimated capacity of a region with `places`, requests per second, see
    /// [`crate::planning::capacity`]; none until there is an estimate.
    pub(crate) fn most_rps(&mut self, region: &RegionName, places: u32) -> Option<u32> {
        let region = self.regions.get_mut(region)?;
        let over_a_minute = region.points.back()?.1.since(&region.points.front()?.1);
        region.most_rps = capacity::steady(
            region.most_rps,
            capacity::estimate_rps(places, &over_a_minute),
        );

        region.most_rps
    }

    /// What `region` and the regions of `control` have served since `region` entered `step` at
    /// `since_ms`. The first call for a step begins it.
    pub(crate) fn comparison(
        &mut self,
        region: &RegionName,
        step: usize,
        since_ms: u64,
        control: &BTreeSet<RegionName>,
    ) -> Evidence {
        let is_measured = |name: &RegionName| {
            self.regions
                .get(name)
                .is_some_and(|region| region.is_measured)
        };

        if !is_measured(region) || !control.iter().all(is_measured) {
            return Evidence::Missing;
        }

        let begun = self.comparisons.get(region);
        if begun.is_none_or(|begun| (begun.step, begun.since_ms) != (step, since_ms)) {
            let served = self
                .regions
                .iter()
                .map(|(name, region)| (name.clone(), region.served))
                .collect();

            self.comparisons.insert(
                region.clone(),
                Begun {
                    step,
                    since_ms,
                    served,
                },
            );
        }

        let since = |name: &RegionName| {
            let now = self
                .regions
                .get(name)
                .map(|region| region.served)
                .unwrap_or_default();
            let before = self
                .comparisons
                .get(region)
                .and_then(|begun| begun.served.get(name))
                .copied()
                .unwrap_or_default();

            now.since(&before)
        };

        let of_control = control
            .iter()
            .map(since)
            .reduce(|sum, served| sum.plus(&served));

        Evidence::Measured(Box::new(CanaryComparison {
            step,
            since_ms,
            own: since(region),
            control: of_control,
        }))
    }

    /// Forgets the comparisons of all regions but these.
    pub(crate) fn retain_comparisons(&mut self, ramping: &BTreeSet<RegionName>) {
        self.comparisons
            .retain(|region, _| ramping.contains(region));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;
