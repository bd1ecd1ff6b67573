//! From traffic states to weights, within what the regions that stay can take.
//!
//! The capacity guard works in shares of the mesh's load: a region that stays has its normal share
//! and headroom up to its declared capacity; of what other regions lose it may get no more than
//! headroom / 1.1. What does not fit stays where it was, the mildest case first: a failing region
//! that answers some requests is better than a healthy one that is overloaded.

use super::{PlanInputs, RegionInput, Strategy};
use regionmesh_protocol::{
    identity::RegionName,
    plan::{Absence, FULL_WEIGHT_BP, PlannedLoad, RegionPlan, Shortfall, TrafficState},
};
use std::collections::BTreeMap;

/// Headroom must be this many times the load moved.
const MARGIN: f64 = 1.1;
/// A load that differs from the planned one by less than this fraction makes no new plan.
const LOAD_BAND: f64 = 0.25;
/// A load below the planned one counts only after this long, milliseconds: requests that a failed
/// region no longer counts reappear only once clients have moved.
const LOAD_MEMORY_MS: u64 = 5 * 60 * 1_000;

/// A failed region that may not be taken out keeps at most this, percent, however high
/// `suspect_percent` is: in an active-passive mesh it would leave nothing to the healthy ones.
const LIMITED_PERCENT_MAX: u32 = 50;

pub(super) type Weights = BTreeMap<RegionName, u16>;
type Regions = BTreeMap<RegionName, RegionPlan>;

/// The weights that follow from the traffic states alone.
///
/// A region of normal weight 0 is a standby: it gets traffic only if no other region would; and if
/// none would at all, suspect regions keep all of theirs.
pub(super) fn by_traffic_state(
    regions: &Regions,
    inputs: &PlanInputs,
    promoted: Option<&RegionName>,
) -> Weights {
    if let Some(promoted) = promoted {
        let weight = |name: &RegionName| if name == promoted { FULL_WEIGHT_BP } else { 0 };
        return regions
            .keys()
            .map(|name| (name.clone(), weight(name)))
            .collect();
    }

    let is_sound = |name: &RegionName| {
        regions.get(name).is_some_and(|region| {
            !matches!(
                region.traffic_state,
                TrafficState::Limited {
                    healthy_ms: None,
                    ..
                }
            )
        })
    };

    let has_sound_region = |weights: &Weights| {
        weights
            .iter()
            .any(|(name, weight_bp)| *weight_bp > 0 && is_sound(name))
    };
    let cut = percents(regions, inputs, inputs.suspect_percent.min(100));
    let configured = apply(inputs, &cut, |input| input.weight_bp.min(FULL_WEIGHT_BP));

    if has_sound_region(&configured) {
        return configured;
    }

    let with_standbys = apply(inputs, &cut, |_| FULL_WEIGHT_BP);
    if has_sound_region(&with_standbys) {
        return with_standbys;
    }

    apply(inputs, &percents(regions, inputs, 100), |_| FULL_WEIGHT_BP)
}

/// What each region gets of its normal weight, percent.
fn percents<'a>(
    regions: &Regions,
    inputs: &'a PlanInputs,
    suspect: u8,
) -> BTreeMap<&'a RegionName, u8> {
    let own = |name: &RegionName, input: &RegionInput| match regions
        .get(name)
        .map(|region| &region.traffic_state)
    {
        _ if input.addresses.is_empty() => 0,
        Some(TrafficState::Serving) => 100,
        Some(TrafficState::Reduced) => suspect,
        Some(TrafficState::Ramping { step, .. }) => inputs.recovery.percent_at(*step),
        Some(TrafficState::Limited {
            healthy_ms: Some(_),
            ..
        }) => inputs.suspect_percent.min(100),
        Some(
            TrafficState::Limited {
                healthy_ms: None, ..
            }
            | TrafficState::Out { .. }
            | TrafficState::CoolingDown { .. },
        )
        | None => 0,
    };

    let mut percents: BTreeMap<_, _> = inputs
        .regions
        .iter()
        .map(|(name, input)| (name, own(name, input)))
        .collect();

    // Relative to the best of the sound regions: a lone region on the first step of its ramp must
    // not share with failed ones.
    let best = percents.values().copied().max().unwrap_or(0);
    let limited = (u32::from(best) * u32::from(inputs.suspect_percent))
        .div_ceil(100)
        .min(LIMITED_PERCENT_MAX);

    for (name, input) in &inputs.regions {
        let is_limited = regions.get(name).is_some_and(|region| {
            matches!(
                region.traffic_state,
                TrafficState::Limited {
                    healthy_ms: None,
                    ..
                }
            )
        });

        if is_limited && !input.addresses.is_empty() {
            percents.insert(name, u8::try_from(limited).unwrap_or(0));
        }
    }

    percents
}

