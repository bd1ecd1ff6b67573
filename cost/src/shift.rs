//! Weights for money: factors that let traffic move to cheaper regions, slowly and within limits.
//!
//! All in basis points of integers, so the limits hold exactly for the weights that are applied.

use crate::money::{Amount, Currency};
use regionmesh_protocol::{
    identity::RegionName,
    plan::{COST_FACTOR_MIN_BP as FACTOR_MIN_BP, FULL_WEIGHT_BP as FACTOR_MAX_BP, weighted_bp},
};
use std::collections::BTreeMap;

/// Most of all traffic that is moved, basis points.
const MOVED_MAX_BP: u16 = 2_000;
/// Most of all traffic that a step moves, basis points.
const STEP_MAX_BP: u16 = 500;
/// Time between steps, milliseconds.
const STEP_INTERVAL_MS: u64 = 15 * 60 * 1_000;
/// A region that takes traffic over has this many percent of its load as capacity.
const MARGIN_PERCENT: u128 = 110;
/// And this many before it is given more: a fluctuating load must not end what was begun.
const ENTRY_PERCENT: u128 = 116;
/// A step saves at least this, basis points of what all traffic costs: prices that waver must not
/// move traffic to and fro.
const GAIN_MIN_BP: i128 = 5;
/// A request must be cheaper by this many percent elsewhere before traffic moves there, or back.
const PRICE_GAP_PERCENT: i128 = 5;
/// Seconds of a month of 730 hours.
const SECONDS_PER_MONTH: i128 = 730 * 3_600;
/// Most regions: more are left alone.
const REGIONS_MAX: usize = 64;

/// A region as the rule sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShiftRegion {
    /// Its weight without this rule, as planned, 0 to 10,000.
    pub weight_bp: u16,
    /// The factor that applies now, 5,000 to 10,000.
    pub factor_bp: u16,
    /// What a million more requests cost there, egress included.
    pub cost_per_million: Amount,
    /// What it can serve at most, requests per second. A region where that is not known is given no
    /// more than its share.
    pub capacity_rps: Option<u32>,
    /// Whether it serves, without any doubt.
    pub is_serving: bool,
    /// What a request takes here that another region's clients send: round trip and service time,
    /// milliseconds, by that region. A pair that is not known does not exchange traffic.
    pub latency_ms: BTreeMap<RegionName, u32>,
}

/// What the factors are decided from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShiftInput {
    pub regions: BTreeMap<RegionName, ShiftRegion>,
    /// Requests per second of all regions together, at a recent peak.
    pub total_rps: u32,
    /// The currency of [`ShiftRegion::cost_per_million`].
    pub currency: Currency,
    /// Latency that no client may exceed because of a move, milliseconds.
    pub latency_bound_ms: u32,
    /// Whether the operator enabled this (`traffic.cost`).
    pub is_enabled: bool,
    /// Whether an operator's order is in force.
    pub has_orders: bool,
    /// Whether a region ramps up, waits to, or is being tried.
    pub has_ramps: bool,
    /// When the factors last changed, milliseconds since 1970; `None` if they never did.
    pub last_step_ms: Option<u64>,
    /// Now, milliseconds since 1970.
    pub now_ms: u64,
}

/// The factors to apply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShiftOutcome {
    pub factors_bp: BTreeMap<RegionName, u16>,
    /// Whether they differ from those that apply: then this is the time of the last step.
    pub is_step: bool,
    /// Saved in a month against the normal weights, at the load given.
    pub monthly_saving: Amount,
    /// For the plan's reason.
    pub reason: String,
}

/// The factors for the time that begins now.
///
/// While a condition for moving traffic is broken, or the factors that apply break a limit, all are
/// reset to 10,000. Else one region's factor moves, so as much is saved as the limits allow, at
/// most every 15 minutes.
pub fn next_factors(input: &ShiftInput) -> ShiftOutcome {
    let rule = Rule::new(input);
    let current: Vec<u16> = input
        .regions
        .values()
        .map(|region| region.factor_bp)
        .collect();

    if let Some(obstacle) = obstacle(input) {
        return rule.returned(&current, obstacle);
    }

    let Some(moved) = rule.moved(&current) else {
        return rule.returned(&current, "a factor is out of range");
    };
    if let Some(limit) = rule.broken_limit(&moved, MARGIN_PERCENT) {
        return rule.returned(&current, limit);
    }

    let is_due = input
        .last_step_ms
        .is_none_or(|last| input.now_ms.saturating_sub(last) >= STEP_INTERVAL_MS);
    let best = if is_due {
        rule.best_step(&current)
    } else {
        None
    };

    rule.outcome(best.as_ref().unwrap_or(&current), best.is_some())
}

/// Why no traffic may be moved for cost.
fn obstacle(input: &ShiftInput) -> Option<&'static str> {
    let is_away = |region: &ShiftRegion| !region.is_serving;
    if !input.is_enabled {
        Some("traffic.cost is off")
    } else if input.regions.len() > REGIONS_MAX {
        Some("there are more than 64 regions")
    } else if input.regions.values().any(is_away) {
        Some("not every region serves")
    } else if input.has_orders {
        Some("an operator's order is in effect")
    } else if input.has_ramps {
        Some("a region is ramping up")
    } else {
        None
    }
}

