//! Allocates cost to models: charges with the model's tag, and its part of shared serving capacity.
//!
//! Charges with a model's tag go to that model, by region, day and currency. Other serving cost
//! (compute and machine-learning services; usage, credits and corrections) is split by each model's
//! busy time against the region's capacity; the rest is idle. Unused commitments count as idle too.
//! Everything else (storage, networking, support, taxes, purchases) stays unallocated. Models, idle
//! and unallocated sum to the region's total to the last digit.

mod usage;
mod warnings;

use crate::{
    date::day_number,
    ledger::{Ledger, day_range, serialize_day},
    money::{Amount, Currency, Totals},
    report::{
        Group, Query, QueryError, RegionNames, ReportRow, Warning, report, share_bp, share_ratio,
        sort_key,
    },
};
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use time::Date;
use usage::{Cost, Costs, RegionDay, RegionDays, Usage};
use warnings::{without_bill, without_usage};

/// Categories of services that serve models (FOCUS `ServiceCategory`), compared without regard to
/// case.
const SERVING: [&str; 2] = ["Compute", "AI and Machine Learning"];

/// A model's usage in a region on a day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageDay {
    /// The day, UTC.
    pub day: Date,
    /// The region, as the mesh names it.
    pub region: String,
    pub model: String,
    /// Requests answered.
    pub requests: u64,
    /// Busy time, milliseconds, summed over serving slots.
    pub busy_ms: u64,
}

/// Serving slots × running time, milliseconds, by day and mesh region. A missing entry counts as
/// the sum of busy time.
pub type Capacity = BTreeMap<(Date, String), u64>;

/// A model's cost in a region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ModelCost {
    pub model: String,
    /// The region; null for the sum over all regions.
    pub region: Option<String>,
    pub currency: Currency,
    /// Charges with its tag.
    pub tagged: Amount,
    /// Its part of shared serving cost.
    pub shared: Amount,
    /// Both together.
    pub cost: Amount,
    /// The part of everything spent in this currency, in units of 0.0001, in JSON as a ratio.
    #[schemars(with = "Option<f64>")]
    #[serde(rename = "share", serialize_with = "share_ratio")]
    pub share_bp: Option<i64>,
    /// Requests on the days and in the regions that a bill in this currency covers.
    pub requests: u64,
    /// Busy time on the same days, milliseconds.
    pub busy_ms: u64,
    /// Cost per 1,000 requests, rounded half to even; null without requests.
    pub per_1000: Option<Amount>,
}

/// A region's cost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RegionCost {
    /// The region; empty for charges without one.
    pub region: String,
    pub currency: Currency,
    /// Cost of all models.
    pub models: Amount,
    /// Paid serving capacity that was not busy.
    pub idle: Amount,
    /// Cost that belongs to no model.
    pub unallocated: Amount,
    pub total: Amount,
    /// The part of the capacity that was not busy, in units of 0.0001, in JSON as a ratio, over the
    /// days whose capacity is known; null without such days.
    #[schemars(with = "Option<f64>")]
    #[serde(rename = "idle_ratio", serialize_with = "share_ratio")]
    pub idle_bp: Option<i64>,
}

/// What each model costs. Models, idle and unallocated sum to the region exactly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "CostModels")]
pub struct Allocation {
    /// The first day.
    #[schemars(with = "String")]
    #[serde(serialize_with = "serialize_day")]
    pub start: Date,
    /// The last day; included.
    #[schemars(with = "String")]
    #[serde(serialize_with = "serialize_day")]
    pub end: Date,
    /// Models over all regions: by currency, most expensive first, then by name.
    pub models: Vec<ModelCost>,
    /// Models by region, in the same order.
    pub by_region: Vec<ModelCost>,
    /// Regions, in the same order.
    pub regions: Vec<RegionCost>,
    /// Everything spent.
    pub totals: Totals,
    /// Caveats about the amounts.
    pub warnings: Vec<Warning>,
}

