//! Traffic for money: what a request costs in each region, and what the leader makes of it. Pure.

use super::answers::BudgetProgress;
use crate::config::Config;
use regionmesh_core::{
    gossip::BoardView,
    planning::{CostTarget, PlanInputs},
};
use regionmesh_cost::{
    Amount, BudgetAction, BudgetScope, Currency, HourlyRate, LiveMeter, LiveWindow, Pricing,
    RegionCapacity, ShiftInput, ShiftRegion, hourly_rate, next_factors, price_per_gb,
};
use regionmesh_protocol::{
    identity::RegionName,
    plan::{Plan, TrafficState},
    status::condition::Condition,
};
use std::collections::{BTreeMap, BTreeSet};
use time::Date;

/// What is older is not acted on, milliseconds: traffic gets its normal weights.
const OLD_MS: u64 = 10 * 60_000;
/// Fewer inferences of a model in a region do not tell how long they take there; the mesh's mean
/// does.
const TELLING: u64 = 100;

/// What a request costs and how long it takes, by region.
#[derive(Debug, Clone, PartialEq)]
pub struct RequestCosts {
    /// When that was found, Unix milliseconds.
    pub at_ms: u64,
    /// The currency of all amounts.
    pub currency: Currency,
    /// What a million requests cost, were the region to serve the mesh's mix of models: the time of
    /// places, and the answers' way to users.
    pub per_million: BTreeMap<RegionName, Amount>,
    /// Round trip and inference, milliseconds: by the region that serves and the region whose users
    /// ask.
    pub latency_ms: BTreeMap<RegionName, BTreeMap<RegionName, u32>>,
    /// Longest time to an answer that a move may lead to, milliseconds.
    pub latency_bound_ms: u32,
    /// Whether a budget whose action is `shift` is used up.
    pub is_budget_used_up: bool,
    /// Regions whose own budget with that action is used up: they take nothing over.
    pub used_up: BTreeSet<RegionName>,
}

impl RequestCosts {
    /// Whether traffic is to be moved at all.
    fn is_wanted(&self, config: &Config) -> bool {
        config.traffic.cost || self.is_budget_used_up
    }
}

/// What requests cost, from what runs in the regions and what they served lately.
pub struct Observed<'a> {
    /// The configuration.
    pub config: &'a Config,
    /// The board.
    pub board: &'a BoardView,
    /// What was counted.
    pub live: &'a LiveMeter,
    /// How the budgets stand.
    pub budgets: &'a [BudgetProgress],
    /// The prices.
    pub pricing: Pricing<'a>,
    /// Today, UTC.
    pub today: Date,
    /// Now, Unix milliseconds.
    pub now_ms: u64,
}

impl Observed<'_> {
    /// What a request costs in each region where that is known; of none where traffic is not to be
    /// moved.
    pub fn request_costs(&self) -> RequestCosts {
        let currency = self.config.cost.currency;
        let shifting = || {
            let budgets = self
                .budgets
                .iter()
                .filter(|traffic_state| traffic_state.budget.action == BudgetAction::Shift);

            budgets
                .filter(|traffic_state| traffic_state.state.ratio >= 1.0)
                .map(|traffic_state| &traffic_state.budget.scope)
        };

        let costs = RequestCosts {
            at_ms: self.now_ms,
            currency,
            per_million: BTreeMap::new(),
            latency_ms: BTreeMap::new(),
            latency_bound_ms: self.config.cost.optimiser.latency_ms as u32,
            is_budget_used_up: shifting().next().is_some(),
            used_up: BTreeSet::new(),
        };

        if !costs.is_wanted(self.config) {
            return costs;
        }

        let since = self.today.previous_day().unwrap_or(self.today);
        let names = || self.config.regions.iter().map(|region| &region.name);
        let windows: BTreeMap<&RegionName, LiveWindow> = names()
            .map(|name| {
                (
                    name,
                    self.live
                        .window(name.as_str(), (since, self.today), self.pricing),
                )
            })
            .collect();

        let mix = Mix::of(windows.values());
        let capacities = super::observe::capacities(self.config, self.board);
        let bytes_per_answer = super::observe::bytes_per_answer(self.board);
        let per_million = |name: &RegionName| {
            let running = capacities
                .get(name.as_str())
                .filter(|running| running.places > 0)?;
            let service_us = mix.service_us(windows.get(name)?)?;
            let hourly = hourly_rate(name.as_str(), running, self.today, self.pricing);
            let computing =
                place_hour(&hourly, running, currency)?.checked_mul(service_us)? / 3_600;
            let Pricing { prices, regions } = self.pricing;
            let egress = price_per_gb(prices, regions, self.today, name.as_str(), None).ok()?;
            let answers = egress
                .amount
                .share(bytes_per_answer.round() as u64, 1_000)?;

            (egress.currency == currency)
                .then(|| (name.clone(), Amount(computing.saturating_add(answers.0))))
        };

        let round_trips = super::observe::round_trips_ms(self.board);
        let latency = |serves: &RegionName| {
            let service_ms = mix.service_us(windows.get(serves)?)? as f64 / 1e3;
            let from = names().filter_map(|asks| {
                let trip = match asks == serves {
                    true => 0.0,
                    false => *round_trips.get(&(asks.to_string(), serves.to_string()))?,
                };
                Some((asks.clone(), (trip + service_ms).ceil() as u32))
            });

            Some((serves.clone(), from.collect()))
        };

        let of_region = |scope: &BudgetScope| match scope {
            BudgetScope::Region(region) => region.parse().ok(),
            _ => None,
        };

        RequestCosts {
            per_million: names().filter_map(per_million).collect(),
            latency_ms: names().filter_map(latency).collect(),
            used_up: shifting().filter_map(of_region).collect(),
            ..costs
        }
    }
}