/// Shares of traffic under some factors: `weights[i] / sum` of region i.
struct Shares {
    weights: Vec<u128>,
    sum: u128,
}

struct Rule<'a> {
    input: &'a ShiftInput,
    names: Vec<&'a RegionName>,
    regions: Vec<&'a ShiftRegion>,
    normal: Shares,
}

impl<'a> Rule<'a> {
    fn new(input: &'a ShiftInput) -> Self {
        let regions: Vec<&ShiftRegion> = input.regions.values().collect();
        let weights: Vec<u128> = regions
            .iter()
            .map(|region| region.weight_bp.min(FACTOR_MAX_BP).into())
            .collect();
        let sum = weights.iter().sum();

        Self {
            input,
            names: input.regions.keys().collect(),
            regions,
            normal: Shares { weights, sum },
        }
    }

    /// The shares under these factors; `None` if a factor is out of range or nothing has a weight.
    fn moved(&self, factors: &[u16]) -> Option<Shares> {
        let is_valid = factors
            .iter()
            .all(|factor| (FACTOR_MIN_BP..=FACTOR_MAX_BP).contains(factor));
        let pairs = self.regions.iter().zip(factors);
        let weights: Vec<u128> = pairs
            .map(|(region, factor)| {
                weighted_bp(region.weight_bp.min(FACTOR_MAX_BP), *factor).into()
            })
            .collect();
        let sum: u128 = weights.iter().sum();

        (is_valid && sum > 0).then_some(Shares { weights, sum })
    }

    /// The limit that these shares break, if any. Who takes traffic over must have `percent` of its
    /// load as capacity.
    fn broken_limit(&self, shares: &Shares, percent: u128) -> Option<&'static str> {
        if !shares.is_within(&self.normal, MOVED_MAX_BP) {
            return Some("more than 20 % of the traffic would be moved");
        }

        let count = self.regions.len();
        let receivers = || (0..count).filter(|region| shares.gains(&self.normal, *region));
        let donors = || (0..count).filter(|region| self.normal.gains(shares, *region));
        let has_room = |region: usize| {
            let load = shares.weights[region] * u128::from(self.input.total_rps) * percent;
            self.regions[region]
                .capacity_rps
                .is_some_and(|most| load <= u128::from(most) * 100 * shares.sum)
        };

        if !receivers().all(has_room) {
            return Some("a cheaper region has no capacity to spare");
        }

        let is_near = |receiver: usize, donor: usize| {
            let known = self.regions[receiver].latency_ms.get(self.names[donor]);
            known.is_some_and(|latency_ms| *latency_ms <= self.input.latency_bound_ms)
        };
        let are_near = receivers().all(|receiver| donors().all(|donor| is_near(receiver, donor)));

