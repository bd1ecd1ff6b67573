//! Recommends changes one by one, each on top of the previous ones.
//!
//! Nodes change in stages. Each stage is a placement with more freedom than the last one: fewer
//! nodes for the traffic as it flows, other flows, other regions, spot, commitments. What a stage
//! adds is its saving.

mod autoscale;

use super::{
    baselines::Fleet,
    bill::month_of,
    describe::{self, Origin, Writer},
    input::PlacementInput,
    ledger::Ledger,
    linear::{self, Given},
    outcome::{MonthlyCost, NodeCounts, PlacementError},
    prepared::Prepared,
    recommendation::{
        Baseline, NodeChange, Proposal, Recommendation, RecommendationKind, Recommendations, Saving,
    },
    stage::Stage,
    state::{BaselineName, RecommendError, RecommendInput, ReplicationChange},
    whole,
};
use crate::money::{Amount, ONE};
use std::collections::BTreeSet;
use time::format_description::well_known::Rfc3339;

/// Savings of less than this part of the spend are not worth a change.
const WORTH_PART: u64 = 1_000;
/// Possible deviation of a month's spot price, percent.
const SPOT_SPREAD_PERCENT: u64 = 30;
/// Possible deviation of a month's traffic, percent.
const TRAFFIC_SPREAD_PERCENT: u64 = 20;
/// The part of new commitments that may go unused if demand falls, percent.
const UNUSED_PERCENT: u64 = 25;

/// Recommends how to spend less than the baseline.
///
/// Savings are per month. Each builds on the previous ones, and their sum is exactly the difference
/// between the baseline and the proposal. With another baseline than `current`, the changes are
/// those from the baseline's fleet, as if it ran. Fails if the input is invalid; if no placement
/// meets the limits, a note says why.
pub fn recommend(input: &RecommendInput) -> Result<Recommendations, RecommendError> {
    input.check()?;
    let prepared = Prepared::new(&input.placement)?;
    let start = Fleet::of(input.baseline, &prepared, &input.state);
    let start_cost = start.cost(&prepared).total();
    let ledger = Ledger::new(start, start_cost, &input.state)?;
    let monthly_cost = ledger.total();
    let baseline = Baseline {
        name: input.baseline,
        monthly_cost,
    };

    let writer = Writer {
        input,
        baseline,
        currency: prepared.currency,
    };
    let mut advisor = Advisor {
        input,
        prepared: &prepared,
        ledger,
        writer,
        made: Vec::new(),
        notes: Vec::new(),
    };

    advisor.idle();
    advisor.replication();
    advisor.fleet()?;
    advisor.autoscale();
    Ok(advisor.finish())
}

struct Advisor<'a> {
    input: &'a RecommendInput,
    prepared: &'a Prepared<'a>,
    ledger: Ledger,
    writer: Writer<'a>,
    made: Vec<Recommendation>,
    notes: Vec<String>,
}