/// What an hour of one place costs, 1e-15 of the currency; none where a node has no price in it.
fn place_hour(rate: &HourlyRate, running: &RegionCapacity, currency: Currency) -> Option<i128> {
    let hourly = rate.totals.of(currency).0;
    (hourly > 0 && rate.totals.0.len() == 1 && rate.missing.is_empty())
        .then(|| hourly / i128::from(running.places.max(1)))
}

/// The models that the mesh serves: how many requests each had, and how long they took,
/// microseconds in all.
struct Mix(BTreeMap<String, (u64, u128)>);

impl Mix {
    fn of<'a>(windows: impl Iterator<Item = &'a LiveWindow>) -> Self {
        let mut models: BTreeMap<String, (u64, u128)> = BTreeMap::new();
        for (name, did) in windows.flat_map(|window| &window.models) {
            let sum = models.entry(name.clone()).or_default();
            sum.0 = sum.0.saturating_add(did.requests);
            sum.1 = sum.1.saturating_add(u128::from(did.busy_ms) * 1_000);
        }

        models.retain(|_, (requests, _)| *requests > 0);
        Self(models)
    }

    /// How long a request of the mesh's mix takes in a region, microseconds; none where the mesh
    /// served none.
    fn service_us(&self, window: &LiveWindow) -> Option<i128> {
        let mut requests = 0u128;
        let mut took = 0u128;
        for (name, (asked, busy_us)) in &self.0 {
            let here = window
                .models
                .get(name)
                .filter(|did| did.requests >= TELLING);
            let each = match here {
                Some(did) => u128::from(did.busy_ms) * 1_000 / u128::from(did.requests),
                None => busy_us / u128::from(*asked),
            };

            requests += u128::from(*asked);
            took = took.saturating_add(each.saturating_mul((*asked).into()));
        }

        i128::try_from(took.checked_div(requests)?).ok()
    }
}

/// What the leader wants of the next plan; none while there is nothing to go by: then traffic stays
/// as it is.
pub fn target(
    config: &Config,
    costs: Option<&RequestCosts>,
    plan: &Plan,
    inputs: &PlanInputs,
    now_ms: u64,
) -> Option<CostTarget> {
    let costs = costs?;
    let is_wanted = costs.is_wanted(config);
    if !is_wanted && plan.cost.factors_bp.is_empty() {
        return None;
    }

    let normal = |why: &str| {
        let reason = format!("normal weights again, no traffic is moved for cost: {why}");
        Some(CostTarget {
            factors_bp: BTreeMap::new(),
            reason,
        })
    };

    if now_ms.saturating_sub(costs.at_ms) > OLD_MS {
        return normal("what requests cost has not been known for 10 minutes");
    }

    let is_unknown = |name: &&RegionName| is_wanted && !costs.per_million.contains_key(*name);
    if let Some(unknown) = inputs.regions.keys().find(is_unknown) {
        return normal(&format!("what a request costs in {unknown} is not known"));
    }

    let load = inputs
        .regions
        .values()
        .filter_map(|input| input.load_rps)
        .fold(0, u32::saturating_add);
    let region = |(name, input): (&RegionName, &regionmesh_core::planning::RegionInput)| {
        let planned = plan.regions.get(name);
        let is_serving = planned.is_some_and(|part| part.traffic_state == TrafficState::Serving);
        let capacity_rps = input.capacity_rps.or(input.measured_capacity_rps);
        let region = ShiftRegion {
            weight_bp: input.weight_bp,
            factor_bp: plan.cost.factor_bp(name),
            cost_per_million: costs.per_million.get(name).copied().unwrap_or(Amount::ZERO),
            capacity_rps: capacity_rps.filter(|_| !costs.used_up.contains(name)),
            is_serving: is_serving && input.condition == Condition::Healthy,
            latency_ms: costs.latency_ms.get(name).cloned().unwrap_or_default(),
        };

        (name.clone(), region)
    };

    let is_returning = |traffic_state: &TrafficState| {
        matches!(
            traffic_state,
            TrafficState::Ramping { .. } | TrafficState::CoolingDown { .. }
        )
    };
    let outcome = next_factors(&ShiftInput {
        regions: inputs.regions.iter().map(region).collect(),
        total_rps: load.max(plan.load.map_or(0, |load| load.rps)),
        currency: costs.currency,
        latency_bound_ms: costs.latency_bound_ms,
        is_enabled: is_wanted,
        has_orders: !plan.overrides.is_empty(),
        has_ramps: plan
            .regions
            .values()
            .any(|part| is_returning(&part.traffic_state)),
        last_step_ms: (plan.cost.changed_ms > 0).then_some(plan.cost.changed_ms),
        now_ms,
    });

    Some(CostTarget {
        factors_bp: outcome.factors_bp,
        reason: outcome.reason,
    })
}

#[cfg(test)]
mod tests;
