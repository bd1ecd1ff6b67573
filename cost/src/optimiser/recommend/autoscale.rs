//! Lets on-demand nodes follow the load.

use super::{Advisor, TRAFFIC_SPREAD_PERCENT, percent};
use crate::{
    money::Amount,
    optimiser::{
        describe::Origin,
        outcome::NodeCounts,
        recommendation::{Proposal, RecommendationKind, Saving},
        state::{BaselineName, Utilisation},
    },
    prices::HOURS_PER_MONTH,
};

impl Advisor<'_> {
    /// How busy the mesh's nodes are at some time, as a share of the peak; `None` if that was not
    /// measured.
    pub(super) fn busy_share(&self, at: impl Fn(&Utilisation) -> f64) -> Option<f64> {
        let nodes = |region| {
            self.input
                .state
                .nodes
                .get(region)
                .map_or(0.0, |nodes| f64::from(nodes.total()))
        };

        let sum = |at: &dyn Fn(&Utilisation) -> f64| -> f64 {
            self.input
                .state
                .utilisation
                .iter()
                .map(|(region, busy)| at(busy) * nodes(region))
                .sum()
        };
        let peak = sum(&|busy| busy.peak);

        (peak > 0.0).then(|| sum(&at) / peak)
    }

    /// Whether nodes of the baseline follow the load.
    pub(super) fn has_autoscaled(&self) -> bool {
        self.input.baseline == BaselineName::Current && !self.input.state.autoscaled.is_empty()
    }

    /// Autoscales on-demand nodes where they are not yet autoscaled. The nodes needed are a convex
    /// function of the load, so their mean lies below the chord between the lowest and the highest
    /// load: the expected saving is that of the chord, and the highest that of the mean load
    /// (Jensen's inequality).
    pub(super) fn autoscale(&mut self) {
        let is_measured = self.input.baseline != BaselineName::Autoscaled;
        let shares = self
            .busy_share(|busy| busy.base)
            .zip(self.busy_share(|busy| busy.mean))
            .filter(|_| is_measured);
        let Some((base, mean)) = shares.filter(|(base, _)| *base < 1.0) else {
            return;
        };
        let fleet = &self.ledger.fleet;
        let mut lowest = fleet.nodes.clone();
        let mut expected = 0.0;
        let mut high = 0.0;

        for (index, nodes) in fleet.nodes.iter().enumerate() {
            if nodes.on_demand == 0 || self.is_autoscaled(index) {
                continue;
            }

            let (least, saved, saved_max) = self.hourly_saving(index, *nodes, base, mean);
            lowest[index].on_demand = least;
            expected += saved;
            high += saved_max;
        }

        let monthly = |rate: f64| {
            Amount::from_f64((rate * f64::from(HOURS_PER_MONTH) * 100.0).floor() / 100.0)
        };
        let (Some(expected), Some(high)) = (monthly(expected), monthly(high)) else {
            return;
        };

        if !self.is_worth_it(expected) {
            return;
        }

        let low = expected - percent(expected, TRAFFIC_SPREAD_PERCENT);
        let nodes = self.node_changes(&fleet.nodes, &lowest);
        self.ledger.save(expected);

        let saving = Saving {
            expected,
            low,
            high,
        };

        self.recommend(
            RecommendationKind::Scale,
            "autoscale",
            Proposal::Autoscale { nodes },
            saving,
            Origin::Autoscale,
        );
    }

    fn is_autoscaled(&self, region: usize) -> bool {
        let autoscaled = &self.input.state.autoscaled;
        self.has_autoscaled() && autoscaled.contains(self.prepared.name(region))
    }

    /// The fewest on-demand nodes of a region, and its expected and highest saving per hour.
    fn hourly_saving(
        &self,
        region: usize,
        nodes: NodeCounts,
        base: f64,
        mean: f64,
    ) -> (u32, f64, f64) {
        let region = &self.prepared.regions[region];
        let total = f64::from(nodes.total());
        let most = f64::from(nodes.on_demand);
        let other = total - most;
        let needed = |share: f64| (total * share).max(region.memory).min(total) - other;
        let least = needed(base).ceil().max(0.0);
        let chord = least + (most - least) * ((mean - base) / (1.0 - base)).clamp(0.0, 1.0);

        let expected = (most - chord) * region.on_demand_price;
        let high = (most - needed(mean).max(0.0)).max(most - chord) * region.on_demand_price;
        (least as u32, expected, high)
    }
}
