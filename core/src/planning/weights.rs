//! From standings to weights, within what the regions that stay can take.
//!
//! The capacity guard reckons in shares of the mesh's load: a region that stays has its normal
//! share of it, and headroom up to its declared capacity; of what other regions lose it may be
//! given no more than headroom / 1.1. What does not fit stays where it was, in the mildest case
//! first: a failing region that answers some beats a healthy one that is pushed over.

use super::{PlanInputs, RegionInput, Strategy};
use regionmesh_protocol::{
    identity::RegionName,
    plan::{Absence, FULL_WEIGHT_BP, PlannedLoad, RegionPlan, Shortfall, Standing},
};
use std::collections::BTreeMap;

/// Headroom must be this many times the load moved.
const MARGIN: f64 = 1.1;
/// A load within this of the one reckoned with makes no new plan, parts of it.
const LOAD_BAND: f64 = 0.25;
/// For so long a lower load than the one reckoned with is not believed, milliseconds: requests that
/// a failed region does not count come back only when clients have moved.
const LOAD_MEMORY_MS: u64 = 5 * 60 * 1_000;

/// A failed region that may not be taken out keeps at most this, percent, however mild
/// `suspect_percent` is: in an active-passive mesh it would leave nothing to the healthy ones.
const LIMITED_PERCENT_MAX: u32 = 50;

pub(super) type Weights = BTreeMap<RegionName, u16>;
type Regions = BTreeMap<RegionName, RegionPlan>;

