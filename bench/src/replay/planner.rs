//! Decides once per bin which nodes to run, from the load until then.

use super::{
    error::ReplayError,
    load::{BINS_PER_DAY, Rates},
    platform::{
        ANSWER_BYTES, CAPACITY_MARGIN, FIXED_PER_HOUR, LATENCY_MS, LOOK_AHEAD_BINS, LOOK_BACK_BINS,
        MODEL_LIST, MODELS, ORIGINS, QUOTA, REGIONS, SPOT_REPLACEMENT_MINUTES,
    },
    scenario::{Assumptions, Callers, NodePrices, PriceList, RoundTrips, day},
    strategy::{RegionChoice, Strategy},
};
use regionmesh_cost::{
    Amount, CommittedOffer, Currency, ModelDemand, Money, NodeCounts, NodeOffer, OriginDemand,
    PlacementInput, PlacementRules, RegionOffer, SpotOffer, WholePlacement, placement,
};
use std::collections::BTreeMap;

/// Share of requests that a region answers, by model, origin and region.
pub(super) type Shares = [[[f64; REGIONS.len()]; ORIGINS]; MODELS];

/// Nodes of each region, and the distribution of requests.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Plan {
    pub(super) nodes: [NodeCounts; REGIONS.len()],
    pub(super) shares: Shares,
    /// Commitments of each region.
    pub(super) committed: Committed,
}

/// Nodes that each region is committed to.
type Committed = [u32; REGIONS.len()];

/// The input of planning, besides the demand.
pub(super) struct Planner<'a> {
    pub(super) assumptions: &'a Assumptions,
    pub(super) list: &'a PriceList<'a>,
    pub(super) trips: &'a RoundTrips,
    pub(super) strategy: Strategy,
    pub(super) choice: RegionChoice,
}

