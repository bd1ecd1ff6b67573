//! Answers that are not reports, as tables.

use super::{BudgetProgress, Expected, Span, verifications::Verified};
use regionmesh_cost::{
    Amount, Anomaly, AnomalyKind, BudgetScope, EgressReport, Group, LiveRegion, Plane, Price,
    Recommendations, Reconciliation, SourceState, Totals,
    render::{Chart, Column, Document, Row, Table, Value as Cell, time_chart},
};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use time::{
    Date, OffsetDateTime, format_description::BorrowedFormatItem, macros::format_description,
};

const MINUTE: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day] [hour]:[minute]");

fn text(text: impl Into<String>) -> Cell {
    Cell::Text(text.into())
}

fn moment(at: OffsetDateTime) -> String {
    at.format(MINUTE).unwrap_or_default()
}

fn money(amount: Option<Amount>) -> Cell {
    amount.map_or(Cell::Empty, Cell::Amount)
}

fn ratio(ratio: f64) -> Cell {
    Cell::Ratio((ratio * 1e4).round() as i64)
}

fn column(name: &str) -> Column {
    Column {
        name: name.into(),
        is_number: false,
    }
}

fn number(name: &str) -> Column {
    Column {
        name: name.into(),
        is_number: true,
    }
}

fn table(title: &str, columns: Vec<Column>, rows: impl IntoIterator<Item = Vec<Cell>>) -> Table {
    let rows = rows
        .into_iter()
        .map(|values| Row {
            values,
            is_total: false,
        })
        .collect();

    Table {
        title: title.into(),
        columns,
        rows,
    }
}

fn document(title: String, warnings: Vec<String>, tables: Vec<Table>) -> Document {
    Document {
        title,
        warnings,
        charts: Vec::new(),
        tables,
    }
}

