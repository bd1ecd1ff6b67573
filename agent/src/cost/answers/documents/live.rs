//! Sources of bills, and the live plane.

use super::cells::{column, document, moment, number, ratio, table, text};
use regionmesh_cost::{
    LiveRegion, Reconciliation, SourceState, Totals,
    render::{Document, Value as Cell},
};
use std::collections::BTreeMap;
use time::{Date, OffsetDateTime};

/// The sources of bills, and the live cost of regions.
pub(crate) fn sources(
    held: &BTreeMap<&str, SourceState>,
    live: &[LiveRegion],
    reconciled: &[Reconciliation],
) -> Document {
    let mut columns = vec![column("source"), column("months")];
    columns.extend([
        number("rows"),
        number("cells"),
        column("first day"),
        column("last day"),
        column("complete up to"),
        column("last import"),
    ]);

    let day_cell = |day: Option<Date>| day.map_or(Cell::Empty, |day| text(day.to_string()));
    let rows = held.iter().map(|(source, state)| {
        let imported_s = i64::try_from(state.imported_ms / 1_000).unwrap_or(i64::MAX);
        let imported = OffsetDateTime::from_unix_timestamp(imported_s)
            .map(moment)
            .unwrap_or_default();
        let months = match (state.periods.first(), state.periods.last()) {
            (Some(first), Some(last)) if first != last => format!("{first} to {last}"),
            (Some(first), _) => first.to_string(),
            _ => String::new(),
        };

        vec![
            text(*source),
            text(months),
            Cell::Count(state.rows),
            Cell::Count(state.cells as u64),
            day_cell(state.first_day),
            day_cell(state.last_day),
            day_cell(state.complete_day),
            text(imported),
        ]
    });

    let mut tables = vec![table("Bills", columns, rows.collect::<Vec<_>>())];
    if !live.is_empty() {
        let mut columns = vec![column("region")];
        columns.extend(["per hour", "today", "this month", "live / billed"].map(number));
        columns.push(column("without price"));

        let rows = live.iter().map(|region| {
            let compared = reconciled
                .iter()
                .find(|found| found.region == region.region)
                .and_then(|found| found.ratio);
            let missing: Vec<String> = region.missing.iter().map(ToString::to_string).collect();

            vec![
                text(&*region.region),
                text(totals(&region.hourly)),
                text(totals(&region.today.total)),
                text(totals(&region.month.total)),
                compared.map_or(Cell::Empty, ratio),
                text(missing.join("; ")),
            ]
        });

        tables.push(table("Live", columns, rows.collect::<Vec<_>>()));
    }

    document("Where cost comes from".into(), Vec::new(), tables)
}

fn totals(totals: &Totals) -> String {
    let amounts = totals
        .0
        .iter()
        .map(|(currency, amount)| format!("{} {currency}", amount.rounded(4)));
    amounts.collect::<Vec<_>>().join(", ")
}
