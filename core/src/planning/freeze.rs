//! Without a majority of regions there is no leader and the plan is frozen, whatever happens to the
//! regions that it names. A DNS authority may then omit from its *own* answers the regions that
//! refuse its own probes, as long as another region answers. Nothing is written or published: with
//! the next leader the plan applies again.

use crate::planning::Strategy;
use regionmesh_protocol::{
    identity::RegionName,
    plan::{Absence, FULL_WEIGHT_BP, Plan, RegionPlan},
    status::condition::Condition,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// Without a leader for this long the plan counts as frozen, milliseconds: an election takes 3 s at
/// most.
pub(crate) const FROZEN_AFTER_MS: u64 = 5_000;

/// The plan can't change: no leader is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Freeze {
    /// Since when, our clock, Unix milliseconds.
    pub since_ms: u64,
    /// Members of the register with an agent that we hear from, this one included.
    pub reachable: usize,
    /// All members.
    pub members: usize,
    /// How this agent answers while the plan is frozen, if not by the plan.
    pub local: Option<Arc<LocalAnswer>>,
    /// The situation in words.
    pub detail: String,
}

/// Notices when the plan is frozen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FreezeWatch {
    leaderless_ms: Option<u64>,
}

impl FreezeWatch {
    /// Takes in whether a leader is known at `now_ms`; returns since when none is, if the plan
    /// counts as frozen.
    pub fn observe(&mut self, is_led: bool, now_ms: u64) -> Option<u64> {
        if is_led {
            self.leaderless_ms = None;
            return None;
        }

        let since_ms = *self.leaderless_ms.get_or_insert(now_ms);
        (now_ms.saturating_sub(since_ms) >= FROZEN_AFTER_MS).then_some(since_ms)
    }
}

/// What an agent's own probes say about a region; if it does not observe, those of its region's
/// observers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwnView {
    pub condition: Condition,
    /// Whether it failed by definite failures (refused, reset, a bad answer), not by silence alone.
    pub is_definite: bool,
}

/// How an authority answers while the plan is frozen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LocalAnswer {
    /// Regions that the plan answers and this authority does not.
    pub left_out: BTreeSet<RegionName>,
    /// The weights that it answers by, of every region of the plan.
    pub weights: BTreeMap<RegionName, u16>,
}

/// A region's configured place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Its normal weight, basis points.
    pub weight_bp: u16,
    /// Its place in the order of an active-passive mesh.
    pub priority: u16,
}

/// How to answer from a frozen `plan`; none: as it says. `is_withdrawn`: it says that no region is
/// answered, since all had failed when it was made.
///
/// Omitted are regions that the plan answers and that definitely failed by our own probes, as long
/// as those see another region healthy. If none of the remaining ones is healthy, healthy regions
/// without a share are answered too: first those without a drain, and in an active-passive mesh
/// only the first of them. From a withdrawn plan only regions that our own probes see healthy are
/// answered.
pub fn local_answer(
    plan: &Plan,
    is_withdrawn: bool,
    seen: &BTreeMap<RegionName, OwnView>,
    strategy: Strategy,
    places: &BTreeMap<RegionName, Place>,
) -> Option<LocalAnswer> {
    let is_healthy = |name: &RegionName| {
        seen.get(name)
            .is_some_and(|view| view.condition == Condition::Healthy)
    };
    let left_out: BTreeSet<RegionName> = plan
        .carrying()
        .filter(|(name, _)| !is_withdrawn && seen.get(*name).is_some_and(|view| view.is_definite))
        .map(|(name, _)| name.clone())
        .collect();

    let healthy: Vec<(&RegionName, &RegionPlan)> = plan
        .regions
        .iter()
        .filter(|(name, region)| {
            is_healthy(name) && !left_out.contains(*name) && !region.addresses.is_empty()
        })
        .collect();

    if healthy.is_empty() || (left_out.is_empty() && !is_withdrawn) {
        return None;
    }

    let stays = |name: &RegionName| {
        if is_withdrawn {
            is_healthy(name)
        } else {
            !left_out.contains(name)
        }
    };
    let weight = |name: &RegionName, planned_bp: u16| if stays(name) { planned_bp } else { 0 };
    let mut weights: BTreeMap<RegionName, u16> = plan
        .regions
        .iter()
        .map(|(name, region)| (name.clone(), weight(name, region.weight_bp)))
        .collect();

    if healthy.iter().all(|(_, region)| region.weight_bp == 0) {
        for (name, weight_bp) in substitutes(&healthy, strategy, places) {
            weights.insert(name.clone(), weight_bp);
        }
    }

    Some(LocalAnswer { left_out, weights })
}

/// The healthy regions without a share that are answered, with their weights.
fn substitutes<'a>(
    healthy: &[(&'a RegionName, &RegionPlan)],
    strategy: Strategy,
    places: &BTreeMap<RegionName, Place>,
) -> Vec<(&'a RegionName, u16)> {
    let is_drained =
        |region: &RegionPlan| matches!(region.absence, Some(Absence::Ordered | Absence::Draining));
    let has_undrained = healthy.iter().any(|(_, region)| !is_drained(region));
    let mut chosen: Vec<(&RegionName, Place)> = healthy
        .iter()
        .filter(|(_, region)| !has_undrained || !is_drained(region))
        .map(|(name, _)| {
            let unknown = Place {
                weight_bp: FULL_WEIGHT_BP,
                priority: u16::MAX,
            };
            (*name, places.get(*name).copied().unwrap_or(unknown))
        })
        .collect();

    if strategy == Strategy::ActivePassive {
        chosen.sort_by_key(|(name, place)| (place.priority, *name));
        chosen.truncate(1);
    }

    let are_standbys = chosen.iter().all(|(_, place)| place.weight_bp == 0);
    let weight = |place: Place| match strategy {
        Strategy::ActivePassive => FULL_WEIGHT_BP,
        _ if are_standbys => FULL_WEIGHT_BP,
        Strategy::Weighted | Strategy::Latency => place.weight_bp.min(FULL_WEIGHT_BP),
    };

    chosen
        .into_iter()
        .map(|(name, place)| (name, weight(place)))
        .collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;
