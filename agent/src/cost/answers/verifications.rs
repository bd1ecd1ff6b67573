//! Compares the predictions of earlier recommendations with the bill, once the bill covers their
//! days.

use super::{
    sources::{Sources, names},
    usage,
};
use crate::cost::advice::{Advice, Advised};
use regionmesh_cost::{
    Amount, BillWindow, Currency, Group, INCOMPLETE_DAYS, Query, RecommendationKind, Saving,
    UsageDay, Verification, day_of, parse_date, report, verify,
};
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use time::{Date, Duration};

/// Days of the bill compared, before and after.
const WINDOW_DAYS: i64 = 14;

/// A recommendation, and how its prediction compares with the bill.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(super) struct Verified {
    /// The recommendation's id.
    pub(super) id: String,
    pub(super) kind: RecommendationKind,
    pub(super) title: String,
    /// The day that it was made.
    pub(super) made_on: String,
    /// The regions whose bill is compared; empty: all.
    pub(super) regions: BTreeSet<String>,
    /// Ids of others with savings on the same bill: the bill is compared with the sum of all.
    pub(super) together_with: Vec<String>,
    #[serde(flatten)]
    pub(super) outcome: Verification,
}

/// Verifies the recommendations that are due: the bill has every day up to `verify_after`.
pub(super) fn verifications(sources: &Sources) -> Vec<Verified> {
    let last = sources.ledger.ends(sources.today).of([]).and_then(day_of);
    let Some(last) = last.and_then(|last| last.checked_sub(Duration::days(INCOMPLETE_DAYS.into())))
    else {
        return Vec::new();
    };
    let joint = sources
        .advice
        .iter()
        .map(|made| Joint::of(made, &sources.advice));
    let due: Vec<Joint<'_>> = joint
        .filter(|joint| joint.verify_after <= last.min(sources.today))
        .collect();

    let first = due
        .iter()
        .map(|joint| days_before(joint.made_on, WINDOW_DAYS))
        .min();
    let end = due.iter().map(|joint| joint.verify_after).max();
    let Some(span) = first.zip(end) else {
        return Vec::new();
    };
    let past = Past::of(sources, span);

    due.into_iter()
        .map(|joint| verified(joint, &past, sources))
        .collect()
}

fn days_before(day: Date, days: i64) -> Date {
    day.checked_sub(Duration::days(days)).unwrap_or(day)
}

/// A recommendation and the others that the bill can't separate from it: they were open at the same
/// time and concern the same regions.
struct Joint<'a> {
    made: &'a Advised,
    others: Vec<&'a Advised>,
    /// Empty: all.
    regions: BTreeSet<String>,
    /// The day that the first of them was made.
    made_on: Date,
    /// The day to verify the last of them.
    verify_after: Date,
}

impl<'a> Joint<'a> {
    fn of(made: &'a Advised, advice: &'a Advice) -> Self {
        let until = |made: &Advised| made.recommendation.verify_after;
        let is_at_the_time = |other: &&Advised| {
            other.on < until(made)
                && made.on < until(other)
                && other.currency == made.currency
                && *other != made
        };

        let mut joint = Self {
            made,
            others: Vec::new(),
            regions: regions(made),
            made_on: made.on,
            verify_after: until(made),
        };
        let mut rest: Vec<&Advised> = advice.iter().filter(is_at_the_time).collect();

        // A region that is added may connect further recommendations.
        loop {
            let (joins, apart): (Vec<_>, Vec<_>) =
                rest.into_iter().partition(|other| joint.is_about(other));
            if joins.is_empty() {
                return joint;
            }
            joins.into_iter().for_each(|other| joint.add(other));
            rest = apart;
        }
    }

    fn is_about(&self, other: &Advised) -> bool {
        let regions = regions(other);
        self.regions.is_empty() || regions.is_empty() || !self.regions.is_disjoint(&regions)
    }

    fn add(&mut self, other: &'a Advised) {
        let id = &other.recommendation.id;
        // A repeated recommendation is the remainder of the first one.
        if self
            .others
            .iter()
            .any(|known| known.recommendation.id == *id)
        {
            return;
        }

        let regions = regions(other);
        if regions.is_empty() || self.regions.is_empty() {
            self.regions.clear();
        } else {
            self.regions.extend(regions);
        }

        self.made_on = self.made_on.min(other.on);
        self.verify_after = self.verify_after.max(other.recommendation.verify_after);
        self.others.push(other);
    }

