//! Moving traffic to save money: what a request costs in each region, and the factors that the
//! leader derives from it. Pure.

use super::{
    budgets::BudgetProgress,
    observe::{bytes_per_answer, capacities, round_trips_ms},
    request_costs::RequestCosts,
};
use crate::config::Config;
use regionmesh_core::{
    gossip::BoardView,
    planning::{CostTarget, PlanInputs, RegionInput},
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

/// Older request costs are not used, milliseconds: traffic returns to its normal weights.
const OLD_MS: u64 = 10 * 60_000;
/// With fewer inferences of a model in a region, the mesh's mean duration is used instead.
const INFERENCES_MIN: u64 = 100;

/// The inputs of request costs.
pub(crate) struct Observed<'a> {
    /// Regions, currency and limits.
    pub config: &'a Config,
    /// Capacities, round trips and sizes of answers.
    pub board: &'a BoardView,
    /// Use by model and region.
    pub live: &'a LiveMeter,
    /// Progress of the budgets.
    pub budgets: &'a [BudgetProgress],
    /// Prices of nodes and egress.
    pub pricing: Pricing<'a>,
    /// Today, UTC.
    pub today: Date,
    /// Now, Unix milliseconds.
    pub now_ms: u64,
}

impl Observed<'_> {
    /// The cost of a request in each region where it is known; in none if no traffic is to be
    /// moved.
    pub(crate) fn request_costs(&self) -> RequestCosts {
        let costs = RequestCosts {
            at_ms: self.now_ms,
            currency: self.config.cost.currency,
            per_million: BTreeMap::new(),
            latency_ms: BTreeMap::new(),
            latency_bound_ms: self.config.cost.optimiser.latency_ms as u32,
            is_budget_used_up: self.used_up().next().is_some(),
            used_up: BTreeSet::new(),
        };

        if !costs.is_wanted(self.config) {
            return costs;
        }

        let since = self.today.previous_day().unwrap_or(self.today);
        let windows: BTreeMap<&RegionName, LiveWindow> = self
            .names()
            .map(|name| {
                (
                    name,
                    self.live
                        .window(name.as_str(), (since, self.today), self.pricing),
                )
            })
            .collect();

        let mix = Mix::of(windows.values());
        let service_us: BTreeMap<&RegionName, i128> = windows
            .iter()
            .filter_map(|(name, window)| Some((*name, mix.service_us(window)?)))
            .collect();
        let of_region = |scope: &BudgetScope| match scope {
            BudgetScope::Region(region) => region.parse().ok(),
            _ => None,
        };

        RequestCosts {
            per_million: self.per_million(&service_us),
            latency_ms: self.latency_ms(&service_us),
            used_up: self.used_up().filter_map(of_region).collect(),
            ..costs
        }
    }

    fn names(&self) -> impl Iterator<Item = &RegionName> {
        self.config.regions.iter().map(|region| &region.name)
    }

    /// The scopes of budgets with the action `shift` that are used up.
    fn used_up(&self) -> impl Iterator<Item = &BudgetScope> {
        self.budgets
            .iter()
            .filter(|progress| progress.budget.action == BudgetAction::Shift)
            .filter(|progress| progress.state.ratio >= 1.0)
            .map(|progress| &progress.budget.scope)
    }

    /// The cost of a million requests, by region.
    fn per_million(
        &self,
        service_us: &BTreeMap<&RegionName, i128>,
    ) -> BTreeMap<RegionName, Amount> {
        let currency = self.config.cost.currency;
        let capacities = capacities(self.config, self.board);
        let bytes_per_answer = bytes_per_answer(self.board);
        let per_million = |name: &RegionName| {
            let running = capacities
                .get(name.as_str())
                .filter(|running| running.places > 0)?;
            let service_us = *service_us.get(name)?;
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

        self.names().filter_map(per_million).collect()
    }

    /// Round trip plus inference, by the region that serves and the region of the users.
    fn latency_ms(
        &self,
        service_us: &BTreeMap<&RegionName, i128>,
    ) -> BTreeMap<RegionName, BTreeMap<RegionName, u32>> {
        let round_trips = round_trips_ms(self.board);
        let latency = |serves: &RegionName| {
            let service_ms = *service_us.get(serves)? as f64 / 1e3;
            let from = self.names().filter_map(|asks| {
                let trip = match asks == serves {
                    true => 0.0,
                    false => *round_trips.get(&(asks.to_string(), serves.to_string()))?,
                };
                Some((asks.clone(), (trip + service_ms).ceil() as u32))
            });

            Some((serves.clone(), from.collect()))
        };

        self.names().filter_map(latency).collect()
    }
}

/// The cost of one inference slot for an hour, in 1e-15 of the currency; none if a node has no
/// price in it.
fn place_hour(rate: &HourlyRate, running: &RegionCapacity, currency: Currency) -> Option<i128> {
    let hourly = rate.totals.of(currency).0;
    (hourly > 0 && rate.totals.0.len() == 1 && rate.missing.is_empty())
        .then(|| hourly / i128::from(running.places.max(1)))
}

/// The mesh's mix of models: requests of each, and their total duration in microseconds.
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

    /// Mean duration of a request of the mix in a region, microseconds; none without requests.
    fn service_us(&self, window: &LiveWindow) -> Option<i128> {
        let mut requests = 0u128;
        let mut took = 0u128;
        for (name, (asked, busy_us)) in &self.0 {
            let here = window
                .models
                .get(name)
                .filter(|did| did.requests >= INFERENCES_MIN);
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

/// The cost factors that the leader wants in the next plan; none while there is no data, and
/// traffic stays as it is.
pub(crate) fn target(
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

    let outcome = next_factors(&shift_input(costs, plan, inputs, is_wanted, now_ms));
    Some(CostTarget {
        factors_bp: outcome.factors_bp,
        reason: outcome.reason,
    })
}

fn shift_input(
    costs: &RequestCosts,
    plan: &Plan,
    inputs: &PlanInputs,
    is_enabled: bool,
    now_ms: u64,
) -> ShiftInput {
    let load = inputs
        .regions
        .values()
        .filter_map(|input| input.load_rps)
        .fold(0, u32::saturating_add);
    let region = |(name, input): (&RegionName, &RegionInput)| {
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

    ShiftInput {
        regions: inputs.regions.iter().map(region).collect(),
        total_rps: load.max(plan.load.map_or(0, |load| load.rps)),
        currency: costs.currency,
        latency_bound_ms: costs.latency_bound_ms,
        is_enabled,
        has_orders: !plan.overrides.is_empty(),
        has_ramps: plan
            .regions
            .values()
            .any(|part| is_returning(&part.traffic_state)),
        last_step_ms: (plan.cost.changed_ms > 0).then_some(plan.cost.changed_ms),
        now_ms,
    }
}

#[cfg(test)]
mod tests;
