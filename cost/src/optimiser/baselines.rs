//! Fleets to compare with, and what a fleet costs.

use super::{
    bill::{egress, month_of},
    outcome::{MonthlyCost, NodeCounts},
    prepared::{Prepared, round_trip_ms},
    state::{BaselineName, CurrentState},
};
use crate::money::Amount;

/// Nodes and who answers whom, by region and stream of the placement's input.
#[derive(Clone)]
pub(super) struct Fleet {
    pub(super) nodes: Vec<NodeCounts>,
    pub(super) shares: Vec<Vec<f64>>,
}

impl Fleet {
    pub(super) fn of(name: BaselineName, prepared: &Prepared<'_>, state: &CurrentState) -> Self {
        let count = prepared.regions.len();
        let load = prepared.load * prepared.input.rules.headroom;
        let mean: f64 = prepared
            .streams
            .iter()
            .map(|stream| stream.load * mean_share(stream))
            .sum();
        let nodes_for = |load: f64, region: usize| {
            // The models' memory counts wherever they are served.
            load.max(prepared.regions[region].memory)
                .ceil()
                .min(f64::from(u32::MAX)) as u32
        };

        let mut cheapest: Vec<usize> = (0..count).collect();
        cheapest.sort_by(|a, b| {
            let price = |region: usize| prepared.regions[region].on_demand_price;
            price(*a).total_cmp(&price(*b))
        });

        let sized = match name {
            BaselineName::Current => return Self::current(prepared, state),
            BaselineName::Peak => vec![(cheapest[0], load)],
            BaselineName::Autoscaled => vec![(cheapest[0], mean * prepared.input.rules.headroom)],
            BaselineName::Standby => cheapest
                .iter()
                .take(2)
                .map(|region| (*region, load))
                .collect(),
        };

        let mut nodes = vec![NodeCounts::default(); count];
        for (region, load) in sized {
            nodes[region].on_demand = nodes_for(load, region);
        }

        let mut all = vec![0.0; count];
        all[cheapest[0]] = 1.0;
        Self {
            nodes,
            shares: vec![all; prepared.streams.len()],
        }
    }

    fn current(prepared: &Prepared<'_>, state: &CurrentState) -> Self {
        let regions = &prepared.input.regions;
        let nodes: Vec<NodeCounts> = regions
            .iter()
            .map(|region| state.nodes.get(&region.name).copied().unwrap_or_default())
            .collect();
        let shares = prepared.streams.iter().map(|stream| {
            let mut shares = vec![0.0; regions.len()];
            let measured = state
                .flows
                .iter()
                .filter(|flow| flow.model == stream.model.name && flow.origin == stream.origin);

            for flow in measured {
                if let Some(region) = regions.iter().position(|region| region.name == flow.region) {
                    shares[region] += flow.share;
                }
            }

            let sum: f64 = shares.iter().sum();
            if sum > 0.0 {
                shares.iter_mut().for_each(|share| *share /= sum);
                return shares;
            }

            let trip = |region: &usize| {
                round_trip_ms(prepared.input, stream.origin, &regions[*region].name)
                    .unwrap_or(f64::INFINITY)
            };
            let used = (0..regions.len()).filter(|region| nodes[*region].total() > 0);
            let nearest = used.min_by(|a, b| trip(a).total_cmp(&trip(b)));

            if let Some(region) = nearest {
                shares[region] = 1.0;
            }
            shares
        });

        let shares = shares.collect();
        Self { nodes, shares }
    }

    /// Monthly cost; exact except for egress.
    pub(super) fn cost(&self, prepared: &Prepared<'_>) -> MonthlyCost {
        let mut cost = MonthlyCost {
            egress: egress(prepared, &self.shares),
            ..MonthlyCost::default()
        };

        for (nodes, region) in self.nodes.iter().zip(&prepared.input.regions) {
            let spot = region.spot.as_ref().map(|offer| offer.price.amount);
            let committed = region.committed.as_ref().map(|offer| offer.price.amount);
            cost.compute += month_of(region.on_demand.price.amount, nodes.on_demand);
            cost.compute += month_of(spot.unwrap_or_default(), nodes.spot);
            cost.compute += month_of(committed.unwrap_or_default(), nodes.committed);

            if nodes.total() > 0 {
                cost.fixed += month_of(
                    region
                        .fixed_per_hour
                        .map_or(Amount::ZERO, |price| price.amount),
                    1,
                );
            }
        }

        cost
    }
}

fn mean_share(stream: &super::prepared::Stream<'_>) -> f64 {
    let demand = stream.model.demand.get(stream.origin);
    demand.map_or(1.0, |demand| demand.mean_rps / demand.peak_rps)
}
