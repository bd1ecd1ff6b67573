//! Reports, trends and allocations as documents.

use super::{Chart, ChartKind, Column, Document, Row, Series, Table, Value, chart::COLOURS};
use crate::{
    allocation::{Allocation, ModelCost, RegionCost},
    cells::{Metric, Period},
    money::{Amount, Currency},
    report::{
        Compared, Group, Interval, Report, ReportRow, TrendPeriod, TrendSeries, Trends, Warning,
    },
};
use std::collections::{BTreeMap, BTreeSet};

/// Most bars of a chart; the rest are summed up.
const BARS_MAX: usize = 15;
const OTHER: &str = "(other)";

/// A report as a table and charts. `top` rows of each currency are shown and the others summed up
/// as `(other)`; all of them where it is none, or where the report is in the order of time.
/// `over_time` is the answer to [`crate::Query::over_time`], for a chart over time.
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
    let mut columns: Vec<Column> = report
        .by
        .iter()
        .map(|group| name(&group.to_string()))
        .collect();

    columns.extend([
        name("currency"),
        number("amount"),
        number("share"),
        number("bill rows"),
    ]);

    let mut rows: Vec<Row> = shown.iter().map(|row| report_row(row, false)).collect();
    for (currency, amount) in &report.totals.0 {
        let values = (0..report.by.len()).map(|index| {
            if index == 0 {
                "total".to_owned()
            } else {
                String::new()
            }
        });
        let of_currency = report.rows.iter().filter(|row| row.currency == *currency);
        let total = ReportRow {
            values: values.collect(),
            currency: *currency,
            amount: *amount,
            share_bp: None,
            rows: of_currency.map(|row| row.rows).sum(),
        };

        let mut row = report_row(&total, true);
        for value in row.values.iter_mut().take(report.by.len()).skip(1) {
            *value = Value::Empty;
        }
        rows.push(row);
    }

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