/// Prices of a day.
pub(super) fn prices(day: Date, prices: &[Price]) -> Document {
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

/// A price, for programs.
pub(super) fn price(price: &Price) -> Value {
    let first = price.first();
    json!({
        "item": price.item.to_string(),
        "amount": first.amount,
        "currency": first.currency,
        "unit": price.unit.to_string(),
        "valid_from": price.valid_from.to_string(),
        "source": price.source,
    })
}

/// What bytes cost that left a region.
pub(super) fn egress(span: &Span, found: &EgressReport) -> Document {
    let mut columns = ["from", "to", "cause"].map(column).to_vec();
    columns.extend([
        number("bytes"),
        number("without price"),
        number("cost"),
        column("currency"),
    ]);

    let rows = found.lines.iter().flat_map(|line| {
        let cells = |cost: Option<(&regionmesh_cost::Currency, &Amount)>| {
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

/// What groups are heading for.
pub(super) fn forecasts(by: &[Group], forecasts: &[Expected], warnings: Vec<String>) -> Document {
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
    let row = |expected: &Expected| {
        let mut cells: Vec<Cell> = expected.values.iter().map(|value| text(&**value)).collect();
        let month = expected.month_end.as_ref();
        let days = expected.forecast.as_ref();

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

        cells.push(match (&expected.problem, days) {
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

/// The days to come, a chart for each currency.
fn forecast_charts(forecasts: &[Expected]) -> Vec<Chart> {
    let known = || {
        forecasts
            .iter()
            .filter_map(|expected| Some((&*expected.values, expected.forecast.as_ref()?)))
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

/// Anomalies.
pub(super) fn anomalies(found: &[Anomaly]) -> Document {
    let mut columns = ["since", "until", "plane", "kind", "what"]
        .map(column)
        .to_vec();
    columns.extend(["actual", "usual, low", "usual, high", "excess"].map(number));
    columns.extend([column("currency"), column("made of")]);

    let rows = found.iter().map(|anomaly| {
        let scope: Vec<String> = anomaly
            .scope
            .iter()
            .map(|(name, value)| format!("{name} {value}"))
            .collect();
        let parts = anomaly.contributors.iter().take(3);
        let parts: Vec<String> = parts
            .map(|part| format!("{} {}", part.part, part.excess.rounded(2)))
            .collect();

        let (plane, unit) = match anomaly.plane {
            Plane::Billed => ("billed", "a day"),
            Plane::Live => ("live", "an hour"),
        };
        let kind = match anomaly.kind {
            AnomalyKind::Spike => "spike",
            AnomalyKind::LevelShift => "level-shift",
            AnomalyKind::New => "new",
            AnomalyKind::Drop => "drop",
        };

        vec![
            text(moment(anomaly.since)),
            text(anomaly.until.map_or_else(|| "open".into(), moment)),
            text(plane),
            text(kind),
            text(scope.join(", ")),
            Cell::Amount(anomaly.actual),
            Cell::Amount(anomaly.expected_low),
            Cell::Amount(anomaly.expected_high),
            Cell::Amount(anomaly.excess.amount),
            text(format!("{} {unit}", anomaly.excess.currency)),
            text(parts.join(", ")),
        ]
    });

    let rows: Vec<_> = rows.collect();
    let title = if rows.is_empty() {
        "No anomalies"
    } else {
        "Anomalies"
    };

    document(
        title.into(),
        Vec::new(),
        vec![table("Open first, then those that ended", columns, rows)],
    )
}

/// Budgets.
pub(super) fn budgets(found: &[BudgetProgress]) -> Document {
    let mut columns = vec![column("budget"), column("period")];
    columns.extend(["amount", "spent", "used", "forecast", "will be used"].map(number));
    columns.extend([column("currency"), column("crossed")]);

    let rows = found.iter().map(|answer| {
        let state = &answer.state;
        let crossed = state.crossed.iter().map(|crossing| {
            let kind = match crossing.kind {
                regionmesh_cost::CrossingKind::Actual => "",
                regionmesh_cost::CrossingKind::Forecast => " forecast",
            };
            format!("{} %{kind}", crossing.threshold)
        });

        vec![
            text(&*answer.budget.name),
            text(format!("{} to {}", answer.window.first, answer.window.last)),
            Cell::Amount(answer.budget.amount.amount),
            Cell::Amount(state.spent),
            ratio(state.ratio),
            money(state.forecast),
            state.forecast_ratio.map_or(Cell::Empty, ratio),
            text(answer.budget.amount.currency.to_string()),
            text(crossed.collect::<Vec<_>>().join(", ")),
        ]
    });

    let rows: Vec<_> = rows.collect();
    let problems = found.iter().filter_map(|answer| {
        let problem = answer.state.problem.as_ref()?;
        Some(format!("budget {}: {problem}", answer.budget.name))
    });
    let title = if found.is_empty() {
        "No budgets are configured"
    } else {
        "Budgets"
    };

    document(
        title.into(),
        problems.collect(),
        vec![table("Budgets", columns, rows)],
    )
}

/// A budget and how it stands, for programs.
pub(super) fn budget(answer: &BudgetProgress) -> Value {
    let BudgetProgress {
        budget,
        window,
        state,
    } = answer;
    let scope = match &budget.scope {
        BudgetScope::Mesh => "mesh".to_owned(),
        BudgetScope::Region(name) => format!("region {name}"),
        BudgetScope::Model(name) => format!("model {name}"),
        BudgetScope::Tag { key, value } => format!("tag {key}={value}"),
    };

    json!({
        "name": budget.name,
        "scope": scope,
        "metric": budget.metric,
        "amount": budget.amount.amount,
        "currency": budget.amount.currency,
        "start": window.first.to_string(),
        "end": window.last.to_string(),
        "spent": state.spent,
        "ratio": state.ratio,
        "forecast": state.forecast,
        "forecast_ratio": state.forecast_ratio,
        "crossed": state.crossed,
        "problem": state.problem.as_ref().map(ToString::to_string),
    })
}

/// Whose bills there are, and what runs.
pub(super) fn sources(
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

    let shown = |day: Option<Date>| day.map_or(Cell::Empty, |day| text(day.to_string()));
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
            shown(state.first_day),
            shown(state.last_day),
            shown(state.complete_day),
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
    let shown = totals
        .0
        .iter()
        .map(|(currency, amount)| format!("{} {currency}", amount.rounded(4)));
    shown.collect::<Vec<_>>().join(", ")
}

/// A region of the live plane, for programs.
pub(super) fn live_region(region: &LiveRegion) -> Value {
    let models = region.month.models.iter().map(|(model, live)| {
        let per_thousand = live.per_thousand();
        (
            model.clone(),
            json!({ "requests": live.requests, "busy_ms": live.busy_ms, "cost": live.cost, "per_1000": per_thousand }),
        )
    });

    json!({
        "region": region.region,
        "age_ms": region.age_ms,
        "hourly": region.hourly,
        "today": region.today.total,
        "month": region.month.total,
        "month_egress": region.month.egress,
        "idle_ratio": region.month.idle_ratio(),
        "unknown_ms": region.month.unknown_ms,
        "models": models.collect::<serde_json::Map<_, _>>(),
        "missing": region.missing.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}

/// Recommendations.
pub(super) fn recommendations(found: &Recommendations, verified: &[Verified]) -> Document {
    let mut columns = ["kind", "what"].map(column).to_vec();
    columns.extend(["saves a month", "at least", "at most"].map(number));
    columns.extend(["currency", "risk", "verify after", "command"].map(column));

    let rows = found.recommendations.iter().map(|made| {
        vec![
            text(made.kind.as_str()),
            text(&*made.title),
            Cell::Amount(made.saving.expected),
            Cell::Amount(made.saving.low),
            Cell::Amount(made.saving.high),
            text(found.currency.to_string()),
            text(format!("{:?}: {}", made.risk.level, made.risk.why).to_lowercase()),
            text(made.verify_after.to_string()),
            text(made.command.replace('\n', "; ")),
        ]
    });

    let rows: Vec<_> = rows.collect();
    let compared = found.comparisons.iter().map(|compared| {
        vec![
            text(compared.baseline.name.as_str()),
            Cell::Amount(compared.baseline.monthly_cost),
            Cell::Amount(compared.proposal_cost),
            text(&*compared.text),
        ]
    });

    let mut compared_columns = vec![column("baseline")];
    compared_columns.extend([
        number("a month"),
        number("all applied"),
        column("difference"),
    ]);

    let title = format!(
        "{} {} a month less than {} ({} {})",
        found.total_saving.expected.rounded(2),
        found.currency,
        found.baseline.name,
        found.baseline.monthly_cost.rounded(2),
        found.currency
    );

    let mut tables = vec![
        table("In this order", columns, rows),
        table(
            "Beside every baseline",
            compared_columns,
            compared.collect::<Vec<_>>(),
        ),
    ];

    if !verified.is_empty() {
        let mut columns = ["made on", "kind", "what", "the bill says"]
            .map(column)
            .to_vec();
        columns.extend(["predicted", "seen", "give or take"].map(number));

        let rows = verified.iter().map(|earlier| {
            vec![
                text(&*earlier.made_on),
                text(earlier.kind.as_str()),
                text(&*earlier.title),
                text(&*earlier.outcome.why),
                Cell::Amount(earlier.outcome.predicted.expected),
                Cell::Amount(earlier.outcome.seen),
                Cell::Amount(earlier.outcome.noise),
            ]
        });

        tables.push(table(
            "What came of earlier ones",
            columns,
            rows.collect::<Vec<_>>(),
        ));
    }

    document(title, found.notes.clone(), tables)
}
