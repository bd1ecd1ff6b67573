//! Budgets.

use super::cells::{column, document, money, number, ratio, table, text};
use crate::cost::budgets::BudgetProgress;
use regionmesh_cost::{
    CrossingKind,
    render::{Document, Value as Cell},
};

/// All budgets; problems are warnings.
pub(crate) fn budgets(found: &[BudgetProgress]) -> Document {
    let mut columns = vec![column("budget"), column("period")];
    columns.extend(["amount", "spent", "used", "forecast", "will be used"].map(number));
    columns.extend([column("currency"), column("crossed")]);

    let rows = found.iter().map(|answer| {
        let state = &answer.state;
        let crossed = state.crossed.iter().map(|crossing| {
            let kind = match crossing.kind {
                CrossingKind::Actual => "",
                CrossingKind::Forecast => " forecast",
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