/// Allocates the charges of a query's days to models. Ignores the query's groups.
pub fn allocate(
    ledger: &Ledger,
    query: &Query,
    usage: &[UsageDay],
    capacity: &Capacity,
    regions: RegionNames<'_>,
) -> Result<Allocation, QueryError> {
    let by = [
        Group::Day,
        Group::Region,
        Group::Category,
        Group::Charge,
        Group::Pricing,
        Group::Model,
    ];
    let bill = report(ledger, &query.clone().by(by), regions)?;
    let days = region_days(query, usage, capacity);
    let costs = costs(&bill.rows);

    let mut sums = Sums::default();
    for ((day, region, currency), cost) in &costs {
        sums.add(
            region,
            *currency,
            cost,
            days.get(&(day.clone(), region.clone())),
        );
    }

    let mut warnings = bill.warnings;
    warnings.extend(without_usage(&costs, &days));
    if query.filters.is_empty() {
        warnings.extend(without_bill(&costs, &days));
    }

    Ok(sums.finish(query, bill.totals, capacity_used(&costs, &days), warnings))
}

fn region_days(query: &Query, usage: &[UsageDay], capacity: &Capacity) -> RegionDays {
    let asked = day_range(query.start, query.end);
    let is_asked = |day: Date| asked.contains(&day_number(day));
    let mut days = RegionDays::new();

    for used in usage.iter().filter(|used| is_asked(used.day)) {
        let day = days
            .entry((used.day.to_string(), used.region.clone()))
            .or_default();
        let UsageDay {
            requests, busy_ms, ..
        } = *used;

        day.models
            .entry(used.model.clone())
            .or_default()
            .add(Usage { requests, busy_ms });
    }

    for ((day, region), capacity_ms) in capacity.iter().filter(|((day, _), _)| is_asked(*day)) {
        days.entry((day.to_string(), region.clone()))
            .or_default()
            .capacity_ms = Some(*capacity_ms);
    }

    days
}

fn costs(rows: &[ReportRow]) -> Costs {
    let mut costs = Costs::new();
    for row in rows {
        let [day, region, category, charge, pricing, model] = row.values.as_slice() else {
            continue;
        };
        let cost = costs
            .entry((day.clone(), region.clone(), row.currency))
            .or_default();
        let is_serving = SERVING
            .iter()
            .any(|serving| serving.eq_ignore_ascii_case(category))
            && !matches!(charge.as_str(), "tax" | "purchase");

        let sum = match model.as_str() {
            "" if is_serving && pricing == "unused" => &mut cost.unused,
            "" if is_serving => &mut cost.shared,
            "" => &mut cost.other,
            model => cost.tagged.entry(model.to_owned()).or_default(),
        };

        *sum += row.amount;
    }

    costs
}

#[derive(Default)]
struct Sums {
    models: BTreeMap<(String, String, Currency), Model>,
    regions: BTreeMap<(String, Currency), Region>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Model {
    tagged: Amount,
    shared: Amount,
    usage: Usage,
}

#[derive(Default)]
struct Region {
    models: Amount,
    idle: Amount,
    unallocated: Amount,
}

impl Sums {
    fn add(&mut self, region: &str, currency: Currency, cost: &Cost, day: Option<&RegionDay>) {
        let sums = self
            .regions
            .entry((region.to_owned(), currency))
            .or_default();
        let mut model = |name: &str, change: &dyn Fn(&mut Model)| {
            change(
                self.models
                    .entry((name.to_owned(), region.to_owned(), currency))
                    .or_default(),
            );
        };

        sums.idle += cost.unused;
        sums.unallocated += cost.other;
        for (name, amount) in &cost.tagged {
            sums.models += *amount;
            model(name, &|model| model.tagged += *amount);
        }

        let Some(day) = day else {
            sums.unallocated += cost.shared;
            return;
        };
        let idle_ms = day.idle_ms();
        let mut weights: Vec<u64> = day.models.values().map(|usage| usage.busy_ms).collect();

        weights.push(idle_ms);
        let parts = cost.shared.split(&weights);
        for ((name, usage), part) in day.models.iter().zip(&parts) {
            sums.models += *part;
            model(name, &|model| {
                model.shared += *part;
                model.usage.add(*usage);
            });
        }

        // Without busy time and known capacity nothing was split: all of it is idle.
        sums.idle += cost.shared - parts.iter().take(day.models.len()).copied().sum();
    }

