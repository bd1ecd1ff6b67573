//! Whether the weights are those that follow from the traffic states.

use super::grounds::{Grounds, Objection, Sight};
use crate::planning::{
    PlanInputs, RegionInput,
    inputs::unknown_input,
    weights::{self, Weights},
};
use regionmesh_protocol::{
    identity::RegionName,
    plan::{
        COST_FACTOR_MIN_BP, FULL_WEIGHT_BP, OverrideKind, Plan, RegionPlan, TrafficState,
        weighted_bp,
    },
};

/// Shares that differ by less are equal: weights are rounded.
const ROUNDING: f64 = 0.01;
/// Agents' measures of the load differ by at most this factor: each is over its own last minute.
const LOAD_FACTOR: u32 = 2;

pub(super) fn check(
    base: Option<&Plan>,
    next: &Plan,
    grounds: &Grounds<'_>,
) -> Result<(), Objection> {
    check_cost(base, next, grounds)?;
    if base.is_some_and(|base| keeps_last_shares(base, next, grounds)) {
        return Ok(());
    }

    let inputs = inputs(base, next, grounds);
    let expected = expected(next, &inputs, grounds);
    // Agents' estimates of a capacity differ.
    let is_measured = grounds.settings.measured_capacity;
    let is_expected = expected.iter().any(|weights| {
        has_weights(next, weights) || is_measured && is_limited(next, weights, &inputs)
    });
    if !is_expected {
        return Err(Objection::Weights);
    }
    check_load(base, next, grounds)
}

/// A higher load than there is would leave traffic in failed regions. What was planned before may
/// be the load that a failure hides now.
fn check_load(base: Option<&Plan>, next: &Plan, grounds: &Grounds<'_>) -> Result<(), Objection> {
    let (Some(planned), Some(measured)) = (next.load, grounds.load_rps) else {
        return Ok(());
    };
    let before = base.and_then(|base| base.load).map_or(0, |load| load.rps);
    let most = measured.saturating_mul(LOAD_FACTOR).max(before);

    if planned.rps <= most {
        return Ok(());
    }
    let planned = planned.rps;
    Err(Objection::Load { planned, measured })
}

fn check_cost(base: Option<&Plan>, next: &Plan, grounds: &Grounds<'_>) -> Result<(), Objection> {
    let factors = &next.cost.factors_bp;
    let is_kept = base.is_some_and(|base| base.cost.factors_bp == *factors);
    let is_allowed = grounds.settings.shifts_for_cost
        && factors
            .values()
            .all(|factor_bp| *factor_bp >= COST_FACTOR_MIN_BP);

    if is_kept || is_allowed || factors.is_empty() {
        Ok(())
    } else {
        Err(Objection::Cost)
    }
}

/// Whether no weight changes; or, while no region with traffic is healthy, only those of regions
/// fall that are not clearly healthy: the last shares stay, whatever the traffic states.
fn keeps_last_shares(base: &Plan, next: &Plan, grounds: &Grounds<'_>) -> bool {
    let are_down = next
        .carrying()
        .all(|(name, _)| grounds.sight(name) != Sight::Healthy);
    next.regions.iter().all(|(name, after)| {
        let before_bp = base.regions.get(name).map_or(0, |before| before.weight_bp);
        let is_doubted = matches!(
            grounds.sight(name),
            Sight::Doubted | Sight::Unsure | Sight::Down
        );
        after.weight_bp == before_bp || (are_down && after.weight_bp < before_bp && is_doubted)
    })
}