fn apply(
    inputs: &PlanInputs,
    percents: &BTreeMap<&RegionName, u8>,
    normal: impl Fn(&RegionInput) -> u16,
) -> Weights {
    let mut order: Vec<(&RegionName, &RegionInput)> = inputs.regions.iter().collect();
    order.sort_by_key(|(name, input)| (input.priority, *name));

    let mut rest = FULL_WEIGHT_BP;
    let mut weights = Weights::new();
    for (name, input) in order {
        let percent = percents.get(name).copied().unwrap_or(0);
        let weight_bp = match inputs.strategy {
            Strategy::Weighted | Strategy::Latency => portion(normal(input), percent),
            // Each takes its percentage of what those before it left: a primary on the ramp at 25 %
            // leaves 75 % to its backup, a healthy one nothing.
            Strategy::ActivePassive => {
                let weight_bp = portion(rest, percent);
                rest -= weight_bp;
                weight_bp
            }
        };

        weights.insert(name.clone(), weight_bp);
    }

    weights
}

/// Gives one region at least `percent` of all traffic, and the others the rest in their
/// proportions.
pub(super) fn lift(weights: &mut Weights, region: &RegionName, percent: u8) {
    let full = u64::from(FULL_WEIGHT_BP);
    let lifted = u64::from(portion(FULL_WEIGHT_BP, percent.min(100)));
    let own = u64::from(weights.get(region).copied().unwrap_or(0));
    let others = u64::from(total(weights)) - own;

    if others == 0 || own * full >= lifted * (others + own) {
        return;
    }

    for (name, weight_bp) in weights.iter_mut() {
        let share = if name == region {
            lifted
        } else {
            (u64::from(*weight_bp) * (full - lifted)).div_ceil(others)
        };

        *weight_bp = u16::try_from(share).unwrap_or(FULL_WEIGHT_BP);
    }
}

fn total(weights: &Weights) -> u32 {
    weights
        .values()
        .map(|weight_bp| u32::from(*weight_bp))
        .sum()
}

/// `percent` of `weight_bp`, rounded up so that a small share does not become 0.
fn portion(weight_bp: u16, percent: u8) -> u16 {
    let share = (u32::from(weight_bp) * u32::from(percent)).div_ceil(100);
    u16::try_from(share).unwrap_or(weight_bp).min(weight_bp)
}

/// The load to plan for; none if no region has a declared capacity, or no load is measured.
pub(super) fn load(
    inputs: &PlanInputs,
    known: Option<PlannedLoad>,
    is_held: bool,
    now_ms: u64,
) -> Option<PlannedLoad> {
    if inputs
        .regions
        .values()
        .all(|input| input.capacity_rps.is_none())
    {
        return None;
    }

    if is_held && known.is_some() {
        return known;
    }

    let measured = inputs
        .regions
        .values()
        .filter_map(|input| input.load_rps)
        .reduce(u32::saturating_add);
    let Some(measured) = measured else {
        return known;
    };

    if let Some(known) = known {
        let was = f64::from(known.rps);
        let is = f64::from(measured);
        let is_believed_lower = now_ms.saturating_sub(known.measured_ms) >= LOAD_MEMORY_MS;
        let is_news =
            is > was * (1.0 + LOAD_BAND) || (is < was * (1.0 - LOAD_BAND) && is_believed_lower);

        if !is_news {
            return Some(known);
        }
    }

    Some(PlannedLoad {
        rps: measured,
        measured_ms: now_ms,
    })
}

/// How bad it is if a region keeps traffic that it should lose, the mildest 0; none if automation
/// takes none from it.
fn mildness(region: &RegionPlan) -> Option<u8> {
    let is_failed = region.absence == Some(Absence::Failed);
    match region.traffic_state {
        TrafficState::Reduced => Some(0),
        TrafficState::Ramping { .. } if is_failed || region.absence.is_none() => Some(1),
        TrafficState::CoolingDown { .. } if is_failed => Some(2),
        TrafficState::Limited { .. } => Some(3),
        TrafficState::Out { .. } if is_failed => Some(4),
        _ => None,
    }
}

/// Gives back to the regions that lose traffic what the others have no headroom for.
pub(super) fn within_capacity(
    regions: &Regions,
    inputs: &PlanInputs,
    weights: &mut Weights,
    load: PlannedLoad,
) -> Option<Shortfall> {
    if load.rps == 0 {
        return None;
    }

    let shift = Shift::new(regions, inputs, weights)?;
    let wanted = shift.staying_total / shift.target_total;
    let rps = f64::from(load.rps);
    let taken = shift.takeable(inputs, rps).min(wanted);
    let kept_back = wanted - taken;

    // Weights can't express less than half a basis point.
    if kept_back < 0.000_05 {
        return None;
    }

    for (name, weight_bp) in shift.weights(taken, kept_back) {
        weights.insert(name, weight_bp);
    }

    Some(Shortfall {
        load_rps: load.rps,
        unmoved_rps: (kept_back * rps - 1e-6).ceil() as u32,
    })
}

