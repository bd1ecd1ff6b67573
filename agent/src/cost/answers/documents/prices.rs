//! Prices, and the egress that they were applied to.

use super::cells::{column, document, money, number, table, text};
use crate::cost::questions::Span;
use regionmesh_cost::{
    Amount, Currency, EgressReport, Price,
    render::{Document, Value as Cell},
};
use time::Date;

/// The prices of one day.
pub(crate) fn prices(day: Date, prices: &[Price]) -> Document {
    let columns = ["what", "currency", "unit", "from", "source"].map(column);
    let mut columns = columns.to_vec();
    columns.insert(1, number("price"));

    let rows = prices.iter().map(|price| {
        let first = price.first();
        vec![
            text(price.item.to_string()),
            Cell::Amount(first.amount),
            text(first.currency.to_string()),
            text(price.unit.to_string()),
            text(price.valid_from.to_string()),
            text(&*price.source),
        ]
    });

    document(
        format!("Prices on {day}"),
        Vec::new(),
        vec![table("Prices", columns, rows)],
    )
}

/// The cost of egress.
pub(crate) fn egress(span: &Span, found: &EgressReport) -> Document {
    let mut columns = ["from", "to", "cause"].map(column).to_vec();
    columns.extend([
        number("bytes"),
        number("without price"),
        number("cost"),
        column("currency"),
    ]);

    let rows = found.lines.iter().flat_map(|line| {
        let cells = |cost: Option<(&Currency, &Amount)>| {
            vec![
                text(&*line.from),
                text(line.to.as_deref().unwrap_or("users")),
                text(line.cause.to_string()),
                Cell::Count(line.bytes),
                Cell::Count(line.unpriced_bytes),
                money(cost.map(|(_, amount)| *amount)),
                text(cost.map_or_else(String::new, |(currency, _)| currency.to_string())),
            ]
        };

        if line.cost.0.is_empty() {
            vec![cells(None)]
        } else {
            line.cost.0.iter().map(|cost| cells(Some(cost))).collect()
        }
    });

    let rows: Vec<_> = rows.collect();
    let warnings = found.missing.iter().map(ToString::to_string).collect();
    let title = format!("Egress from {} to {}", span.start, span.end);

    document(
        title,
        warnings,
        vec![table("By pair and cause", columns, rows)],
    )
}