/// The weights that follow from the standings alone.
///
/// A region of normal weight 0 is a standby: it gets traffic only where no other would get any; and
/// where nobody would, suspect regions keep all of theirs.
pub(super) fn by_standing(
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
                region.standing,
                Standing::Limited {
                    healthy_ms: None,
                    ..
                }
            )
        })
    };

    let serves_somebody = |weights: &Weights| {
        weights
            .iter()
            .any(|(name, weight_bp)| *weight_bp > 0 && is_sound(name))
    };
    let cut = percents(regions, inputs, inputs.suspect_percent.min(100));
    let configured = apply(inputs, &cut, |input| input.weight_bp.min(FULL_WEIGHT_BP));

    if serves_somebody(&configured) {
        return configured;
    }

    let with_standbys = apply(inputs, &cut, |_| FULL_WEIGHT_BP);
    if serves_somebody(&with_standbys) {
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
        .map(|region| &region.standing)
    {
        _ if input.addresses.is_empty() => 0,
        Some(Standing::Serving) => 100,
        Some(Standing::Reduced) => suspect,
        Some(Standing::Ramping { step, .. }) => inputs.recovery.percent_at(*step),
        Some(Standing::Limited {
            healthy_ms: Some(_),
            ..
        }) => inputs.suspect_percent.min(100),
        Some(
            Standing::Limited {
                healthy_ms: None, ..
            }
            | Standing::Out { .. }
            | Standing::Gated { .. },
        )
        | None => 0,
    };

    let mut percents: BTreeMap<_, _> = inputs
        .regions
        .iter()
        .map(|(name, input)| (name, own(name, input)))
        .collect();

    // Of the best that a sound region gets: a lone region on the first step of its ramp must not
    // share with failed ones.
    let best = percents.values().copied().max().unwrap_or(0);
    let limited = (u32::from(best) * u32::from(inputs.suspect_percent))
        .div_ceil(100)
        .min(LIMITED_PERCENT_MAX);

    for (name, input) in &inputs.regions {
        let is_limited = regions.get(name).is_some_and(|region| {
            matches!(
                region.standing,
                Standing::Limited {
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

/// `percent` of `weight_bp`, rounded up so that a small share is not none.
fn portion(weight_bp: u16, percent: u8) -> u16 {
    let share = (u32::from(weight_bp) * u32::from(percent)).div_ceil(100);
    u16::try_from(share).unwrap_or(weight_bp).min(weight_bp)
}

/// The load to reckon with; none where no region has a declared capacity, or nobody measures.
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

/// How mild it is that a region keeps traffic that it should lose; none for one that loses none for
/// automation's sake.
fn mildness(region: &RegionPlan) -> Option<u8> {
    let is_failed = region.absence == Some(Absence::Failed);
    match region.standing {
        Standing::Reduced => Some(0),
        Standing::Ramping { .. } if is_failed || region.absence.is_none() => Some(1),
        Standing::Gated { .. } if is_failed => Some(2),
        Standing::Limited { .. } => Some(3),
        Standing::Out { .. } if is_failed => Some(4),
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
    let mut leaving: Vec<(u8, &RegionName)> = regions
        .iter()
        .filter_map(|(name, region)| Some((mildness(region)?, name)))
        .collect();

    leaving.sort();
    if leaving.is_empty() || load.rps == 0 {
        return None;
    }

    let is_leaving = |name: &RegionName| leaving.iter().any(|(_, other)| *other == name);

    // What each would have if nothing were the matter with those that lose traffic.
    let mut sound = regions.clone();
    for (_, name) in &leaving {
        if let Some(region) = sound.get_mut(*name) {
            region.standing = Standing::Serving;
        }
    }

    let normal = by_standing(&sound, inputs, None);
    let normal_total = f64::from(total(&normal));
    let target_total = f64::from(total(weights));

    if normal_total <= 0.0 || target_total <= 0.0 {
        return None;
    }

    let normal_share =
        |name: &RegionName| f64::from(normal.get(name).copied().unwrap_or(0)) / normal_total;
    let rps = f64::from(load.rps);
    let targets = weights.clone();
    let staying: Vec<(&RegionName, f64)> = targets
        .iter()
        .filter(|(name, weight_bp)| **weight_bp > 0 && !is_leaving(name))
        .map(|(name, weight_bp)| (name, f64::from(*weight_bp)))
        .collect();
    let staying_total: f64 = staying.iter().map(|(_, weight)| weight).sum();

    if staying_total <= 0.0 {
        return None;
    }

    // The fraction of all traffic that those who stay can take together, shared among them by
    // weight.
    let fits = staying.iter().filter_map(|(name, weight)| {
        let capacity = f64::from(inputs.regions.get(*name)?.capacity_rps?);
        let normal_rps = rps * normal_share(name);
        let most_rps = normal_rps + (capacity - normal_rps).max(0.0) / MARGIN;
        Some(most_rps * staying_total / (rps * weight))
    });
    let fits = fits.fold(f64::INFINITY, f64::min);
    let wanted = staying_total / target_total;
    let without_moving: f64 = staying.iter().map(|(name, _)| normal_share(name)).sum();
    let taken = fits.max(without_moving).min(wanted);
    let mut kept_back = wanted - taken;

    // Half a basis point is below what weights can say.
    if kept_back < 0.000_05 {
        return None;
    }

    let unmoved_rps = (kept_back * rps - 1e-6).ceil();
    let mut shares: BTreeMap<&RegionName, f64> = staying
        .iter()
        .map(|(name, weight)| (*name, taken * weight / staying_total))
        .collect();

    for (_, name) in &leaving {
        let target = f64::from(targets.get(*name).copied().unwrap_or(0)) / target_total;
        let room = (normal_share(name) - target).clamp(0.0, kept_back);
        kept_back -= room;
        shares.insert(name, target + room);
    }

    // Those who stay keep their weights where the others' fit beside them.
    let largest = shares.values().copied().fold(0.0, f64::max);
    let full = f64::from(FULL_WEIGHT_BP);
    let scale = if taken > 0.0 {
        (staying_total / taken).min(full / largest)
    } else {
        full / largest
    };

    for (name, share) in shares {
        let weight = share * scale;
        // Rounded in favour of the guard.
        let weight = if is_leaving(name) {
            (weight - 1e-6).ceil()
        } else {
            (weight + 1e-6).floor()
        };

        weights.insert(name.clone(), weight.clamp(0.0, full) as u16);
    }

    Some(Shortfall {
        load_rps: load.rps,
        unmoved_rps: unmoved_rps as u32,
    })
}