/// Traffic that is about to move from some regions to others.
struct Shift<'a> {
    /// The regions that lose traffic, the mildest case first.
    leaving: Vec<&'a RegionName>,
    /// The weights if every region that loses traffic were well, and their sum.
    normal: Weights,
    normal_total: f64,
    /// The weights without the guard, and their sum.
    targets: Weights,
    target_total: f64,
    /// The target weights of the regions that take the traffic, and their sum.
    staying: Vec<(RegionName, f64)>,
    staying_total: f64,
}

impl<'a> Shift<'a> {
    /// None if no region loses traffic, or none is left to take it.
    fn new(regions: &'a Regions, inputs: &PlanInputs, targets: &Weights) -> Option<Self> {
        let mut leaving: Vec<(u8, &RegionName)> = regions
            .iter()
            .filter_map(|(name, region)| Some((mildness(region)?, name)))
            .collect();
        leaving.sort();
        if leaving.is_empty() {
            return None;
        }

        let leaving: Vec<&RegionName> = leaving.into_iter().map(|(_, name)| name).collect();
        let mut sound = regions.clone();
        for name in &leaving {
            if let Some(region) = sound.get_mut(*name) {
                region.traffic_state = TrafficState::Serving;
            }
        }

        let normal = by_traffic_state(&sound, inputs, None);
        let staying: Vec<(RegionName, f64)> = targets
            .iter()
            .filter(|(name, weight_bp)| **weight_bp > 0 && !leaving.contains(name))
            .map(|(name, weight_bp)| (name.clone(), f64::from(*weight_bp)))
            .collect();

        let shift = Self {
            leaving,
            normal_total: f64::from(total(&normal)),
            normal,
            targets: targets.clone(),
            target_total: f64::from(total(targets)),
            staying_total: staying.iter().map(|(_, weight)| weight).sum(),
            staying,
        };

        let is_possible =
            shift.normal_total > 0.0 && shift.target_total > 0.0 && shift.staying_total > 0.0;
        is_possible.then_some(shift)
    }

    fn normal_share(&self, name: &RegionName) -> f64 {
        f64::from(self.normal.get(name).copied().unwrap_or(0)) / self.normal_total
    }

    fn target_share(&self, name: &RegionName) -> f64 {
        f64::from(self.targets.get(name).copied().unwrap_or(0)) / self.target_total
    }

    /// The fraction of all traffic, `rps`, that the regions that stay can take together, shared
    /// among them by weight; at least what they have without any move.
    fn takeable(&self, inputs: &PlanInputs, rps: f64) -> f64 {
        let fits = self.staying.iter().filter_map(|(name, weight)| {
            let capacity = f64::from(inputs.regions.get(name)?.capacity_rps?);
            let normal_rps = rps * self.normal_share(name);
            let most_rps = normal_rps + (capacity - normal_rps).max(0.0) / MARGIN;
            Some(most_rps * self.staying_total / (rps * weight))
        });
        let without_moving: f64 = self
            .staying
            .iter()
            .map(|(name, _)| self.normal_share(name))
            .sum();

        fits.fold(f64::INFINITY, f64::min).max(without_moving)
    }

    /// The weights if the regions that stay take the fraction `taken`, and those that leave keep
    /// `kept_back` more than their targets.
    fn weights(&self, taken: f64, mut kept_back: f64) -> Weights {
        let mut shares: BTreeMap<&RegionName, f64> = self
            .staying
            .iter()
            .map(|(name, weight)| (name, taken * weight / self.staying_total))
            .collect();
        for name in &self.leaving {
            let target = self.target_share(name);
            let room = (self.normal_share(name) - target).clamp(0.0, kept_back);
            kept_back -= room;
            shares.insert(name, target + room);
        }

        // Regions that stay keep their weights if the others' then fit into the scale.
        let largest = shares.values().copied().fold(0.0, f64::max);
        let full = f64::from(FULL_WEIGHT_BP);
        let scale = if taken > 0.0 {
            (self.staying_total / taken).min(full / largest)
        } else {
            full / largest
        };

        shares
            .into_iter()
            .map(|(name, share)| {
                let weight = share * scale;
                // Rounded in favour of the guard.
                let weight = if self.leaving.contains(&name) {
                    (weight - 1e-6).ceil()
                } else {
                    (weight + 1e-6).floor()
                };

                (name.clone(), weight.clamp(0.0, full) as u16)
            })
            .collect()
    }
}