    fn predicted(&self) -> Saving {
        let mut sum = self.made.recommendation.saving;
        for Saving {
            expected,
            low,
            high,
        } in self.others.iter().map(|other| other.recommendation.saving)
        {
            sum.expected += expected;
            sum.low += low;
            sum.high += high;
        }

        sum
    }
}

fn verified(joint: Joint<'_>, past: &Past, sources: &Sources) -> Verified {
    let window = |end: Date| {
        let span = (days_before(end, WINDOW_DAYS - 1), end);
        BillWindow {
            days: past.billed(&joint.regions, span, joint.made.currency),
            currency: joint.made.currency,
            load: past.load(&joint.regions, span),
        }
    };
    let before = window(days_before(joint.made_on, 1));
    let after = window(joint.verify_after);

    let mut outcome = verify(
        joint.predicted(),
        &before,
        &after,
        follows_load(&joint.regions, sources),
    );

    if !joint.others.is_empty() {
        outcome.why += &format!(
            "; judged together with {} more for the same regions",
            joint.others.len()
        );
    }

    let recommendation = &joint.made.recommendation;
    Verified {
        id: recommendation.id.clone(),
        kind: recommendation.kind,
        title: recommendation.title.clone(),
        made_on: joint.made.on.to_string(),
        together_with: joint
            .others
            .iter()
            .map(|other| other.recommendation.id.clone())
            .collect(),
        regions: joint.regions,
        outcome,
    }
}

/// The regions whose bill shows a change; empty: all.
fn regions(made: &Advised) -> BTreeSet<String> {
    made.recommendation
        .proposal
        .regions()
        .into_iter()
        .map(ToString::to_string)
        .collect()
}

fn counts(regions: &BTreeSet<String>, name: &str) -> bool {
    regions.is_empty() || regions.contains(name)
}

/// Bills and counters of the days that predictions cover, read once for all of them.
struct Past {
    /// Effective cost by day, region and currency.
    costs: Vec<(Date, String, Currency, Amount)>,
    /// Requests by day, region and model.
    used: Vec<UsageDay>,
}

impl Past {
    fn of(sources: &Sources, (start, end): (Date, Date)) -> Self {
        let query = Query::new(start, end).by([Group::Day, Group::Region]);
        let rows = report(&sources.ledger, &query, &names(sources))
            .map(|found| found.rows)
            .unwrap_or_default();
        let costs = rows.into_iter().filter_map(|row| {
            let [day, region] = &row.values[..] else {
                return None;
            };
            Some((parse_date(day)?, region.clone(), row.currency, row.amount))
        });

        let (used, _) = usage::usage(sources, start, end);
        Self {
            costs: costs.collect(),
            used,
        }
    }

    /// Cost of the regions on each billed day.
    fn billed(
        &self,
        regions: &BTreeSet<String>,
        (start, end): (Date, Date),
        currency: Currency,
    ) -> Vec<Amount> {
        let mut days: BTreeMap<Date, Amount> = BTreeMap::new();
        for (day, region, of, amount) in &self.costs {
            if (start..=end).contains(day) && *of == currency && counts(regions, region) {
                *days.entry(*day).or_default() += *amount;
            }
        }

        days.into_values().collect()
    }

    /// The regions' mean load over the observed days, requests per second; 0 without any.
    fn load(&self, regions: &BTreeSet<String>, (start, end): (Date, Date)) -> f64 {
        let used = || {
            self.used
                .iter()
                .filter(|did| (start..=end).contains(&did.day))
        };
        let of_regions = used().filter(|did| counts(regions, &did.region));
        let requests = of_regions.fold(0u64, |sum, did| sum.saturating_add(did.requests));
        let days: BTreeSet<Date> = used().map(|did| did.day).collect();

        requests as f64 / (days.len().max(1) as f64 * 86_400.0)
    }
}

/// The share of the regions whose nodes follow the load.
fn follows_load(regions: &BTreeSet<String>, sources: &Sources) -> f64 {
    let configured = sources.config.iter().flat_map(|config| &config.regions);
    let about: Vec<_> = configured
        .filter(|region| counts(regions, region.name.as_str()))
        .collect();
    let following = about.iter().filter(|region| region.follows_load()).count();

    following as f64 / about.len().max(1) as f64
}