fn report_row(row: &ReportRow, is_total: bool) -> Row {
    let mut values: Vec<Value> = row.values.iter().cloned().map(Value::Text).collect();
    let share = Value::ratio(row.share_bp);
    values.extend([
        currency(row.currency),
        Value::Amount(row.amount),
        share,
        Value::Count(row.rows),
    ]);

    Row { values, is_total }
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
            other.share_bp = crate::report::share_bp(other.amount, report.totals.of(row.currency));
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

/// A chart over time of amounts in one currency: each at a time, such as a day, and for the values
/// of a series.
pub fn time_chart<'a>(
    title: String,
    points: impl IntoIterator<Item = (String, &'a [String], Amount)>,
) -> Chart {
    let points: Vec<_> = points.into_iter().collect();
    let labels: BTreeSet<&String> = points.iter().map(|(time, ..)| time).collect();
    let labels: Vec<String> = labels.into_iter().cloned().collect();
    let mut series: BTreeMap<String, Vec<Amount>> = BTreeMap::new();

    for (time, values, amount) in &points {
        let amounts = series
            .entry(joined(values))
            .or_insert_with(|| vec![Amount::ZERO; labels.len()]);
        if let Ok(place) = labels.binary_search(time) {
            amounts[place] += *amount;
        }
    }

    let series = series
        .into_iter()
        .map(|(name, amounts)| Series { name, amounts })
        .collect();

    Chart {
        title,
        labels,
        series: dearest(series),
        kind: ChartKind::Stacks,
    }
}

/// The series that cost most, one for each colour, the last of which is the sum of the others.
fn dearest(mut series: Vec<Series>) -> Vec<Series> {
    let sum = |series: &Series| series.amounts.iter().copied().sum::<Amount>();
    series.sort_by_key(|series| std::cmp::Reverse(sum(series)));
    if series.len() > COLOURS {
        let others = series.split_off(COLOURS - 1);
        let places = others
            .iter()
            .map(|series| series.amounts.len())
            .max()
            .unwrap_or(0);
        let at = |place: usize| {
            others
                .iter()
                .filter_map(|series| series.amounts.get(place))
                .copied()
                .sum()
        };

        series.push(Series {
            name: OTHER.to_owned(),
            amounts: (0..places).map(at).collect(),
        });
    }

    series
}

/// Trends as tables: all series over time, and those that changed most, at most `movers` of them.
pub fn trends_document(trends: &Trends, movers: usize) -> Document {
    let mut columns: Vec<Column> = trends
        .by
        .iter()
        .map(|group| name(&group.to_string()))
        .collect();

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
        columns,
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

fn trend_row(series: &TrendSeries, trends: &Trends, is_total: bool) -> Row {
    let mut values: Vec<Value> = series.values.iter().cloned().map(Value::Text).collect();
    if is_total {
        values.extend(
            (0..trends.by.len()).map(|index| if index == 0 { total() } else { Value::Empty }),
        );
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
    let mut columns: Vec<Column> = trends
        .by
        .iter()
        .map(|group| name(&group.to_string()))
        .collect();

    columns.extend([
        name("currency"),
        number("before"),
        number("now"),
        number("change"),
        number("change %"),
    ]);

    let row = |mover: &crate::report::Mover| {
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

/// Costs of models as tables: regions and their models, idle and unallocated cost, whose rows sum
/// to everything spent; then models over all regions.
pub fn allocation_document(allocation: &Allocation) -> Document {
    let heads = ["cost", "share", "requests", "busy hours", "per 1,000"];
    let mut columns = vec![name("region"), name("model"), name("currency")];
    columns.extend(heads.iter().map(|head| number(head)));

    let mut rows = Vec::new();
    for region in &allocation.regions {
        rows.extend(region_rows(region, allocation));
    }

    for (of, amount) in &allocation.totals.0 {
        let mut values = vec![total(), Value::Empty, currency(*of), Value::Amount(*amount)];
        values.resize(columns.len(), Value::Empty);
        rows.push(Row {
            values,
            is_total: true,
        });
    }

    let by_region = Table {
        title: "By region".to_owned(),
        columns,
        rows,
    };

    let mut columns = vec![name("model"), name("currency")];
    columns.extend(heads.iter().map(|head| number(head)));

    let rows = allocation.models.iter().map(|model| {
        let mut values = vec![Value::Text(model.model.clone()), currency(model.currency)];
        values.extend(model_values(model));
        Row {
            values,
            is_total: false,
        }
    });

    let models = Table {
        title: "By model".to_owned(),
        columns,
        rows: rows.collect(),
    };

    let title = format!(
        "Cost of models from {} to {}",
        allocation.start, allocation.end
    );
    let charts = allocation
        .totals
        .0
        .keys()
        .map(|currency| model_bars(allocation, *currency))
        .collect();

    Document {
        title,
        warnings: messages(&allocation.warnings),
        charts,
        tables: vec![by_region, models],
    }
}

fn region_rows(region: &RegionCost, allocation: &Allocation) -> Vec<Row> {
    let is_here = |model: &&ModelCost| {
        model.region.as_ref() == Some(&region.region) && model.currency == region.currency
    };
    let head = |label: &str| {
        vec![
            Value::Text(region.region.clone()),
            Value::Text(label.to_owned()),
            currency(region.currency),
        ]
    };

    let mut rows = Vec::new();
    for model in allocation.by_region.iter().filter(is_here) {
        let mut values = head(&model.model);
        values.extend(model_values(model));
        rows.push(Row {
            values,
            is_total: false,
        });
    }

    for (label, amount) in [
        ("(idle)", region.idle),
        ("(unallocated)", region.unallocated),
    ] {
        let share = crate::report::share_bp(amount, allocation.totals.of(region.currency));
        let mut values = head(label);
        values.extend([
            Value::Amount(amount),
            Value::ratio(share),
            Value::Empty,
            Value::Empty,
            Value::Empty,
        ]);

        rows.push(Row {
            values,
            is_total: false,
        });
    }

    rows
}

fn model_values(model: &ModelCost) -> [Value; 5] {
    let per_1000 = model.per_1000.map_or(Value::Empty, Value::Amount);
    let requests = Value::Count(model.requests);
    let busy = Value::Hours(model.busy_ms);

    [
        Value::Amount(model.cost),
        Value::ratio(model.share_bp),
        requests,
        busy,
        per_1000,
    ]
}

fn model_bars(allocation: &Allocation, currency: Currency) -> Chart {
    let models = allocation
        .models
        .iter()
        .filter(|model| model.currency == currency);
    let mut bars: Vec<(String, Amount)> = models
        .take(BARS_MAX)
        .map(|model| (model.model.clone(), model.cost))
        .collect();
    let regions = || {
        allocation
            .regions
            .iter()
            .filter(|region| region.currency == currency)
    };

    bars.push((
        "(idle)".to_owned(),
        regions().map(|region| region.idle).sum(),
    ));

    bars.push((
        "(unallocated)".to_owned(),
        regions().map(|region| region.unallocated).sum(),
    ));

    let (labels, amounts) = bars.into_iter().unzip();
    let series = vec![Series {
        name: String::new(),
        amounts,
    }];

    Chart {
        title: format!("By model ({currency})"),
        labels,
        series,
        kind: ChartKind::Bars,
    }
}

fn name(name: &str) -> Column {
    Column {
        name: name.to_owned(),
        is_number: false,
    }
}

fn number(name: &str) -> Column {
    Column {
        name: name.to_owned(),
        is_number: true,
    }
}

fn currency(currency: Currency) -> Value {
    Value::Text(currency.to_string())
}

fn total() -> Value {
    Value::Text("total".to_owned())
}

fn messages(warnings: &[Warning]) -> Vec<String> {
    warnings
        .iter()
        .map(|warning| warning.message.clone())
        .collect()
}

fn metric_name(metric: Metric) -> &'static str {
    match metric {
        Metric::Effective => "Effective",
        Metric::Billed => "Billed",
        Metric::List => "List",
    }
}

fn listed_groups(groups: &[Group]) -> String {
    let names: Vec<String> = groups.iter().map(Group::to_string).collect();
    if names.is_empty() {
        "currency".to_owned()
    } else {
        names.join(", ")
    }
}

/// The values of a group in one line.
fn joined(values: &[String]) -> String {
    let named: Vec<&str> = values
        .iter()
        .map(|value| if value.is_empty() { "(none)" } else { value })
        .collect();

    if named.is_empty() {
        "total".to_owned()
    } else {
        named.join(" · ")
    }
}