        (!are_near).then_some("a cheaper region is too far away")
    }

    /// The step that saves most; `None` if none saves enough.
    fn best_step(&self, current: &[u16]) -> Option<Vec<u16>> {
        let from = self.moved(current)?;
        let mut best: Option<(i128, Vec<u16>)> = None;
        for region in 0..current.len() {
            for target in [FACTOR_MIN_BP, FACTOR_MAX_BP] {
                let Some((gain, factors)) = self.furthest(current, &from, region, target) else {
                    continue;
                };
                if best.as_ref().is_none_or(|(most, _)| gain > *most) {
                    best = Some((gain, factors));
                }
            }
        }

        best.map(|(_, factors)| factors)
    }

    /// The furthest that one region's factor may move towards `target` in one step, and the gain.
    fn furthest(
        &self,
        current: &[u16],
        from: &Shares,
        region: usize,
        target: u16,
    ) -> Option<(i128, Vec<u16>)> {
        let with = |distance: u16| {
            let mut factors = current.to_vec();
            let factor = &mut factors[region];
            *factor = if target < *factor {
                *factor - distance
            } else {
                *factor + distance
            };

            factors
        };

        let allowed = |distance: u16| {
            let factors = with(distance);
            let to = self.moved(&factors)?;
            let is_allowed =
                to.is_within(from, STEP_MAX_BP) && self.broken_limit(&to, ENTRY_PERCENT).is_none();
            is_allowed.then_some((to, factors))
        };
        let mut near = 0;
        let mut far = current[region].abs_diff(target);

        // Bisects for the least distance that is not allowed; the result is checked in any case.
        if allowed(far).is_none() {
            while far - near > 1 {
                let middle = near + (far - near) / 2;
                if allowed(middle).is_some() {
                    near = middle
                } else {
                    far = middle
                }
            }

            far = near;
        }

        let (to, factors) = allowed(far).filter(|_| far > 0)?;
        let gain = self.gain_bp(from, &to);
        (gain >= GAIN_MIN_BP && self.is_gap_wide(from, &to, region)).then_some((gain, factors))
    }

    /// What all requests cost, times the sum of the weights.
    fn cost(&self, shares: &Shares) -> i128 {
        let costs = self.regions.iter().zip(&shares.weights);
        costs.fold(0, |sum: i128, (region, weight)| {
            let weight = i128::try_from(*weight).unwrap_or(0);
            sum.saturating_add(region.cost_per_million.0.saturating_mul(weight))
        })
    }

    /// What a million requests cost.
    fn cost_per_million(&self, shares: &Shares) -> i128 {
        self.cost(shares) / i128::try_from(shares.sum).unwrap_or(1).max(1)
    }

    /// Saved, basis points of what all traffic costs.
    fn gain_bp(&self, from: &Shares, to: &Shares) -> i128 {
        let was = self.cost_per_million(from);
        let is = self.cost_per_million(to);
        was.saturating_sub(is).saturating_mul(10_000) / was.max(1)
    }

    /// Whether a request's cost in `region` differs enough from that where its traffic goes, or
    /// comes from.
    fn is_gap_wide(&self, from: &Shares, to: &Shares, region: usize) -> bool {
        let others = |shares: &Shares| {
            let mut weights = shares.weights.clone();
            weights[region] = 0;
            let sum = weights.iter().sum();
            self.cost_per_million(&Shares { weights, sum })
        };
        let here = self.regions[region].cost_per_million.0;
        let there = others(from);
        let (dear, cheap) = if to.gains(from, region) {
            (there, here)
        } else {
            (here, there)
        };

        dear.saturating_sub(cheap).saturating_mul(100)
            >= dear.max(1).saturating_mul(PRICE_GAP_PERCENT)
    }

    fn returned(&self, current: &[u16], why: &str) -> ShiftOutcome {
        let is_step = current.iter().any(|factor| *factor != FACTOR_MAX_BP);
        let reason = if is_step {
            format!("normal weights again, no traffic is moved for cost: {why}")
        } else {
            format!("no traffic is moved for cost: {why}")
        };
        let factors_bp = self
            .names
            .iter()
            .map(|name| ((*name).clone(), FACTOR_MAX_BP))
            .collect();

        ShiftOutcome {
            factors_bp,
            is_step,
            monthly_saving: Amount::ZERO,
            reason,
        }
    }

    fn outcome(&self, factors: &[u16], is_step: bool) -> ShiftOutcome {
        let factors_bp = self
            .names
            .iter()
            .zip(factors)
            .map(|(name, factor)| ((*name).clone(), *factor))
            .collect();
        let Some(shares) = self.moved(factors) else {
            return self.returned(factors, "a factor is out of range");
        };
        let saved = self
            .cost_per_million(&self.normal)
            .saturating_sub(self.cost_per_million(&shares));

        let monthly = saved
            .saturating_mul(i128::from(self.input.total_rps))
            .saturating_mul(SECONDS_PER_MONTH)
            / 1_000_000;
        let monthly_saving = Amount(monthly);
        let reason = self.reason(&shares, monthly_saving);

        ShiftOutcome {
            factors_bp,
            is_step,
            monthly_saving,
            reason,
        }
    }

    fn reason(&self, shares: &Shares, saving: Amount) -> String {
        let named = |is_chosen: &dyn Fn(usize) -> bool| {
            let chosen = (0..self.names.len()).filter(|region| is_chosen(*region));
            chosen
                .map(|region| self.names[region].as_str())
                .collect::<Vec<_>>()
                .join(", ")
        };
        let donors = named(&|region| self.normal.gains(shares, region));
        let receivers = named(&|region| shares.gains(&self.normal, region));

        if donors.is_empty() || receivers.is_empty() {
            return "no traffic is moved for cost: no region is cheaper within the limits"
                .to_owned();
        }

        let moved = shares.moved_bp(&self.normal);
        format!(
            "cost: {}.{:02} % of the traffic is moved from {donors} to {receivers} and saves {} {} \
                a month against normal weights",
            moved / 100,
            moved % 100,
            saving.rounded(2),
            self.input.currency
        )
    }
}

impl Shares {
    /// Whether a region has a greater share here than in `other`.
    fn gains(&self, other: &Self, region: usize) -> bool {
        self.weights[region] * other.sum > other.weights[region] * self.sum
    }

    /// What regions have more than in `other`, summed, as a share of `self.sum * other.sum`.
    fn moved(&self, other: &Self) -> u128 {
        let pairs = self.weights.iter().zip(&other.weights);
        pairs
            .map(|(own, others)| (own * other.sum).saturating_sub(others * self.sum))
            .sum()
    }

    /// Whether at most so much of all traffic is elsewhere than in `other`.
    fn is_within(&self, other: &Self, most_bp: u16) -> bool {
        self.moved(other) * u128::from(FACTOR_MAX_BP) <= u128::from(most_bp) * self.sum * other.sum
    }

    /// How much of all traffic is elsewhere than in `other`, basis points, rounded down.
    fn moved_bp(&self, other: &Self) -> u128 {
        self.moved(other) * u128::from(FACTOR_MAX_BP) / (self.sum * other.sum).max(1)
    }
}

#[cfg(test)]
mod tests;
