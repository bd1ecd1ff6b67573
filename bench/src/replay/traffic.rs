//! A minute's requests: who answers, what is sent on, what is lost.

use super::{
    load::Rates,
    planner::Shares,
    scenario::{MODELS, ORIGINS, REGIONS, RoundTrips},
};

/// Requests per second, by model, origin and region.
pub(super) type Answered = [[[f64; REGIONS.len()]; ORIGINS]; MODELS];

/// Sends requests to regions that have nodes for them.
pub(super) struct Router<'a> {
    pub(super) trips: &'a RoundTrips,
    pub(super) node_seconds: &'a [f64; MODELS],
    /// The regions nearest to each origin, first.
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

    /// What is answered in a minute, on average. Requests that a region has no nodes for are lost
    /// for the part `undetected` of its first minute of overload; then they are sent to other
    /// regions that are near enough and have nodes left.
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

    /// What would be answered if the one region had no nodes whose loss would hurt most, once that
    /// is detected, requests per second.
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

        // The part of its requests that each region has no nodes for.
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
mod tests {
    use super::*;

    const SECONDS: [f64; MODELS] = [0.1, 0.02, 0.01];

    /// 100 requests per second to the large model from the first origin, answered by the first
    /// region: 10 nodes' work.
    fn all_at_home() -> (Rates, Shares) {
        let mut rates = Rates::default();
        let mut shares = Shares::default();
        rates[0][0] = 100.0;
        shares
            .as_flattened_mut()
            .iter_mut()
            .for_each(|shares| shares[0] = 1.0);

        (rates, shares)
    }

    fn total(answered: &Answered) -> f64 {
        sum(answered.as_flattened().as_flattened())
    }

    #[test]
    fn overload_is_lost_until_it_is_detected_and_then_sent_on() {
        let trips = RoundTrips::default();
        let mut router = Router::new(&trips, &SECONDS);
        let (rates, shares) = all_at_home();
        let answered = router.minute(&rates, &shares, &[6.0, 9.0, 9.0], 0.25);

        assert!((total(&answered) - 90.0).abs() < 1e-9, "{answered:?}");
        let answered = router.minute(&rates, &shares, &[6.0, 3.0, 9.0], 0.25);
        assert!((total(&answered) - 100.0).abs() < 1e-9);

        // Europe is nearer than India.
        assert!(
            (answered[0][0][1] - 30.0).abs() < 1e-9 && (answered[0][0][2] - 10.0).abs() < 1e-9,
            "{answered:?}"
        );
    }

    #[test]
    fn no_more_is_answered_than_there_are_nodes_for() {
        let trips = RoundTrips::default();
        let mut router = Router::new(&trips, &SECONDS);
        let (rates, shares) = all_at_home();

        for _ in 0..2 {
            let answered = router.minute(&rates, &shares, &[4.0, 1.0, 2.0], 0.0);
            assert!((total(&answered) - 70.0).abs() < 1e-9);
        }
    }

    #[test]
    fn nodes_left_are_given_to_one_model_or_the_other() {
        let trips = RoundTrips::default();
        let mut router = Router::new(&trips, &SECONDS);
        let (mut rates, shares) = all_at_home();

        rates[1][0] = 500.0;
        // 20 nodes' work, of which 8 are refused and 3 find nodes elsewhere.
        let answered = router.minute(&rates, &shares, &[12.0, 3.0, 0.0], 0.0);
        let work: f64 = places()
            .map(|(model, origin, region)| answered[model][origin][region] * SECONDS[model])
            .sum();

        assert!((work - 15.0).abs() < 1e-9, "{answered:?}");
    }

    #[test]
    fn a_loss_is_survived_if_the_others_have_nodes_enough() {
        let trips = RoundTrips::default();
        let router = Router::new(&trips, &SECONDS);
        let (rates, shares) = all_at_home();
        assert!((router.after_loss(&rates, &shares, &[5.0, 5.0, 5.0]) - 100.0).abs() < 1e-9);
        assert!((router.after_loss(&rates, &shares, &[5.0, 6.0, 4.0]) - 90.0).abs() < 1e-9);
    }
}