/// The inputs that weights depend on, by this agent's configuration. A region that is not in it has
/// the weight that it had.
fn inputs(base: Option<&Plan>, next: &Plan, grounds: &Grounds<'_>) -> PlanInputs {
    let settings = grounds.settings;
    let input = |(name, part): (&RegionName, &RegionPlan)| {
        let configured = settings.regions.get(name);
        let before_bp = base
            .and_then(|base| base.regions.get(name))
            .map_or(0, |before| before.weight_bp);
        let input = RegionInput {
            weight_bp: configured.map_or(before_bp, |region| region.weight_bp),
            priority: configured.map_or(u16::MAX, |region| region.priority),
            capacity_rps: configured.and_then(|region| region.capacity_rps),
            ..unknown_input(part)
        };
        (name.clone(), input)
    };

    PlanInputs {
        regions: next.regions.iter().map(input).collect(),
        strategy: settings.strategy,
        suspect_percent: settings.suspect_percent,
        recovery: settings.recovery.clone(),
        max_out: settings.max_out,
        ttl_ms: settings.ttl_ms,
        cost: None,
    }
}

/// The weights that may follow: with a promotion, without it, or either if it is not clear whether
/// the promoted region can serve. They are within the declared capacities, unless an operator gives
/// a region all traffic.
fn expected(next: &Plan, inputs: &PlanInputs, grounds: &Grounds<'_>) -> Vec<Weights> {
    let limited = |mut weights: Weights| {
        if let Some(load) = next.load {
            weights::within_capacity(&next.regions, inputs, &mut weights, load);
        }
        weights
    };
    let unlimited = weights::by_traffic_state(&next.regions, inputs, None);
    let plain = limited(unlimited.clone());
    let is_held = next
        .overrides
        .iter()
        .any(|order| order.kind == OverrideKind::Hold);
    let promotion = next.overrides.iter().find_map(|order| {
        let name = order
            .region
            .as_ref()
            .filter(|_| order.kind == OverrideKind::Promote)?;
        let part = next.regions.get(name)?;
        (!part.addresses.is_empty()).then_some((name, &part.traffic_state))
    });

    let (name, promoted) = match promotion {
        Some((name, TrafficState::Serving)) => {
            let all = weights::by_traffic_state(&next.regions, inputs, Some(name));
            (name, all)
        }
        Some((name, TrafficState::Ramping { step, .. })) => {
            let mut lifted = unlimited;
            weights::lift(&mut lifted, name, inputs.recovery.percent_at(*step));
            (name, limited(lifted))
        }
        _ => return vec![plain],
    };

    match grounds.sight(name) {
        Sight::Healthy | Sight::TooEarly => vec![promoted],
        Sight::Down if !is_held => vec![plain],
        Sight::Down | Sight::Unsure | Sight::Doubted => vec![promoted, plain],
    }
}

fn has_weights(next: &Plan, weights: &Weights) -> bool {
    next.regions.iter().all(|(name, part)| {
        let weight_bp = weights.get(name).copied().unwrap_or(0);
        part.weight_bp == weighted_bp(weight_bp, next.cost.factor_bp(name))
    })
}

/// Whether the capacity guard can have led to these shares: each lies between what the region would
/// have without any failure, and what follows from the traffic states.
fn is_limited(next: &Plan, weights: &Weights, inputs: &PlanInputs) -> bool {
    let serving = |(name, part): (&RegionName, &RegionPlan)| {
        let addresses = part.addresses.clone();
        let serving = RegionPlan {
            addresses,
            ..RegionPlan::default()
        };
        (name.clone(), serving)
    };
    let all = next.regions.iter().map(serving).collect();
    let normal = weights::by_traffic_state(&all, inputs, None);
    let shares = next.shares();

    let share = |weights: &Weights, name: &RegionName| {
        let total: u32 = weights
            .values()
            .map(|weight_bp| u32::from(*weight_bp))
            .sum();
        let weight_bp = weights.get(name).copied().unwrap_or(0).min(FULL_WEIGHT_BP);
        f64::from(weight_bp) / f64::from(total.max(1))
    };
    next.cost.factors_bp.is_empty()
        && shares.iter().all(|(name, has)| {
            let target = share(weights, name);
            let normal = share(&normal, name);
            *has >= target.min(normal) - ROUNDING && *has <= target.max(normal) + ROUNDING
        })
}
