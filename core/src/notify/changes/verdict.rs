//! Verdicts on regions.

use super::{ChangeDetector, quoted};
use crate::{health::verdict::RegionVerdict, notify::alert::MeshAlert};
use regionmesh_protocol::{
    event::{Event, EventKind, Severity},
    identity::RegionName,
    status::condition::Condition,
};
use std::collections::BTreeMap;

/// Agents that notice a change of unknown beginning within this time mean the same change,
/// milliseconds.
const COARSE_MS: u64 = 10_000;

/// The verdict on a region, and when enough observers had reached it by their own clocks.
#[derive(Debug, Clone, Copy)]
pub struct Judged<'a> {
    pub region: &'a RegionName,
    pub verdict: &'a RegionVerdict,
    /// See [`agreed_since`]; none if the verdict is not based on observers.
    pub since_ms: Option<u64>,
}

/// When a majority of the observing regions had reached a conclusion, by their own clocks: equal at
/// every agent that holds the same observations. `agreeing`: the regions, and when each of their
/// observers reached it; `voters`: how many regions have an opinion.
pub fn agreed_since<'a>(
    agreeing: impl Iterator<Item = (&'a RegionName, u64)>,
    voters: usize,
) -> Option<u64> {
    let mut first: BTreeMap<&RegionName, u64> = BTreeMap::new();
    for (region, since_ms) in agreeing {
        first
            .entry(region)
            .and_modify(|known| *known = (*known).min(since_ms))
            .or_insert(since_ms);
    }

    let mut all: Vec<u64> = first.into_values().collect();
    all.sort_unstable();
    all.get(voters / 2).or(all.last()).copied()
}

impl ChangeDetector {
    /// Takes in a verdict, changed or not.
    pub fn verdict(&mut self, judged: Judged<'_>, now_ms: u64) -> Option<Event> {
        let Judged {
            region,
            verdict,
            since_ms,
        } = judged;
        let before = self.conditions.get(region).copied();
        let after = verdict.condition;
        let began_ms = since_ms.unwrap_or(verdict.since_ms);

        match after {
            Condition::Failed => {
                let about = [("region", region.as_str())];
                let summary = format!("region {region} does not serve");
                self.raise(
                    EventKind::Verdict,
                    MeshAlert::RegionFailed,
                    &about,
                    summary,
                    &verdict.reason,
                    began_ms,
                );
            }
            Condition::Healthy | Condition::Draining => {
                self.book
                    .end(MeshAlert::RegionFailed.name(), now_ms, |labels| {
                        labels["region"] == region.as_str()
                    });
            }
            // Unknown and suspect don't say that it is over.
            Condition::Unknown | Condition::Suspect => {}
        }

        if before == Some(after) {
            return None;
        }
        self.conditions.insert(region.clone(), after);

        let was_known = before.is_some_and(|before| before != Condition::Unknown);
        if !was_known && matches!(after, Condition::Unknown | Condition::Healthy) {
            return None;
        }

        let severity = match after {
            Condition::Failed => Severity::Critical,
            Condition::Suspect | Condition::Unknown => Severity::Warning,
            Condition::Healthy | Condition::Draining => Severity::Info,
        };
        let mark = since_ms.unwrap_or(verdict.since_ms / COARSE_MS * COARSE_MS);
        let mut fields: BTreeMap<_, _> = [("condition", after.to_string())].into();

        fields.extend(before.map(|before| ("before", before.to_string())));
        Some(Event {
            id: format!("verdict:{region}:{after}:{mark}"),
            kind: EventKind::Verdict,
            severity,
            time_ms: began_ms,
            region: Some(region.clone()),
            fields,
            text: quoted(&format!("{region} is {after}: {}", verdict.reason)),
            reported_by: None,
        })
    }
}
