//! Compares the predictions of earlier recommendations with the bill, once the bill covers the days they are about.

use super::{Sources, names, usage};
use crate::cost::advice::Advised;
use regionmesh_cost::{
    Amount, BillWindow, Currency, Group, INCOMPLETE_DAYS, Proposal, Query, RecommendationKind, UsageDay, Verification,
    parse_date, report, verify,
};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use time::{Date, Duration};

/// Days of the bill that are compared, before and after.
const WINDOW_DAYS: i64 = 14;

/// A recommendation, and what the bill shows of its prediction.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Verified {
    /// The recommendation.
    pub(super) id: String,
    /// What kind of change it is.
    pub(super) kind: RecommendationKind,
    /// What it said.
    pub(super) title: String,
    /// The day that it was made.
    pub(super) made_on: String,
    /// The regions whose bill is compared; empty: all.
    pub(super) regions: BTreeSet<String>,
    /// What the bill says.
    #[serde(flatten)]
    pub(super) outcome: Verification,
}

/// Those that the bill can tell of: it has every day up to the day to verify them.
pub(super) fn verifications(sources: &Sources) -> Vec<Verified> {
    let last = sources.ledger.sources().values().filter_map(|state| state.last_day).max();
    let Some(last) = last.and_then(|last| last.checked_sub(Duration::days(INCOMPLETE_DAYS.into()))) else {
        return Vec::new();
    };
    let is_due = |made: &&Advised| made.recommendation.verify_after <= last.min(sources.today);
    let due: Vec<&Advised> = sources.advice.iter().filter(is_due).collect();
    let first = due.iter().map(|made| days_before(made.on, WINDOW_DAYS)).min();
    let end = due.iter().map(|made| made.recommendation.verify_after).max();
    let Some(span) = first.zip(end) else { return Vec::new() };
    let past = Past::of(sources, span);
    due.into_iter().map(|made| verified(made, &past, sources)).collect()
}

fn days_before(day: Date, days: i64) -> Date {
    day.checked_sub(Duration::days(days)).unwrap_or(day)
}

fn verified(made: &Advised, past: &Past, sources: &Sources) -> Verified {
    let recommendation = &made.recommendation;
    let regions = regions(&recommendation.proposal);
    let window = |end: Date| {
        let span = (days_before(end, WINDOW_DAYS - 1), end);
        BillWindow {
            days: past.billed(&regions, span, made.currency),
            currency: made.currency,
            load: past.load(&regions, span),
        }
    };
    let (before, after) = (window(days_before(made.on, 1)), window(recommendation.verify_after));
    let outcome = verify(recommendation.saving, &before, &after, follows_load(&regions, sources));
    Verified {
        id: recommendation.id.clone(),
        kind: recommendation.kind,
        title: recommendation.title.clone(),
        made_on: made.on.to_string(),
        regions,
        outcome,
    }
}

/// The regions that a change is about; none: all.
fn regions(proposal: &Proposal) -> BTreeSet<String> {
    match proposal {
        Proposal::Fleet { nodes, .. } | Proposal::Autoscale { nodes } => {
            nodes.iter().map(|change| change.region.to_string()).collect()
        }
        Proposal::Delete { copies } => copies.iter().map(|copy| copy.region.to_string()).collect(),
        Proposal::Relay { .. } => BTreeSet::new(),
    }
}

fn counts(regions: &BTreeSet<String>, name: &str) -> bool {
    regions.is_empty() || regions.contains(name)
}

/// What bills and counters say of the days that predictions are about, read once for all of them.
struct Past {
    /// Effective cost by day, region and currency.
    costs: Vec<(Date, String, Currency, Amount)>,
    /// Requests by day, region and model.
    used: Vec<UsageDay>,
}

impl Past {
    fn of(sources: &Sources, (start, end): (Date, Date)) -> Self {
        let query = Query::new(start, end).by([Group::Day, Group::Region]);
        let rows = report(&sources.ledger, &query, &names(sources)).map(|found| found.rows).unwrap_or_default();
        let costs = rows.into_iter().filter_map(|row| {
            let [day, region] = &row.values[..] else { return None };
            Some((parse_date(day)?, region.clone(), row.currency, row.amount))
        });
        let (used, _) = usage::usage(sources, start, end);
        Self { costs: costs.collect(), used }
    }

    /// What the regions cost on each day that the bill has.
    fn billed(&self, regions: &BTreeSet<String>, (start, end): (Date, Date), currency: Currency) -> Vec<Amount> {
        let mut days: BTreeMap<Date, Amount> = BTreeMap::new();
        for (day, region, of, amount) in &self.costs {
            if (start..=end).contains(day) && *of == currency && counts(regions, region) {
                *days.entry(*day).or_default() += *amount;
            }
        }
        days.into_values().collect()
    }

    /// The regions' mean load, requests per second, over the days that were observed; 0 if none was.
    fn load(&self, regions: &BTreeSet<String>, (start, end): (Date, Date)) -> f64 {
        let used = || self.used.iter().filter(|did| (start..=end).contains(&did.day));
        let requests: u64 = used().filter(|did| counts(regions, &did.region)).map(|did| did.requests).sum();
        let days: BTreeSet<Date> = used().map(|did| did.day).collect();
        requests as f64 / (days.len().max(1) as f64 * 86_400.0)
    }
}

/// The share of the regions whose nodes are as many as agents, and so may follow the load.
fn follows_load(regions: &BTreeSet<String>, sources: &Sources) -> f64 {
    let configured = sources.config.iter().flat_map(|config| &config.regions);
    let about: Vec<_> = configured.filter(|region| counts(regions, region.name.as_str())).collect();
    let following = about.iter().filter(|region| region.nodes.iter().any(|nodes| nodes.count.is_none())).count();
    following as f64 / about.len().max(1) as f64
}
