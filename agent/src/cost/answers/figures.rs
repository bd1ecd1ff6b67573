//! This month's billed cost and forecast, for metrics.

use super::{
    reconciliation::reconciliation,
    series::daily_costs,
    sources::{HISTORY_DAYS, Sources, names},
};
use regionmesh_cost::{
    Amount, Currency, Group, INCOMPLETE_DAYS, MonthEnd, Query, Reconciliation, month_end, report,
};
use std::collections::BTreeMap;
use time::Duration;

/// Limit on the regions that are forecast.
const REGIONS_MAX: usize = 64;

/// This month's billed cost and forecast.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Figures {
    /// Billed this month so far, by region and currency.
    pub month: BTreeMap<(String, Currency), Amount>,
    /// Month-end forecasts: the mesh under an empty name, then each region.
    pub month_ends: Vec<(String, MonthEnd)>,
    /// Live cost compared with billed cost.
    pub reconciliation: Vec<Reconciliation>,
}

/// Computes them from the bills. Takes tens of milliseconds per region.
pub(crate) fn figures(sources: &Sources) -> Figures {
    let today = sources.today;
    let first = today.replace_day(1).unwrap_or(today);
    let start = today
        .checked_sub(Duration::days(HISTORY_DAYS))
        .unwrap_or(today);
    let mut figures = Figures {
        reconciliation: reconciliation(sources),
        ..Figures::default()
    };

    let month = Query::new(first, today).by([Group::Region]);
    for row in report(&sources.ledger, &month, &names(sources))
        .map(|report| report.rows)
        .unwrap_or_default()
    {
        figures
            .month
            .insert((row.values.concat(), row.currency), row.amount);
    }

    for by in [None, Some(Group::Region)] {
        let series =
            daily_costs(&Query::new(start, today).by(by.clone()), sources).unwrap_or_default();
        for ((values, _), costs) in series {
            let region = values.concat();
            // Charges without a region count only towards the mesh.
            let is_named = region.is_empty() == by.is_none();

            if is_named && figures.month_ends.len() < REGIONS_MAX {
                figures.month_ends.extend(
                    month_end(&costs, INCOMPLETE_DAYS)
                        .ok()
                        .map(|expected| (region, expected)),
                );
            }
        }
    }

    figures
}
