//! Forecasts by group.

use super::cells::{column, document, money, number, table, text};
use regionmesh_cost::{
    Forecast, Group, MonthEnd,
    render::{Chart, Column, Document, Value as Cell, time_chart},
};
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeSet;

/// A group's forecast.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct GroupForecast {
    /// The group's values; empty for all charges.
    pub(crate) values: Vec<String>,
    /// Its month-end forecast; null without one.
    pub(crate) month_end: Option<MonthEnd>,
    /// The forecast of the coming days; null without one.
    pub(crate) forecast: Option<Forecast>,
    /// Why there is no forecast; null if there is one.
    pub(crate) problem: Option<String>,
}

/// Month ends, and the coming days.
pub(crate) fn forecasts(
    by: &[Group],
    forecasts: &[GroupForecast],
    warnings: Vec<String>,
) -> Document {
    let mut columns: Vec<Column> = by.iter().map(|group| column(&group.to_string())).collect();
    columns.extend([column("month"), column("currency")]);
    columns.extend(
        [
            "complete days",
            "cost of these",
            "month end",
            "low",
            "high",
            "run rate",
            "next days",
            "low",
            "high",
        ]
        .map(number),
    );

    columns.push(column("method"));
    let row = |group: &GroupForecast| {
        let mut cells: Vec<Cell> = group.values.iter().map(|value| text(&**value)).collect();
        let month = group.month_end.as_ref();
        let days = group.forecast.as_ref();

        cells.push(month.map_or(Cell::Empty, |month| text(month.period.to_string())));
        cells.push(month.map_or(Cell::Empty, |month| text(month.currency.to_string())));
        cells.push(month.map_or(Cell::Empty, |month| Cell::Count(month.known_days.into())));
        cells.extend([
            money(month.map(|month| month.known)),
            money(month.map(|month| month.total.expected)),
            money(month.map(|month| month.total.low)),
            money(month.map(|month| month.total.high)),
            money(month.and_then(|month| month.run_rate)),
            money(days.map(|days| days.total.expected)),
            money(days.map(|days| days.total.low)),
            money(days.map(|days| days.total.high)),
        ]);

        cells.push(match (&group.problem, days) {
            (Some(problem), _) => text(&**problem),
            (None, Some(days)) => text(days.method.as_str()),
            (None, None) => Cell::Empty,
        });

        cells
    };

    let rows: Vec<_> = forecasts.iter().map(row).collect();
    let tables = vec![table("Month end, and the days to come", columns, rows)];
    Document {
        charts: forecast_charts(forecasts),
        ..document("Forecast".into(), warnings, tables)
    }
}

/// The coming days, one chart per currency.
fn forecast_charts(forecasts: &[GroupForecast]) -> Vec<Chart> {
    let known = || {
        forecasts
            .iter()
            .filter_map(|group| Some((&*group.values, group.forecast.as_ref()?)))
    };
    let currencies: BTreeSet<_> = known().map(|(_, forecast)| forecast.currency).collect();
    let chart = |currency| {
        let points = known()
            .filter(|(_, forecast)| forecast.currency == currency)
            .flat_map(|(values, forecast)| {
                forecast
                    .days
                    .iter()
                    .map(move |day| (day.day.to_string(), values, day.cost.expected))
            });

        time_chart(format!("The days to come ({currency})"), points)
    };

    currencies.into_iter().map(chart).collect()
}