impl Planner<'_> {
    /// Plans for all bins of the demand. A plan depends on nothing after its bin, except for
    /// strategies that are sized for the peak.
    pub(super) fn plans(&self, demand: &[Rates]) -> Result<Vec<Plan>, ReplayError> {
        let warm_up = (self.assumptions.warm_up_days * BINS_PER_DAY).min(demand.len());
        let mut committed = Committed::default();
        if !self.strategy.is_autoscaled() {
            let busiest = demand[warm_up..]
                .iter()
                .max_by(|a, b| self.work(a).total_cmp(&self.work(b)));
            let rates = busiest.copied().unwrap_or_default();
            return Ok(vec![self.plan(0, &rates, &rates, committed)?; demand.len()]);
        }

        let may_commit = self.strategy.is_mixed() && self.assumptions.has_commitments;
        let mut plans: Vec<Plan> = Vec::with_capacity(demand.len());
        for (bin, rates) in demand.iter().enumerate() {
            if may_commit && bin >= warm_up.max(1) && bin % BINS_PER_DAY == 0 {
                committed = self.commitments(bin / BINS_PER_DAY, &plans, committed)?;
            }
            plans.push(self.plan(
                bin / BINS_PER_DAY,
                &self.forecast(demand, bin),
                rates,
                committed,
            )?);
        }

        Ok(plans)
    }

    /// Work of all requests in nodes.
    fn work(&self, rates: &Rates) -> f64 {
        let of = |(rates, seconds): (&[f64; ORIGINS], &f64)| rates.iter().sum::<f64>() * seconds;
        rates
            .iter()
            .zip(&self.assumptions.node_seconds)
            .map(of)
            .sum()
    }

    /// The forecast: the current rates, scaled up to the maximum work in the last half hour and in
    /// the half hours after the same time yesterday and a week ago. Uses no bin after `bin`, which
    /// has already begun. Every node serves every model, so total work counts, not the peak of each
    /// model.
    fn forecast(&self, demand: &[Rates], bin: usize) -> Rates {
        let recent = &demand[bin.saturating_sub(LOOK_BACK_BINS - 1)..=bin];
        let earlier = [1, 7]
            .into_iter()
            .filter_map(|days| bin.checked_sub(days * BINS_PER_DAY));
        let earlier = earlier.flat_map(|start| &demand[start..=start + LOOK_AHEAD_BINS]);
        let most = recent
            .iter()
            .chain(earlier)
            .map(|rates| self.work(rates))
            .fold(0.0, f64::max);

        let mut rates = demand[bin];
        let factor = if most > 0.0 {
            most / self.work(&rates)
        } else {
            1.0
        };

        rates
            .as_flattened_mut()
            .iter_mut()
            .for_each(|rate| *rate *= factor);

        rates
    }

    /// Commitments from a day on. A commitment pays off if its node was needed, in addition to spot
    /// nodes, for a larger part of the last week than the ratio of the committed to the on-demand
    /// price. Commitments never end.
    fn commitments(
        &self,
        day_index: usize,
        past: &[Plan],
        before: Committed,
    ) -> Result<Committed, ReplayError> {
        let mut committed = before;
        let week = &past[past.len().saturating_sub(7 * BINS_PER_DAY)..];
        for &region in self.choice {
            let prices = self.list.nodes(day(day_index)?, region)?;
            let mut needed: Vec<u32> = week.iter().map(|plan| plan.durable(region)).collect();
            needed.sort_unstable();

            let ratio = prices.committed.amount.to_f64() / prices.on_demand.amount.to_f64();
            let place = (needed.len() as f64 * (1.0 - ratio)) as usize;
            committed[region] = before[region].max(needed.get(place).copied().unwrap_or(0));
        }

        Ok(committed)
    }

    /// The cheapest nodes for a forecast; the current rates determine the cost of egress.
    fn plan(
        &self,
        day_index: usize,
        peak: &Rates,
        now: &Rates,
        committed: Committed,
    ) -> Result<Plan, ReplayError> {
        let input = self.input(day_index, peak, now, committed)?;
        let whole = placement(&input)?.whole.ok_or(ReplayError::Quota(QUOTA))?;
        Ok(self.read(&whole, committed))
    }

    fn read(&self, whole: &WholePlacement, committed: Committed) -> Plan {
        let nodes = [NodeCounts::default(); REGIONS.len()];
        let mut plan = Plan {
            nodes,
            shares: Shares::default(),
            committed,
        };
        let region_of = |name: &str| {
            self.choice
                .iter()
                .copied()
                .find(|region| REGIONS[*region].name == name)
        };

        for (name, nodes) in &whole.nodes {
            if let Some(region) = region_of(name.as_str()) {
                plan.nodes[region] = *nodes;
            }
        }

        if self.strategy.has_standby() {
            plan.shares
                .as_flattened_mut()
                .iter_mut()
                .for_each(|shares| shares[self.choice[0]] = 1.0);
            return plan;
        }

        for flow in &whole.flows {
            let model = MODEL_LIST
                .iter()
                .position(|model| model.name == flow.model.as_str());
            let origin = REGIONS.iter().position(|region| region.name == flow.origin);

            if let (Some(model), Some(origin), Some(region)) =
                (model, origin, region_of(flow.region.as_str()))
            {
                plan.shares[model][origin][region] = flow.share;
            }
        }

        plan
    }

    fn input(
        &self,
        day_index: usize,
        peak: &Rates,
        now: &Rates,
        committed: Committed,
    ) -> Result<PlacementInput, ReplayError> {
        let date = day(day_index)?;
        let mut regions = Vec::new();
        let mut egress_per_gb = BTreeMap::new();

        for &region in self.choice {
            regions.push(self.offer(region, self.list.nodes(date, region)?, committed[region])?);
            let mut prices = BTreeMap::new();
            for (origin, at) in REGIONS.iter().enumerate() {
                let to = (self.assumptions.callers == Callers::InRegions).then_some(origin);
                prices.insert(at.name.to_owned(), self.list.egress(date, region, to)?);
            }

            egress_per_gb.insert(REGIONS[region].name.parse()?, prices);
        }

        let mut round_trips_ms = BTreeMap::new();
        for (origin, at) in REGIONS.iter().enumerate() {
            let trips = self.choice.iter().map(|region| {
                Ok((
                    REGIONS[*region].name.parse()?,
                    self.trips.0[origin][*region],
                ))
            });

            round_trips_ms.insert(
                at.name.to_owned(),
                trips.collect::<Result<_, ReplayError>>()?,
            );
        }

        let margin = if self.strategy.is_autoscaled() {
            CAPACITY_MARGIN
        } else {
            self.assumptions.peak_margin
        };

        // A placement's headroom applies while all regions serve. Headroom after a loss is added to
        // the forecast.
        let factor = if self.strategy.survives() {
            self.assumptions.loss_margin.min(margin)
        } else {
            1.0
        };
        let peak = peak.map(|rates| rates.map(|rate| rate * factor));
        let models = (0..MODELS)
            .map(|model| self.model(model, &peak[model], &now[model]))
            .collect::<Result<_, _>>()?;

        let rules = PlacementRules {
            latency_ms: LATENCY_MS,
            headroom: (margin / factor).max(1.0),
            survive: u8::from(self.strategy.survives()),
            spot_replacement_minutes: SPOT_REPLACEMENT_MINUTES,
            whole_nodes: true,
        };

        Ok(PlacementInput {
            regions,
            models,
            round_trips_ms,
            egress_per_gb,
            rules,
        })
    }

    fn offer(
        &self,
        region: usize,
        prices: NodePrices,
        committed: u32,
    ) -> Result<RegionOffer, ReplayError> {
        // The placement would reject spot nodes in a single region, which can't survive their loss;
        // such deployments use them nonetheless.
        let loss_per_hour = if self.choice.len() > 1 {
            self.assumptions.spot.mean_loss_per_hour()
        } else {
            0.0
        };
        let spot = SpotOffer {
            price: prices.spot,
            nodes_max: QUOTA,
            loss_per_hour,
        };

        let committed = CommittedOffer {
            price: prices.committed,
            new_nodes_max: 0,
            paid_nodes: committed,
        };

        Ok(RegionOffer {
            name: REGIONS[region].name.parse()?,
            cloud: REGIONS[region].cloud.to_owned(),
            endpoint: String::new(),
            on_demand: NodeOffer {
                price: prices.on_demand,
                nodes_max: QUOTA,
            },
            spot: self.strategy.is_mixed().then_some(spot),
            committed: (committed.paid_nodes > 0).then_some(committed),
            fixed_per_hour: Some(fixed_per_hour()),
        })
    }

    fn model(
        &self,
        model: usize,
        peak: &[f64; ORIGINS],
        now: &[f64; ORIGINS],
    ) -> Result<ModelDemand, ReplayError> {
        let demand = REGIONS.iter().enumerate().map(|(origin, at)| {
            let peak_rps = peak[origin];
            (
                at.name.to_owned(),
                OriginDemand {
                    mean_rps: now[origin].min(peak_rps),
                    peak_rps,
                },
            )
        });

        Ok(ModelDemand {
            name: MODEL_LIST[model].name.parse()?,
            node_seconds_per_request: self.assumptions.node_seconds[model],
            service_ms: MODEL_LIST[model].service_ms,
            bytes_per_answer: ANSWER_BYTES,
            memory_share: 0.0,
            spot_share_max: self.assumptions.spot_share_max,
            demand: demand.collect(),
        })
    }
}

/// Fixed hourly cost of a region with nodes.
pub(super) fn fixed_per_hour() -> Money {
    Money {
        amount: FIXED_PER_HOUR.parse().unwrap_or(Amount::ZERO),
        currency: Currency::USD,
    }
}

impl Plan {
    /// On-demand and committed nodes of a region.
    pub(super) fn durable(&self, region: usize) -> u32 {
        self.nodes[region].on_demand + self.nodes[region].committed
    }
}

#[cfg(test)]
mod tests;
