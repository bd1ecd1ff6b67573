//! Routes a minute's requests: answered, sent to another region, or lost.

use super::{
    load::Rates,
    planner::Shares,
    platform::{MODELS, ORIGINS, REGIONS},
    scenario::RoundTrips,
};

/// Requests per second, by model, origin and region.
pub(super) type Answered = [[[f64; REGIONS.len()]; ORIGINS]; MODELS];

/// Routes requests to regions with enough nodes.
pub(super) struct Router<'a> {
    pub(super) trips: &'a RoundTrips,
    pub(super) node_seconds: &'a [f64; MODELS],
    /// Regions by origin, nearest first.
    by_distance: [[usize; REGIONS.len()]; ORIGINS],
    is_overloaded: [bool; REGIONS.len()],
}

impl<'a> Router<'a> {
    pub(super) fn new(trips: &'a RoundTrips, node_seconds: &'a [f64; MODELS]) -> Self {
        let mut by_distance = [[0, 1, 2]; ORIGINS];
        for (origin, regions) in by_distance.iter_mut().enumerate() {
            regions.sort_by(|a, b| trips.0[origin][*a].total_cmp(&trips.0[origin][*b]));
        }

        Self {
            trips,
            node_seconds,
            by_distance,
            is_overloaded: [false; REGIONS.len()],
        }
    }

    /// Average rates answered in a minute. Requests beyond a region's capacity are lost during the
    /// part `undetected` of its first minute of overload; after that they go to other regions that
    /// are near enough and have idle nodes.
    pub(super) fn minute(
        &mut self,
        rates: &Rates,
        shares: &Shares,
        nodes: &[f64; REGIONS.len()],
        undetected: f64,
    ) -> Answered {
        let (answered, overloaded) = self.answer(rates, shares, nodes, undetected);
        self.is_overloaded = overloaded;
        answered
    }

    /// Requests per second that would be answered after the loss of the region whose loss hurts
    /// most, once it is detected.
    pub(super) fn after_loss(
        &self,
        rates: &Rates,
        shares: &Shares,
        nodes: &[f64; REGIONS.len()],
    ) -> f64 {
        let left = |lost: usize| {
            let mut left = *nodes;
            left[lost] = 0.0;
            let (answered, _) = self.answer(rates, shares, &left, 0.0);
            sum(answered.as_flattened().as_flattened())
        };

        (0..REGIONS.len())
            .filter(|lost| nodes[*lost] > 0.0)
            .map(left)
            .fold(sum(rates.as_flattened()), f64::min)
    }

    fn answer(
        &self,
        rates: &Rates,
        shares: &Shares,
        nodes: &[f64; REGIONS.len()],
        undetected: f64,
    ) -> (Answered, [bool; REGIONS.len()]) {
        let mut answered = Answered::default();
        let mut work = [0.0; REGIONS.len()];
        for (model, origin, region) in places() {
            let rate = rates[model][origin] * shares[model][origin][region];
            answered[model][origin][region] = rate;
            work[region] += rate * self.node_seconds[model];
        }

        // The part of each region's requests beyond its capacity.
        let excess: [f64; REGIONS.len()] =
            std::array::from_fn(|region| match work[region] > nodes[region] {
                true => 1.0 - nodes[region] / work[region],
                false => 0.0,
            });
        let is_overloaded = excess.map(|excess| excess > 0.0);
        let sent_on: [f64; REGIONS.len()] = std::array::from_fn(|region| {
            if self.is_overloaded[region] {
                1.0
            } else {
                1.0 - undetected
            }
        });

        let mut idle: [f64; REGIONS.len()] =
            std::array::from_fn(|region| (nodes[region] - work[region]).max(0.0));

        let planned = answered;
        for (model, origin, region) in places().filter(|(_, _, region)| excess[*region] > 0.0) {
            let refused = planned[model][origin][region] * excess[region];
            answered[model][origin][region] -= refused;

            let mut left = refused * sent_on[region];
            let others = self.by_distance[origin].iter().copied();
            for other in
                others.filter(|other| *other != region && self.trips.is_near(model, origin, *other))
            {
                let moved = left.min(idle[other] * sent_on[region] / self.node_seconds[model]);
                answered[model][origin][other] += moved;
                idle[other] -= moved * self.node_seconds[model];
                left -= moved;
            }
        }

        (answered, is_overloaded)
    }
}

/// All models, origins and regions.
pub(super) fn places() -> impl Iterator<Item = (usize, usize, usize)> {
    let pairs = |model| {
        (0..ORIGINS)
            .flat_map(move |origin| (0..REGIONS.len()).map(move |region| (model, origin, region)))
    };
    (0..MODELS).flat_map(pairs)
}

pub(super) fn sum(rates: &[f64]) -> f64 {
    rates.iter().sum()
}

#[cfg(test)]
mod tests;
