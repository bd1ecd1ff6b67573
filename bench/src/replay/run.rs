//! One replay of a strategy with one seed, minute by minute.

use super::{
    bill::{Bill, Usage, add_answers},
    error::ReplayError,
    fleet::Fleet,
    load::{BIN_MINUTES, BINS_PER_DAY, Rates},
    planner::{Plan, Shares},
    platform::DETECTION_SECONDS,
    scenario::{Assumptions, PriceList, RoundTrips},
    spot::SpotMarkets,
    strategy::RegionChoice,
    traffic::{Router, sum},
};
use serde::Serialize;

/// Relative error allowed in sums of rates.
const ROUNDING: f64 = 1e-9;

/// The outcome of a replay, without its warm-up.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outcome {
    pub bill: Bill,
    /// Requests made.
    pub demanded: f64,
    /// Requests answered.
    pub served: f64,
    /// Minutes after the warm-up.
    pub minutes: u64,
    /// Minutes in which the others could have answered all requests after the loss of any region.
    pub survivable_minutes: u64,
    /// Requests that would have been answered without the region whose loss hurts most in each
    /// minute.
    pub served_after_loss: f64,
    /// Spot nodes that were interrupted, including during the warm-up.
    pub spot_losses: u64,
}

/// The input of one run.
pub(super) struct Run<'a> {
    pub(super) assumptions: &'a Assumptions,
    pub(super) list: &'a PriceList<'a>,
    pub(super) trips: &'a RoundTrips,
    pub(super) demand: &'a [Rates],
    pub(super) choice: RegionChoice,
    /// By bin.
    pub(super) plans: &'a [Plan],
}

impl Run<'_> {
    /// A bin's plan takes effect a minute into the bin, when its rates have been observed. Requests
    /// are redistributed once all nodes of the plan serve.
    pub(super) fn play(&self, seed: u64) -> Result<Outcome, ReplayError> {
        let mut markets = SpotMarkets::new(self.assumptions.spot, seed);
        let mut plan: &Plan = &self.plans[0];
        let mut shares: &Shares = &plan.shares;
        let mut fleet = Fleet::new(plan);
        let mut router = Router::new(self.trips, &self.assumptions.node_seconds);
        let mut usage = Usage::default();
        let warm_up_minutes = self.assumptions.warm_up_days * BINS_PER_DAY * BIN_MINUTES;
        let mut demanded = 0.0;
        let mut served = 0.0;
        let mut after_loss = 0.0;
        let mut minutes = 0;
        let mut survivable_minutes = 0;

        for minute in 0..self.demand.len() * BIN_MINUTES {
            let bin = minute / BIN_MINUTES;
            if minute % BIN_MINUTES == 1 {
                plan = &self.plans[bin];
            }

            let now = u32::try_from(minute).map_err(|_| ReplayError::TooLarge)?;
            markets.step();
            fleet.step(now, plan, &markets);
            if !fleet.is_starting(now) {
                shares = &plan.shares;
            }

            let rates = &self.demand[bin];
            let nodes = fleet.serving(now);
            let answered = router.minute(rates, shares, &nodes, DETECTION_SECONDS / 60.0);

            if minute < warm_up_minutes {
                continue;
            }

            let day = usage.day(bin / BINS_PER_DAY);
            for (region, usage) in day.iter_mut().enumerate() {
                let (durable, spot) = fleet.paid(region);
                usage.add_nodes(durable, spot, u64::from(plan.committed[region]));
            }

            add_answers(day, &answered);
            let demand = sum(rates.as_flattened());
            let left = router.after_loss(rates, shares, &nodes);

            demanded += demand * 60.0;
            served += sum(answered.as_flattened().as_flattened()) * 60.0;
            after_loss += left * 60.0;
            minutes += 1;
            survivable_minutes += u64::from(left >= demand * (1.0 - ROUNDING));
        }

        let bill = usage.bill(self.list, self.choice, self.assumptions.callers)?;
        Ok(Outcome {
            bill,
            demanded,
            served,
            minutes,
            survivable_minutes,
            served_after_loss: after_loss,
            spot_losses: fleet.spot_losses,
        })
    }
}
