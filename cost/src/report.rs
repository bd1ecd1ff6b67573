//! Reports: what was spent within some days, grouped. Every amount is exact, and the rows sum to
//! the totals.
//!
//! As JSON, a report is `{"start": "2026-09-01", "end": "2026-09-30", "by": ["region", "tag:team"],
//! "metric": "effective", "rows": [{"values": ["eu-west-1", "search"], "currency": "USD", "amount":
//! "12.5", "share": 0.25, "rows": 40}], "totals": {"USD": "50"}, "rows_summed": 160, "warnings":
//! [{"kind": "days-missing", "message": "…"}]}`: amounts are decimal strings with every digit, and
//! an empty value means that the bill has none.

mod coverage;
mod group;
mod query;
mod rows;
mod scan;
mod trends;

use crate::{
    ledger::Ledger,
    money::{Money, Totals},
};
pub(crate) use coverage::listed;
pub use group::{Filter, Group, GroupError};
pub use query::{Query, QueryError, RegionNames};
pub use rows::{Report, ReportRow, Warning, WarningKind};
pub(crate) use rows::{share_bp, share_ratio, sort_key};
pub use trends::{
    Change, Compared, Interval, Mover, PeriodToDate, TrendPeriod, TrendPoint, TrendSeries, Trends,
    trends,
};

/// Runs a query over what is held. `regions` names the rows by region; a region that it does not
/// know is named by the provider and its region id: `AWS us-east-1`.
pub fn report(
    ledger: &Ledger,
    query: &Query,
    regions: RegionNames<'_>,
) -> Result<Report, QueryError> {
    query.check()?;
    let scanned = scan::scan(ledger, query, regions);
    let warnings = coverage::warnings(ledger, query, &scanned);

    let mut rows = scanned.rows;
    let mut totals = Totals::default();
    for row in &rows {
        totals.add(Money {
            amount: row.amount,
            currency: row.currency,
        });
    }

    for row in &mut rows {
        row.share_bp = share_bp(row.amount, totals.of(row.currency));
    }

    // Days, weeks and months sort as their texts do.
    let times = usize::from(query.by.first().is_some_and(Group::is_time));
    rows.sort_by(|a, b| {
        let by_time = a
            .currency
            .cmp(&b.currency)
            .then_with(|| a.values[..times].cmp(&b.values[..times]));

        by_time.then_with(|| {
            sort_key(a.currency, a.amount, &a.values)
                .cmp(&sort_key(b.currency, b.amount, &b.values))
        })
    });

    let rows_summed = rows.iter().map(|row| row.rows).sum();
    let start = query.start;
    let end = query.end;
    let by = query.by.clone();
    let metric = query.metric;

    Ok(Report {
        start,
        end,
        by,
        metric,
        rows,
        totals,
        rows_summed,
        warnings,
    })
}

#[cfg(test)]
mod tests;
