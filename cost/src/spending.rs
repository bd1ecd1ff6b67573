//! What was spent day by day within a scope: by the bills where they are complete, by the live plane where they are not yet.

use crate::{
    budget::{Budget, BudgetScope},
    cells::Metric,
    date::parse_date,
    forecast::{DailyCosts, ForecastError, HORIZON_DAYS_MAX, forecast},
    ledger::Ledger,
    live::{LiveMeter, Pricing},
    money::{Amount, Currency, Money, Totals},
    report::{Filter, Group, Query, QueryError, RegionNames, report},
};
use std::collections::BTreeMap;
use time::Date;

/// What bills say of the days of a scope, in one currency. Costs a scan of the bills; stays good until they change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BilledDays {
    scope: BudgetScope,
    currency: Currency,
    /// By day and region, as the mesh names it.
    amounts: BTreeMap<(Date, String), Amount>,
    /// Sums in other currencies.
    others: Totals,
    /// The last day that is complete.
    complete: Option<Date>,
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
        let filter = |group, value: &String| vec![Filter { group, value: value.clone() }];
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
        let currency = budget.amount.currency;
        let (mut amounts, mut others) = (BTreeMap::new(), Totals::default());
        for row in report(ledger, &query, regions)?.rows {
            if row.currency != currency {
                others.add(Money { amount: row.amount, currency: row.currency });
                continue;
            }
            let [day, region] = &row.values[..] else { continue };
            if let Some(day) = parse_date(day) {
                *amounts.entry((day, region.clone())).or_default() += row.amount;
            }
        }
        Ok(Self { scope: budget.scope.clone(), currency, amounts, others, complete: ledger.complete_day() })
    }

    /// The cost of each day from `start` to `end`: what is billed of complete days; of others the live cost where that is
    /// more. `regions` are those of the mesh. The live plane knows effective cost alone, and no tags.
    pub fn with_live(
        &self,
        live: &LiveMeter,
        (start, end): (Date, Date),
        metric: Metric,
        regions: &[String],
        pricing: Pricing<'_>,
    ) -> BTreeMap<Date, Amount> {
        let mut days: BTreeMap<Date, Amount> = BTreeMap::new();
        let mut billed: BTreeMap<(Date, &str), Amount> = BTreeMap::new();
        for ((day, region), amount) in &self.amounts {
            if (start..=end).contains(day) {
                billed.insert((*day, region), *amount);
            }
        }
        let live_regions = regions.iter().filter(|region| match &self.scope {
            BudgetScope::Mesh | BudgetScope::Model(_) => true,
            BudgetScope::Region(name) => name == *region,
            BudgetScope::Tag { .. } => false,
        });
        for region in live_regions.filter(|_| metric == Metric::Effective) {
            let mut day = Some(start);
            while let Some(at) = day.filter(|at| *at <= end) {
                day = at.next_day();
                let known = billed.get(&(at, region)).copied();
                let is_final = known.is_some() && self.complete.is_some_and(|complete| at <= complete);
                if is_final {
                    continue;
                }
                let counted = self.live_cost(live, region, at, pricing);
                if counted > known.unwrap_or_default() {
                    billed.insert((at, region), counted);
                }
            }
        }
        for ((day, _), amount) in billed {
            *days.entry(day).or_default() += amount;
        }
        days
    }

    fn live_cost(&self, live: &LiveMeter, region: &str, day: Date, pricing: Pricing<'_>) -> Amount {
        let window = live.window(region, (day, day), pricing);
        match &self.scope {
            BudgetScope::Model(model) => window.models.get(model).map(|model| model.cost.of(self.currency)),
            _ => Some(window.total.of(self.currency)),
        }
        .unwrap_or_default()
    }

    /// What is billed in other currencies, which is not part of any sum here.
    pub fn others(&self) -> &Totals {
        &self.others
    }
}

/// A budget's spending and what its period is heading for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outlook {
    /// Spent from the period's first day to today.
    pub spent: Totals,
    /// Expected for the whole period; none where nothing can be expected yet.
    pub forecast: Option<Totals>,
}

/// What a budget's period that `today` is in has cost, and what it is heading for. `days` as of [`BilledDays::with_live`]; `rest`
/// as of [`expected_rest`].
pub fn outlook(
    budget: &Budget,
    days: &BTreeMap<Date, Amount>,
    others: &Totals,
    rest: Option<Amount>,
    today: Date,
) -> Outlook {
    let window = budget.period.window(today);
    let currency = budget.amount.currency;
    let amount = days.range(window.first..=today).map(|(_, amount)| *amount).sum();
    let mut spent = others.clone();
    spent.add(Money { amount, currency });

    let forecast = rest.map(|rest| {
        let mut total = others.clone();
        let today_so_far = days.get(&today).copied().unwrap_or_default();
        total.add(Money { amount: amount - today_so_far + rest.max(today_so_far), currency });
        total
    });
    Outlook { spent, forecast }
}

/// What today and the days after it, to the end of the budget's period, are expected to cost; none before the first whole day.
/// `days` from as long before the period as there is history; today's cost so far is no part of it. Takes some ten
/// milliseconds.
pub fn expected_rest(
    budget: &Budget,
    days: &BTreeMap<Date, Amount>,
    today: Date,
) -> Result<Option<Amount>, ForecastError> {
    let (currency, last) = (budget.amount.currency, budget.period.window(today).last);
    let Some(yesterday) = today.previous_day().filter(|yesterday| days.range(..=*yesterday).next().is_some()) else {
        return Ok(None);
    };
    let known = days.range(..=yesterday).map(|(day, amount)| (*day, *amount));
    let costs = DailyCosts::new(currency, yesterday, known);
    let horizon = (last - yesterday).whole_days().clamp(1, i64::from(HORIZON_DAYS_MAX));
    // At most a year, as just bounded.
    let forecast = forecast(&costs, horizon as u16, 0)?;
    Ok(Some(forecast.total.expected))
}

#[cfg(test)]
mod tests;
