//! Compares live cost with bills.

use super::sources::{Sources, names};
use regionmesh_cost::{
    DailyTotals, Group, Money, Query, Reconciliation, parse_date, reconcile, report,
};

/// Compares live cost with bills, over the days that both cover and that are final on the bill.
pub(super) fn reconciliation(sources: &Sources) -> Vec<Reconciliation> {
    let live = sources.live.whole_days(sources.pricing());
    let first = live.keys().map(|(_, day)| *day).min();
    let (Some(first), Some(last)) = (first, sources.ledger.final_day(sources.today)) else {
        return Vec::new();
    };
    let query = Query::new(first, last).by([Group::Day, Group::Region]);
    let Ok(found) = report(&sources.ledger, &query, &names(sources)) else {
        return Vec::new();
    };
    let mut billed = DailyTotals::new();

    for row in found.rows {
        let [day, region] = &row.values[..] else {
            continue;
        };
        if let Some(day) = parse_date(day) {
            let money = Money {
                amount: row.amount,
                currency: row.currency,
            };
            billed.entry((region.clone(), day)).or_default().add(money);
        }
    }

    reconcile(&live, &billed)
}
