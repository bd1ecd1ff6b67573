//! Reports, trends and allocations as documents.

mod allocation;
mod report;
mod trends;

use super::{Chart, ChartKind, Column, Series, Value, chart::COLOURS};
use crate::{
    cells::Metric,
    money::{Amount, Currency},
    report::{Group, Warning},
};
use std::collections::{BTreeMap, BTreeSet};

pub use allocation::allocation_document;
pub use report::report_document;
pub use trends::trends_document;

/// Most bars of a chart; the rest are summed up.
const BARS_MAX: usize = 15;
const OTHER: &str = "(other)";

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

fn group_columns(groups: &[Group]) -> Vec<Column> {
    groups
        .iter()
        .map(|group| name(&group.to_string()))
        .collect()
}

/// The group values of a total: its label, then nothing.
fn total_values(groups: usize) -> Vec<Value> {
    std::iter::once(total())
        .chain(std::iter::repeat(Value::Empty))
        .take(groups)
        .collect()
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