    fn finish(
        self,
        query: &Query,
        totals: Totals,
        idle: BTreeMap<String, Option<i64>>,
        warnings: Vec<Warning>,
    ) -> Allocation {
        let mut overall: BTreeMap<(String, Currency), Model> = BTreeMap::new();
        let mut by_region = Vec::new();
        for ((name, region, currency), model) in self.models {
            let sum = overall.entry((name.clone(), currency)).or_default();
            sum.tagged += model.tagged;
            sum.shared += model.shared;
            sum.usage.add(model.usage);
            by_region.push(model.named(name, Some(region), currency, &totals));
        }

        let mut models: Vec<ModelCost> = overall
            .into_iter()
            .map(|((name, currency), model)| model.named(name, None, currency, &totals))
            .collect();
        let mut regions: Vec<RegionCost> = Vec::new();

        for (
            (region, currency),
            Region {
                models,
                idle: of_idle,
                unallocated,
            },
        ) in self.regions
        {
            let idle_bp = idle.get(&region).copied().flatten();
            let total = models + of_idle + unallocated;
            regions.push(RegionCost {
                region,
                currency,
                models,
                idle: of_idle,
                unallocated,
                total,
                idle_bp,
            });
        }

        models.sort_by_key(model_order);
        by_region.sort_by_key(model_order);
        regions.sort_by(|a, b| {
            sort_key(a.currency, a.total, &[]).cmp(&sort_key(b.currency, b.total, &[]))
        });
        Allocation {
            start: query.start,
            end: query.end,
            models,
            by_region,
            regions,
            totals,
            warnings,
        }
    }
}

fn model_order(model: &ModelCost) -> (Currency, std::cmp::Reverse<Amount>) {
    (model.currency, std::cmp::Reverse(model.cost))
}

impl Model {
    fn named(
        self,
        model: String,
        region: Option<String>,
        currency: Currency,
        totals: &Totals,
    ) -> ModelCost {
        let cost = self.tagged + self.shared;
        ModelCost {
            model,
            region,
            currency,
            tagged: self.tagged,
            shared: self.shared,
            cost,
            share_bp: share_bp(cost, totals.of(currency)),
            requests: self.usage.requests,
            busy_ms: self.usage.busy_ms,
            per_1000: cost.share(1_000, self.usage.requests),
        }
    }
}

/// The part of each region's capacity that was idle, over the billed days whose capacity is known.
fn capacity_used(costs: &Costs, days: &RegionDays) -> BTreeMap<String, Option<i64>> {
    let billed: BTreeSet<(&String, &String)> =
        costs.keys().map(|(day, region, _)| (day, region)).collect();
    let mut times: BTreeMap<String, (u128, u128)> = BTreeMap::new();

    for ((_, region), of_day) in days
        .iter()
        .filter(|((day, region), _)| billed.contains(&(day, region)))
    {
        if let Some(capacity) = of_day.capacity_ms {
            let (idle, whole) = times.entry(region.clone()).or_default();
            *idle += u128::from(of_day.idle_ms());
            *whole += u128::from(capacity.max(of_day.busy_ms()));
        }
    }

    let ratio = |(idle, whole): (u128, u128)| {
        (whole > 0).then(|| (idle as f64 / whole as f64 * 10_000.0).round() as i64)
    };
    times
        .into_iter()
        .map(|(region, times)| (region, ratio(times)))
        .collect()
}

#[cfg(test)]
mod tests;
