//! Recommendations, and the outcome of earlier ones.

use super::cells::{column, document, number, table, text};
use crate::cost::answers::verifications::Verified;
use regionmesh_cost::{
    Recommendations,
    render::{Document, Table, Value as Cell},
};

/// Recommendations, their comparison with the baselines, and the outcome of earlier ones.
pub(crate) fn recommendations(found: &Recommendations, verified: &[Verified]) -> Document {
    let title = format!(
        "{} {} a month less than {} ({} {})",
        found.total_saving.expected.rounded(2),
        found.currency,
        found.baseline.name,
        found.baseline.monthly_cost.rounded(2),
        found.currency
    );

    let mut tables = vec![savings(found), comparisons(found)];
    if !verified.is_empty() {
        tables.push(outcomes(verified));
    }

    document(title, found.notes.clone(), tables)
}

fn savings(found: &Recommendations) -> Table {
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

    table("In this order", columns, rows)
}

fn comparisons(found: &Recommendations) -> Table {
    let mut columns = vec![column("baseline")];
    columns.extend([number("a month"), number("all applied")]);
    columns.push(column("difference"));

    let rows = found.comparisons.iter().map(|compared| {
        vec![
            text(compared.baseline.name.as_str()),
            Cell::Amount(compared.baseline.monthly_cost),
            Cell::Amount(compared.proposal_cost),
            text(&*compared.text),
        ]
    });

    table("Compared with every baseline", columns, rows)
}

fn outcomes(verified: &[Verified]) -> Table {
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

    table("What came of earlier ones", columns, rows)
}
