//! What bills say of this month, for metrics.

use super::{HISTORY_DAYS, Sources, names, reconciliation};
use regionmesh_cost::{
    Amount, Currency, DailyCosts, Group, INCOMPLETE_DAYS, MonthEnd, Query, Reconciliation, month_end, parse_date,
    report,
};
use std::collections::BTreeMap;
use time::{Date, Duration};

/// Most regions of bills that are forecast.
const REGIONS_MAX: usize = 64;

/// What bills say of this month.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Figures {
    /// Billed this month so far, by region and currency.
    pub month: BTreeMap<(String, Currency), Amount>,
    /// What the month is heading for: the mesh under an empty name, then each region.
    pub month_ends: Vec<(String, MonthEnd)>,
    /// Live against billed cost.
    pub reconciliation: Vec<Reconciliation>,
}

/// Reads the bills. Takes some ten milliseconds for each region.
pub fn figures(sources: &Sources) -> Figures {
    let today = sources.today;
    let first = today.replace_day(1).unwrap_or(today);
    let start = today.checked_sub(Duration::days(HISTORY_DAYS)).unwrap_or(today);
    let query = Query::new(start, today).by([Group::Day, Group::Region]);
    let rows = report(&sources.ledger, &query, &names(sources)).map(|report| report.rows).unwrap_or_default();
    let last = sources.ledger.sources().values().filter_map(|state| state.last_day).max();

    let mut figures = Figures { reconciliation: reconciliation(sources), ..Figures::default() };
    let mut series: BTreeMap<(String, Currency), Vec<(Date, Amount)>> = BTreeMap::new();
    for row in rows {
        let [day, region] = &row.values[..] else { continue };
        let Some(day) = parse_date(day) else { continue };
        if day >= first {
            *figures.month.entry((region.clone(), row.currency)).or_default() += row.amount;
        }
        for name in [String::new(), region.clone()] {
            series.entry((name, row.currency)).or_default().push((day, row.amount));
        }
    }
    let Some(last) = last else { return figures };
    for ((region, currency), costs) in series.into_iter().take(REGIONS_MAX) {
        if let Ok(expected) = month_end(&DailyCosts::new(currency, last.min(today), costs), INCOMPLETE_DAYS) {
            figures.month_ends.push((region, expected));
        }
    }
    figures
}
