//! Monthly cost of placements; a month has 730 hours.

use super::{
    linear::Solved,
    outcome::{MonthlyCost, NodeCounts},
    prepared::{Prepared, Stream},
};
use crate::{money::Amount, prices::HOURS_PER_MONTH};

/// The exact cost of whole nodes, commitments that are already paid for included.
pub(super) fn whole_cost(
    prepared: &Prepared<'_>,
    nodes: &[NodeCounts],
    shares: &[Vec<f64>],
) -> MonthlyCost {
    let mut cost = MonthlyCost {
        egress: egress(prepared, shares),
        ..MonthlyCost::default()
    };

    for (nodes, region) in nodes.iter().zip(&prepared.input.regions) {
        let paid = region
            .committed
            .as_ref()
            .map_or(0, |offer| offer.paid_nodes);
        let spot = region.spot.as_ref().map(|offer| offer.price.amount);
        let committed = region.committed.as_ref().map(|offer| offer.price.amount);

        cost.compute += month_of(region.on_demand.price.amount, nodes.on_demand);
        cost.compute += month_of(spot.unwrap_or_default(), nodes.spot);
        cost.compute += month_of(committed.unwrap_or_default(), nodes.committed.max(paid));
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

/// The monthly cost of nodes at a price per hour.
pub(super) fn month_of(price: Amount, nodes: u32) -> Amount {
    Amount(
        price
            .0
            .saturating_mul(i128::from(HOURS_PER_MONTH))
            .saturating_mul(i128::from(nodes)),
    )
}

/// A month of an hourly cost. Costs are below 10^14: the checks of the input see to that for all
/// that fits a mesh; beyond, it counts as the largest.
fn month_of_rate(rate: f64) -> Amount {
    let cost = (rate * f64::from(HOURS_PER_MONTH)).min(9e13);
    // A hundred-millionth is far below what the solver's tolerance moves.
    Amount::from_f64((cost * 1e8).round() / 1e8).unwrap_or_default()
}

pub(super) fn egress(prepared: &Prepared<'_>, shares: &[Vec<f64>]) -> Amount {
    let of = |(stream, shares): (&Stream<'_>, &Vec<f64>)| -> f64 {
        stream
            .egress
            .iter()
            .zip(shares)
            .map(|(cost, share)| cost * share)
            .sum()
    };

    month_of_rate(prepared.streams.iter().zip(shares).map(of).sum())
}

pub(super) fn monthly(prepared: &Prepared<'_>, solved: &Solved) -> MonthlyCost {
    let mut compute = 0.0;
    let mut fixed = 0.0;
    for (nodes, region) in solved.nodes.iter().zip(&prepared.regions) {
        let committed = nodes.committed.max(region.paid);
        compute += nodes.on_demand * region.on_demand_price;
        compute += nodes.spot * region.spot_price + committed * region.committed_price;
        fixed += if nodes.total() > 0.0 {
            region.fixed_price
        } else {
            0.0
        };
    }

    MonthlyCost {
        compute: month_of_rate(compute),
        fixed: month_of_rate(fixed),
        egress: egress(prepared, &solved.shares),
    }
}
