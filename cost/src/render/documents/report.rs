//! Reports as documents.

use super::{
    BARS_MAX, OTHER, currency, group_columns, joined, listed_groups, messages, metric_name, name,
    number, time_chart, total_values,
};
use crate::{
    money::{Amount, Currency},
    render::{Chart, ChartKind, Document, Row, Series, Table, Value},
    report::{Group, Report, ReportRow, share_bp},
};
use std::collections::BTreeMap;

/// A report as a table and charts. `top` rows of each currency are shown and the others summed up
/// as `(other)`; all of them if it is `None` or the report is ordered by time. `over_time` is the
/// answer to [`crate::Query::over_time`], for a chart over time.
pub fn report_document(
    report: &Report,
    over_time: Option<&Report>,
    top: Option<usize>,
) -> Document {
    let title = format!(
        "{} cost from {} to {}",
        metric_name(report.metric),
        report.start,
        report.end
    );
    let is_by_time = report.by.first().is_some_and(Group::is_time);
    let shown = folded(report, top.filter(|_| !is_by_time));
    let mut columns = group_columns(&report.by);

    columns.extend([
        name("currency"),
        number("amount"),
        number("share"),
        number("bill rows"),
    ]);

    let mut rows: Vec<Row> = shown.iter().map(report_row).collect();
    rows.extend(total_rows(report));

    // Without groups the totals are the rows.
    if report.by.is_empty() {
        rows.retain(|row| !row.is_total);
    }

    let mut charts = if is_by_time {
        stacks(report)
    } else {
        bars(report)
    };

    charts.extend(over_time.map(stacks).unwrap_or_default());
    let tables = vec![Table {
        title: format!("By {}", listed_groups(&report.by)),
        columns,
        rows,
    }];

    Document {
        title,
        warnings: messages(&report.warnings),
        charts,
        tables,
    }
}

fn total_rows(report: &Report) -> Vec<Row> {
    let mut rows = Vec::new();
    for (of, amount) in &report.totals.0 {
        let of_currency = report.rows.iter().filter(|row| row.currency == *of);
        let count = of_currency.map(|row| row.rows).sum();

        let mut values = total_values(report.by.len());
        values.extend([
            currency(*of),
            Value::Amount(*amount),
            Value::ratio(None),
            Value::Count(count),
        ]);

        rows.push(Row {
            values,
            is_total: true,
        });
    }

    rows
}

fn report_row(row: &ReportRow) -> Row {
    let mut values: Vec<Value> = row.values.iter().cloned().map(Value::Text).collect();
    let share = Value::ratio(row.share_bp);
    values.extend([
        currency(row.currency),
        Value::Amount(row.amount),
        share,
        Value::Count(row.rows),
    ]);

    Row {
        values,
        is_total: false,
    }
}

/// The first rows of each currency, and the sum of its others.
fn folded(report: &Report, top: Option<usize>) -> Vec<ReportRow> {
    let Some(top) = top else {
        return report.rows.clone();
    };
    let mut shown: Vec<ReportRow> = Vec::new();
    let mut counts: BTreeMap<Currency, usize> = BTreeMap::new();

    for row in &report.rows {
        let count = counts.entry(row.currency).or_default();
        *count += 1;
        if *count <= top {
            shown.push(row.clone());
            continue;
        }

        if *count == top + 1 {
            let values = vec![OTHER.to_owned(); row.values.len()];
            shown.push(ReportRow {
                values,
                amount: Amount::ZERO,
                rows: 0,
                ..row.clone()
            });
        }

        if let Some(other) = shown.last_mut() {
            other.amount += row.amount;
            other.rows += row.rows;
            other.share_bp = share_bp(other.amount, report.totals.of(row.currency));
        }
    }

    shown
}

fn bars(report: &Report) -> Vec<Chart> {
    let shown = folded(report, Some(BARS_MAX));
    let chart = |(currency, _): (&Currency, &Amount)| {
        let rows: Vec<&ReportRow> = shown
            .iter()
            .filter(|row| row.currency == *currency)
            .collect();
        let amounts = rows.iter().map(|row| row.amount).collect();

        Chart {
            title: format!("By {} ({currency})", listed_groups(&report.by)),
            labels: rows.iter().map(|row| joined(&row.values)).collect(),
            series: vec![Series {
                name: String::new(),
                amounts,
            }],
            kind: ChartKind::Bars,
        }
    };

    let has_groups = !report.by.is_empty();
    report
        .totals
        .0
        .iter()
        .filter(|_| has_groups)
        .map(chart)
        .collect()
}

/// Charts over time of a report whose first group is a time, one for each currency.
fn stacks(report: &Report) -> Vec<Chart> {
    let mut charts = Vec::new();
    for currency in report.totals.0.keys() {
        let rows: Vec<&ReportRow> = report
            .rows
            .iter()
            .filter(|row| row.currency == *currency)
            .collect();
        let points = rows.iter().filter_map(|row| {
            let (time, values) = row.values.split_first()?;
            Some((time.clone(), values, row.amount))
        });

        charts.push(time_chart(
            format!("By {} ({currency})", listed_groups(&report.by)),
            points,
        ));
    }

    charts
}
