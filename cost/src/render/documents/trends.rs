//! Trends as documents.

use super::{
    currency, dearest, group_columns, joined, messages, metric_name, name, number, total_values,
};
use crate::{
    cells::Period,
    render::{Chart, ChartKind, Column, Document, Row, Series, Table, Value},
    report::{Compared, Interval, Mover, TrendPeriod, TrendSeries, Trends},
};

/// Trends as tables: all series over time, and those that changed most, at most `movers` of them.
pub fn trends_document(trends: &Trends, movers: usize) -> Document {
    let mut rows: Vec<Row> = trends
        .series
        .iter()
        .map(|series| trend_row(series, trends, false))
        .collect();

    if !trends.by.is_empty() {
        rows.extend(
            trends
                .totals
                .iter()
                .map(|series| trend_row(series, trends, true)),
        );
    }

    let mut tables = vec![Table {
        title: "All".to_owned(),
        columns: columns(trends),
        rows,
    }];

    if !trends.movers.is_empty() && !trends.by.is_empty() {
        tables.push(movers_table(trends, movers));
    }

    let title = match (trends.periods.first(), trends.periods.last()) {
        (Some(first), Some(last)) => {
            format!(
                "{} cost over time, from {} to {}",
                metric_name(trends.metric),
                first.start,
                last.end
            )
        }
        _ => format!("{} cost over time", metric_name(trends.metric)),
    };

    Document {
        title,
        warnings: messages(&trends.warnings),
        charts: trend_charts(trends),
        tables,
    }
}

fn columns(trends: &Trends) -> Vec<Column> {
    let mut columns = group_columns(&trends.by);

    columns.push(name("currency"));
    for (index, period) in trends.periods.iter().enumerate() {
        let mark = if period.is_partial { " (partial)" } else { "" };
        columns.push(number(&format!(
            "{}{mark}",
            period_name(trends.interval, period)
        )));

        if trends.is_compared(index) {
            columns.extend([number("change"), number("change %")]);
        }
    }

    if let Some(days) = trends.to_date {
        columns.push(number(&format!(
            "{} to {}",
            days.start_before, days.end_before
        )));

        columns.extend([
            number(&format!("{} to {}", days.start, days.end)),
            number("change"),
            number("change %"),
        ]);
    }

    columns
}

fn trend_row(series: &TrendSeries, trends: &Trends, is_total: bool) -> Row {
    let mut values: Vec<Value> = series.values.iter().cloned().map(Value::Text).collect();
    if is_total {
        values.extend(total_values(trends.by.len()));
    }

    values.push(currency(series.currency));
    for point in &series.points {
        values.push(Value::Amount(point.amount));
        values.extend(
            point
                .change
                .iter()
                .flat_map(|change| [Value::Amount(change.amount), Value::ratio(change.ratio_bp)]),
        );
    }

    values.extend(series.to_date.iter().flat_map(compared));
    Row { values, is_total }
}

fn compared(compared: &Compared) -> [Value; 4] {
    let Compared {
        before,
        now,
        change,
    } = *compared;

    [
        Value::Amount(before),
        Value::Amount(now),
        Value::Amount(change.amount),
        Value::ratio(change.ratio_bp),
    ]
}

/// `2026-09` for a month; the Monday of a week.
fn period_name(interval: Interval, period: &TrendPeriod) -> String {
    match interval {
        Interval::Week => period.start.to_string(),
        Interval::Month => Period::of(period.start).to_string(),
    }
}

fn movers_table(trends: &Trends, most: usize) -> Table {
    let mut columns = group_columns(&trends.by);

    columns.extend([
        name("currency"),
        number("before"),
        number("now"),
        number("change"),
        number("change %"),
    ]);

    let row = |mover: &Mover| {
        let mut values: Vec<Value> = mover.values.iter().cloned().map(Value::Text).collect();
        values.push(currency(mover.currency));
        values.extend(compared(&mover.compared));
        Row {
            values,
            is_total: false,
        }
    };

    Table {
        title: "Largest changes".to_owned(),
        columns,
        rows: trends.movers.iter().take(most).map(row).collect(),
    }
}

fn trend_charts(trends: &Trends) -> Vec<Chart> {
    let chart = |total: &TrendSeries| {
        let of_currency = trends
            .series
            .iter()
            .filter(|series| series.currency == total.currency);
        let series = of_currency.map(|series| Series {
            name: joined(&series.values),
            amounts: series.points.iter().map(|point| point.amount).collect(),
        });
        let label = |period: &TrendPeriod| {
            let mark = if period.is_partial { "*" } else { "" };
            format!("{}{mark}", period_name(trends.interval, period))
        };

        Chart {
            title: format!("Over time ({}); * marks partial periods", total.currency),
            labels: trends.periods.iter().map(label).collect(),
            series: dearest(series.collect()),
            kind: ChartKind::Stacks,
        }
    };

    trends.totals.iter().map(chart).collect()
}
