//! What was spent day by day within a scope: by the bills where they are complete, by the live
//! plane where they are not yet.

use crate::{
    budget::{Budget, BudgetScope, BudgetWindow},
    cells::Metric,
    date::{DAY_MS, parse_date},
    forecast::{DailyCosts, ForecastError, HORIZON_DAYS_MAX, forecast},
    ledger::{ENDED_DAYS, Ledger},
    live::{LiveMeter, Pricing},
    money::{Amount, Money, Totals},
    report::{Filter, Group, Query, QueryError, RegionNames, report},
};
use std::collections::BTreeMap;
use time::Date;

/// The billed costs of the days of a scope. Building it scans the bills; valid until they change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BilledDays {
    scope: BudgetScope,
    metric: Metric,
    /// Keyed by day and mesh region.
    amounts: BTreeMap<(Date, String), Totals>,
    /// The last day that is complete in the bills of all sources.
    final_day: Option<Date>,
}

impl BilledDays {
    /// Reads the bills from `start` to `end`, both included.
    pub fn new(
        ledger: &Ledger,
        budget: &Budget,
        (start, end): (Date, Date),
        regions: RegionNames<'_>,
        model_tag: &str,
    ) -> Result<Self, QueryError> {
        let filter = |group, value: &String| {
            vec![Filter {
                group,
                value: value.clone(),
            }]
        };

        let filters = match &budget.scope {
            BudgetScope::Mesh => Vec::new(),
            BudgetScope::Region(name) => filter(Group::Region, name),
            BudgetScope::Model(name) => filter(Group::Model, name),
            BudgetScope::Tag { key, value } => filter(Group::Tag(key.clone()), value),
        };

        let query = Query {
            by: vec![Group::Day, Group::Region],
            metric: budget.metric,
            filters,
            model_tag: model_tag.to_owned(),
            ..Query::new(start, end)
        };
        let mut amounts: BTreeMap<(Date, String), Totals> = BTreeMap::new();

        for row in report(ledger, &query, regions)?.rows {
            let [day, region] = &row.values[..] else {
                continue;
            };
            if let Some(day) = parse_date(day) {
                let money = Money {
                    amount: row.amount,
                    currency: row.currency,
                };
                amounts.entry((day, region.clone())).or_default().add(money);
            }
        }

        Ok(Self {
            scope: budget.scope.clone(),
            metric: budget.metric,
            amounts,
            final_day: ledger.final_day(end),
        })
    }

    /// The cost of each day from `start` to `end`: the billed cost of final days; of others the
    /// live cost if that is higher. Of a model it is the larger of the two on all days: bills know
    /// its tagged charges, the live plane its share of the nodes. `regions` are those of the mesh.
    pub fn with_live(
        &self,
        live: &LiveMeter,
        (start, end): (Date, Date),
        regions: &MeshNodes,
        pricing: Pricing<'_>,
    ) -> BTreeMap<Date, Totals> {
        let mut costs: BTreeMap<(Date, &str), Totals> = BTreeMap::new();
        for ((day, region), totals) in &self.amounts {
            if (start..=end).contains(day) {
                costs.insert((*day, region), totals.clone());
            }
        }

        for (region, _) in self.live_regions(regions) {
            let mut next = Some(start);
            while let Some(day) = next.filter(|day| *day <= end) {
                next = day.next_day();
                let is_billed = costs.contains_key(&(day, region))
                    && self.final_day.is_some_and(|final_day| day <= final_day);
                if is_billed && !matches!(self.scope, BudgetScope::Model(_)) {
                    continue;
                }

                for (currency, amount) in self.live_cost(live, region, day, pricing).0 {
                    let known = costs
                        .get(&(day, region))
                        .map(|totals| totals.of(currency))
                        .unwrap_or_default();

                    if amount > known {
                        costs
                            .entry((day, region))
                            .or_default()
                            .0
                            .insert(currency, amount);
                    }
                }
            }
        }

        let mut days: BTreeMap<Date, Totals> = BTreeMap::new();
        for ((day, _), totals) in costs {
            let sums = days.entry(day).or_default();
            totals
                .0
                .into_iter()
                .for_each(|(currency, amount)| sums.add(Money { amount, currency }));
        }

        days
    }

