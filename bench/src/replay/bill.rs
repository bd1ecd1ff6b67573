//! Usage and its exact cost.

use super::{
    error::ReplayError,
    planner::fixed_per_hour,
    platform::{ANSWER_BYTES, MODEL_LIST, REGIONS},
    scenario::{Callers, PriceList, day},
    strategy::RegionChoice,
    traffic::{Answered, places},
};
use regionmesh_cost::{Amount, Cause, Currency, EgressUsage, egress_report};
use serde::Serialize;

/// The cost of a replay, US dollars.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Bill {
    /// On-demand nodes.
    pub on_demand: Amount,
    /// Spot nodes.
    pub spot: Amount,
    /// Commitments, used or not.
    pub committed: Amount,
    /// Fixed costs of regions with nodes.
    pub fixed: Amount,
    /// Egress of answers.
    pub answers: Amount,
    /// Egress of new versions of models.
    pub replication: Amount,
}

impl Bill {
    pub fn total(&self) -> Amount {
        self.on_demand + self.spot + self.committed + self.fixed + self.answers + self.replication
    }
}

/// A region's usage on a day.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct RegionUsage {
    pub(super) on_demand_minutes: u64,
    pub(super) spot_minutes: u64,
    pub(super) committed_minutes: u64,
    /// Minutes with at least one node.
    pub(super) minutes: u64,
    /// Bytes of answers, by origin.
    answer_bytes: [f64; REGIONS.len()],
}

/// Usage by day, without the warm-up.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Usage {
    days: Vec<(usize, [RegionUsage; REGIONS.len()])>,
}

impl Usage {
    /// The usage of a day; days come in order.
    pub(super) fn day(&mut self, index: usize) -> &mut [RegionUsage; REGIONS.len()] {
        if self.days.last().is_none_or(|(last, _)| *last != index) {
            self.days.push((index, Default::default()));
        }
        let last = self.days.len() - 1;
        &mut self.days[last].1
    }

    /// Prices each day's usage at that day's prices. Every day a new version of every model is
    /// published in the first region and replicated to the others.
    pub(super) fn bill(
        &self,
        list: &PriceList<'_>,
        choice: RegionChoice,
        callers: Callers,
    ) -> Result<Bill, ReplayError> {
        let mut bill = Bill::default();
        let mut sent = Vec::new();
        for (index, regions) in &self.days {
            let date = day(*index)?;
            for &region in choice {
                let usage = &regions[region];
                let prices = list.nodes(date, region)?;
                bill.on_demand += of_minutes(prices.on_demand.amount, usage.on_demand_minutes)?;
                bill.spot += of_minutes(prices.spot.amount, usage.spot_minutes)?;
                bill.committed += of_minutes(prices.committed.amount, usage.committed_minutes)?;
                bill.fixed += of_minutes(fixed_per_hour().amount, usage.minutes)?;

                let from = REGIONS[region].name.to_owned();
                for (origin, bytes) in usage.answer_bytes.iter().enumerate() {
                    let to =
                        (callers == Callers::InRegions).then(|| REGIONS[origin].name.to_owned());
                    let from = from.clone();
                    let bytes = *bytes as u64;

                    sent.push(EgressUsage {
                        day: date,
                        from,
                        to,
                        cause: Cause::AnswersAway,
                        bytes,
                    });
                }
            }

            for &to in &choice[1..] {
                sent.extend(MODEL_LIST.iter().map(|model| EgressUsage {
                    day: date,
                    from: REGIONS[choice[0]].name.to_owned(),
                    to: Some(REGIONS[to].name.to_owned()),
                    cause: Cause::Replication {
                        model: model.name.to_owned(),
                    },
                    bytes: model.bytes,
                }));
            }
        }

        let (Some(first), Some(last)) = (self.days.first(), self.days.last()) else {
            return Ok(bill);
        };
        let report = egress_report(
            &sent,
            (day(first.0)?, day(last.0)?),
            list.prices,
            &list.regions,
        );

        if let Some(missing) = report.missing.into_iter().next() {
            return Err(missing.into());
        }

        for line in report.lines {
            let part = if line.cause == Cause::AnswersAway {
                &mut bill.answers
            } else {
                &mut bill.replication
            };

            *part += line.cost.of(Currency::USD);
        }

        Ok(bill)
    }
}

impl RegionUsage {
    /// Adds a minute of the region's nodes. Commitments are paid whether or not that many nodes
    /// run.
    pub(super) fn add_nodes(&mut self, durable: u64, spot: u64, committed: u64) {
        self.on_demand_minutes += durable.saturating_sub(committed);
        self.spot_minutes += spot;
        self.committed_minutes += committed;
        self.minutes += u64::from(durable + spot > 0);
    }
}

/// Adds a minute of answers.
pub(super) fn add_answers(regions: &mut [RegionUsage; REGIONS.len()], answered: &Answered) {
    for (model, origin, region) in places() {
        regions[region].answer_bytes[origin] +=
            answered[model][origin][region] * 60.0 * ANSWER_BYTES;
    }
}

fn of_minutes(price_per_hour: Amount, minutes: u64) -> Result<Amount, ReplayError> {
    price_per_hour
        .share(minutes, 60)
        .ok_or(ReplayError::TooLarge)
}

#[cfg(test)]
mod tests;