impl Advisor<'_> {
    fn is_worth_it(&self, saved: Amount) -> bool {
        let least = self
            .writer
            .baseline
            .monthly_cost
            .share(1, WORTH_PART)
            .unwrap_or_default();

        saved > Amount::ZERO && saved >= least.min(Amount(ONE))
    }

    fn recommend(
        &mut self,
        kind: RecommendationKind,
        subject: &str,
        proposal: Proposal,
        saving: Saving,
        origin: Origin,
    ) {
        self.made.push(
            self.writer
                .recommendation(kind, subject, proposal, saving, origin),
        );
    }

    fn idle(&mut self) {
        for idle in &self.input.state.idle {
            let copies = self.ledger.delete(&idle.model, &idle.version, None);
            let expected: Amount = copies
                .iter()
                .map(|copy| copy.storage + copy.replication)
                .sum();

            if expected <= Amount::ZERO {
                continue;
            }

            let spread = percent(
                copies.iter().map(|copy| copy.replication).sum(),
                TRAFFIC_SPREAD_PERCENT,
            );
            let subject = format!("{}/{}", idle.model, idle.version);
            let saving = Saving {
                expected,
                low: expected - spread,
                high: expected + spread,
            };
            let origin = Origin::Idle {
                days: idle.days_without_requests,
            };

            self.recommend(
                RecommendationKind::Idle,
                &subject,
                Proposal::Delete { copies },
                saving,
                origin,
            );
        }
    }

    fn replication(&mut self) {
        let mut seen = BTreeSet::new();
        for finding in &self.input.state.replication {
            let model = &finding.model;
            let version = &finding.version;
            let region = &finding.region;
            let change = match &finding.change {
                ReplicationChange::Unneeded => "unneeded".to_owned(),
                ReplicationChange::Relay { via, .. } => format!("from/{via}"),
            };

            // The first finding of a subject counts.
            let subject = format!("{model}/{version}/{region}/{change}");
            if !seen.insert(subject.clone()) {
                continue;
            }

            let (expected, uncertain, proposal) = match &finding.change {
                ReplicationChange::Unneeded => {
                    let copies = self.ledger.delete(model, version, Some(region));
                    let replication: Amount = copies.iter().map(|copy| copy.replication).sum();
                    let storage: Amount = copies.iter().map(|copy| copy.storage).sum();

                    (
                        replication + storage,
                        replication,
                        Proposal::Delete { copies },
                    )
                }
                ReplicationChange::Relay { via, replication } => {
                    let key = (model.clone(), version.clone(), region.clone());
                    let saved = self.ledger.relay(&key, *replication).unwrap_or_default();
                    let (model, version, region) = key;

                    (
                        saved,
                        saved,
                        Proposal::Relay {
                            model,
                            version,
                            region,
                            via: via.clone(),
                        },
                    )
                }
            };

            if expected <= Amount::ZERO {
                continue;
            }

            let spread = percent(uncertain, TRAFFIC_SPREAD_PERCENT);
            let saving = Saving {
                expected,
                low: expected - spread,
                high: expected + spread,
            };

            self.recommend(
                RecommendationKind::Replication,
                &subject,
                proposal,
                saving,
                Origin::Copy,
            );
        }
    }

    fn fleet(&mut self) -> Result<(), RecommendError> {
        let mut cheapest_dearer: Option<Amount> = None;
        for stage in Stage::ALL.iter().copied() {
            let found = match self.stage(stage) {
                Ok(found) => found,
                Err(error @ PlacementError::Infeasible(_)) => {
                    match stage {
                        Stage::Scale => {
                            let mean = if self.has_autoscaled() {
                                ", on average where they follow the load,"
                            } else {
                                ""
                            };

                            self.notes.push(format!(
                                "the nodes of {}{mean} fall short: {error}",
                                self.input.baseline
                            ));
                        }
                        Stage::Commit => self.notes.push(error.to_string()),
                        Stage::Shift | Stage::Region | Stage::Spot => {}
                    }

                    continue;
                }
                Err(error) => return Err(error.into()),
            };

            let Some(fleet) = found else { continue };
            let cost = fleet.cost(self.prepared).total();
            let saved = self.ledger.fleet_cost() - cost;

            if self.is_worth_it(saved) {
                self.adopt(stage, fleet, cost);
            } else if saved < Amount::ZERO {
                cheapest_dearer = Some(cheapest_dearer.map_or(cost, |known| known.min(cost)));
            }
        }

        let has_stage = self
            .made
            .iter()
            .any(|made| matches!(made.proposal, Proposal::Fleet { .. }));

        if let Some(cost) = cheapest_dearer.filter(|_| !has_stage) {
            let more = cost - self.ledger.fleet_cost();
            let name = self.input.baseline;
            let currency = self.prepared.currency;

            self.notes.push(format!(
                "meeting all limits costs {} {currency} a month, {} more than {name}",
                cost.rounded(2),
                more.rounded(2)
            ));
        }

        Ok(())
    }

    /// The best fleet of a stage; `None` if it can't be made of whole nodes.
    fn stage(&self, stage: Stage) -> Result<Option<Fleet>, PlacementError> {
        let fleet = &self.ledger.fleet;
        let mut input: PlacementInput = self.input.placement.clone();
        let steady_share = self.busy_share(|busy| busy.base).unwrap_or(0.0);

        for (offer, now) in input.regions.iter_mut().zip(&fleet.nodes) {
            stage.limit(offer, *now, steady_share);
        }

        let prepared = Prepared::new(&input)?;
        let paid = |mut nodes: Vec<NodeCounts>| {
            let pairs = nodes.iter_mut().zip(&fleet.nodes);
            pairs.for_each(|(nodes, now)| nodes.committed = nodes.committed.max(now.committed));
            nodes
        };

        if prepared.streams.is_empty() {
            let nodes = paid(vec![NodeCounts::default(); fleet.nodes.len()]);
            return Ok(Some(Fleet {
                nodes,
                shares: Vec::new(),
            }));
        }

        let obstacles = prepared.obstacles();
        if !obstacles.is_empty() {
            return Err(PlacementError::Infeasible(obstacles));
        }

        let rounded = if stage == Stage::Scale {
            whole::rounded_in_place(
                &prepared,
                &linear::solve_given(&prepared, Given::shares(&fleet.shares))?,
            )
        } else {
            whole::rounded(&prepared, &linear::solve(&prepared)?)?
        };

        Ok(rounded.map(|found| Fleet {
            nodes: paid(found.nodes),
            shares: found.shares,
        }))
    }

    fn adopt(&mut self, stage: Stage, fleet: Fleet, cost: Amount) {
        let before = self.ledger.fleet.clone();
        let expected = self.ledger.fleet_cost() - cost;
        let was = self.by_class(&before);
        let is = self.by_class(&fleet);
        let spread = percent(distance(was.spot, is.spot), SPOT_SPREAD_PERCENT)
            + percent(
                distance(was.cost.egress, is.cost.egress),
                TRAFFIC_SPREAD_PERCENT,
            );

        let unused = percent(
            (is.committed - was.committed).max(Amount::ZERO),
            UNUSED_PERCENT,
        );
        let saving = Saving {
            expected,
            low: expected - spread - unused,
            high: expected + spread,
        };

        let nodes = self.node_changes(&before.nodes, &fleet.nodes);
        let weights =
            describe::weight_changes(self.prepared, &before, &fleet, &self.input.state.weights_bp);

        self.ledger.adopt(fleet, cost);
        let proposal = Proposal::Fleet { nodes, weights };
        self.recommend(
            stage.kind(),
            stage.subject(),
            proposal,
            saving,
            Origin::Stage(stage),
        );
    }

    fn node_changes(&self, from: &[NodeCounts], to: &[NodeCounts]) -> Vec<NodeChange> {
        let pairs = from
            .iter()
            .zip(to)
            .enumerate()
            .filter(|(_, (from, to))| from != to);
        let change = |(region, (from, to)): (usize, (&NodeCounts, &NodeCounts))| NodeChange {
            region: self.prepared.name(region).clone(),
            from: *from,
            to: *to,
        };

        pairs.map(change).collect()
    }

    fn by_class(&self, fleet: &Fleet) -> ByClass {
        let mut sums = ByClass {
            spot: Amount::ZERO,
            committed: Amount::ZERO,
            cost: fleet.cost(self.prepared),
        };

        for (nodes, region) in fleet.nodes.iter().zip(&self.input.placement.regions) {
            let spot = region
                .spot
                .as_ref()
                .map_or(Amount::ZERO, |offer| offer.price.amount);
            let committed = region
                .committed
                .as_ref()
                .map_or(Amount::ZERO, |offer| offer.price.amount);

            sums.spot += month_of(spot, nodes.spot);
            sums.committed += month_of(committed, nodes.committed);
        }

        sums
    }

    fn finish(mut self) -> Recommendations {
        let mut total = Saving::default();
        for made in &self.made {
            total.expected += made.saving.expected;
            total.low += made.saving.low;
            total.high += made.saving.high;
        }

        let serving = self.ledger.fleet_cost();
        let compare = |name: BaselineName| {
            let monthly_cost = Fleet::of(name, self.prepared, &self.input.state)
                .cost(self.prepared)
                .total();
            describe::comparison(
                Baseline { name, monthly_cost },
                serving,
                self.prepared.currency,
            )
        };

        let comparisons = BaselineName::ALL.into_iter().map(compare).collect();
        self.notes.extend(self.prepared.assumptions.iter().cloned());

        let generated_at = self.input.generated_at;
        Recommendations {
            generated_at: generated_at
                .format(&Rfc3339)
                .unwrap_or_else(|_| generated_at.to_string()),
            baseline: self.writer.baseline,
            currency: self.prepared.currency,
            total_saving: total,
            proposal_cost: self.ledger.total(),
            recommendations: self.made,
            comparisons,
            notes: self.notes,
        }
    }
}

struct ByClass {
    spot: Amount,
    committed: Amount,
    cost: MonthlyCost,
}

fn distance(a: Amount, b: Amount) -> Amount {
    if a > b { a - b } else { b - a }
}

fn percent(amount: Amount, percent: u64) -> Amount {
    amount.share(percent, 100).unwrap_or_default()
}

#[cfg(test)]
mod tests;