    /// The last day before `today` up to which costs are known: up to the last final day, and from
    /// there on for as long as the live plane watched every region of the scope and knows its
    /// nodes. `None` if neither knows anything current.
    pub fn known_to(
        &self,
        live: &LiveMeter,
        regions: &MeshNodes,
        today: Date,
        pricing: Pricing<'_>,
    ) -> Option<Date> {
        let yesterday = today.previous_day()?;
        let in_scope: Vec<(&str, bool)> = self.live_regions(regions).collect();
        let is_watched = |day: Date| {
            let is_seen =
                |region: &str| live.window(region, (day, day), pricing).known_ms >= DAY_MS / 2;
            !in_scope.is_empty()
                && in_scope
                    .iter()
                    .all(|&(region, has_nodes)| has_nodes && is_seen(region))
        };

        let final_day = self
            .final_day
            .filter(|final_day| (today - *final_day).whole_days() <= i64::from(ENDED_DAYS));
        let Some(final_day) = final_day else {
            return Some(yesterday).filter(|day| is_watched(*day));
        };
        let mut known = final_day.min(yesterday);

        while let Some(day) = known
            .next_day()
            .filter(|day| *day <= yesterday && is_watched(*day))
        {
            known = day;
        }

        Some(known)
    }

    /// The regions whose live cost is part of the scope. The live plane knows effective cost alone,
    /// and no tags.
    fn live_regions<'a>(&'a self, regions: &'a MeshNodes) -> impl Iterator<Item = (&'a str, bool)> {
        let is_in_scope = move |region: &String| match &self.scope {
            BudgetScope::Mesh | BudgetScope::Model(_) => self.metric == Metric::Effective,
            BudgetScope::Region(name) => self.metric == Metric::Effective && name == region,
            BudgetScope::Tag { .. } => false,
        };

        regions
            .iter()
            .filter(move |(region, _)| is_in_scope(region))
            .map(|(region, has_nodes)| (&**region, *has_nodes))
    }

    fn live_cost(&self, live: &LiveMeter, region: &str, day: Date, pricing: Pricing<'_>) -> Totals {
        let mut window = live.window(region, (day, day), pricing);
        match &self.scope {
            BudgetScope::Model(model) => window
                .models
                .remove(model)
                .map(|model| model.cost)
                .unwrap_or_default(),
            _ => window.total,
        }
    }
}

/// The regions of the mesh, and whether the configuration names their nodes, so the live plane can
/// price them.
pub type MeshNodes = BTreeMap<String, bool>;

/// A budget's spending and what its period is heading for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outlook {
    /// Spent from the period's first day to today.
    pub spent: Totals,
    /// Expected for the whole period; `None` if nothing can be expected yet.
    pub forecast: Option<Totals>,
}

/// What a budget's period that `today` is in has cost, and what it is heading for. `days` as of
/// [`BilledDays::with_live`], `rest` as of [`expected_rest`]: where a day of it has cost more
/// already, that counts.
pub fn outlook(
    budget: &Budget,
    days: &BTreeMap<Date, Totals>,
    rest: Option<&BTreeMap<Date, Amount>>,
    today: Date,
) -> Outlook {
    let BudgetWindow { first, last } = budget.period.window(today);
    let currency = budget.amount.currency;
    let mut spent = Totals::default();

    for (currency, amount) in days.range(first..=today).flat_map(|(_, totals)| &totals.0) {
        spent.add(Money {
            amount: *amount,
            currency: *currency,
        });
    }

    let forecast = rest.map(|rest| {
        let so_far = |day: &Date| {
            days.get(day)
                .map(|totals| totals.of(currency))
                .unwrap_or_default()
        };
        let known = days
            .range(first..=today)
            .map(|(day, _)| day)
            .filter(|day| !rest.contains_key(*day));
        let known: Amount = known.map(so_far).sum();

        let expected: Amount = rest
            .range(first..=last)
            .map(|(day, expected)| (*expected).max(so_far(day)))
            .sum();
        let mut total = spent.clone();

        // Even if credits are expected: spent cost stays spent.
        total
            .0
            .insert(currency, (known + expected).max(spent.of(currency)));
        total
    });

    Outlook { spent, forecast }
}

/// What each day after `known_to`, to the end of the budget's period, is expected to cost. `days`
/// from as long before the period as there is history; those after `known_to` are ignored. Takes
/// some ten milliseconds.
pub fn expected_rest(
    budget: &Budget,
    days: &BTreeMap<Date, Totals>,
    known_to: Date,
    today: Date,
) -> Result<BTreeMap<Date, Amount>, ForecastError> {
    let currency = budget.amount.currency;
    let last = budget.period.window(today).last;
    let known = days
        .range(..=known_to)
        .filter_map(|(day, totals)| Some((*day, *totals.0.get(&currency)?)));
    let costs = DailyCosts::new(currency, known_to, known);
    let horizon = (last - known_to)
        .whole_days()
        .clamp(1, i64::from(HORIZON_DAYS_MAX));

    // At most a year, as just bounded.
    let forecast = forecast(&costs, horizon as u16, 0)?;
    Ok(forecast
        .days
        .iter()
        .map(|day| (day.day, day.cost.expected))
        .collect())
}

#[cfg(test)]
mod tests;
