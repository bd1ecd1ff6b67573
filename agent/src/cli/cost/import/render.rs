//! A summary of imported bills as text. Pure.

use crate::cli::text::{Table, bytes, count, plain};
use serde_json::Value;

/// The parts of the ledger that were imported, then how much, then warnings.
pub(super) fn summary(summary: &Value) -> String {
    parts(summary) + &totals(summary) + &warnings(summary) + &bad_rows(&summary["report"])
}

fn parts(summary: &Value) -> String {
    let mut table = Table::new("SOURCE, MONTH, ROWS, CELLS, DAYS, EFFECTIVE, REPLACES");

    for part in items(&summary["parts"]) {
        let replaced = match &part["replaced"] {
            Value::Null => "nothing".into(),
            before => format!("{} rows", number(&before["rows"])),
        };

        table.row(vec![
            text(part, "source", 100),
            text(part, "period", 100),
            number(&part["rows"]).to_string(),
            number(&part["cells"]).to_string(),
            format!(
                "{} to {}",
                text(part, "first_day", 100),
                text(part, "last_day", 100)
            ),
            effective_cost(part),
            replaced,
        ]);
    }

    table.render()
}

/// The effective cost of a part in each currency.
fn effective_cost(part: &Value) -> String {
    let totals = part["totals"]["effective"]
        .as_object()
        .into_iter()
        .flatten();
    let totals: Vec<String> = totals
        .map(|(currency, amount)| {
            format!(
                "{} {currency}",
                plain(amount.as_str().unwrap_or_default(), 40)
            )
        })
        .collect();

    totals.join(", ")
}

fn totals(summary: &Value) -> String {
    let report = &summary["report"];
    let files = report["files"].as_array().map_or(0, Vec::len);
    let read: u64 = items(&report["files"])
        .map(|file| number(&file["bytes"]))
        .sum();

    let outcome = if summary["dry_run"] == true {
        "would be imported; nothing was changed"
    } else {
        "are imported"
    };

    format!(
        "\n{} of {} rows in {} ({}) {outcome}\n",
        number(&report["imported"]),
        number(&report["rows"]),
        count(files, "file", "files"),
        bytes(read)
    )
}

/// Files that were left out, what files lack, and rounded amounts.
fn warnings(summary: &Value) -> String {
    let report = &summary["report"];
    let mut lines = String::new();
    for problem in items(&summary["passed_over"]) {
        lines += &format!(
            "warning: skipped: {}\n",
            plain(problem.as_str().unwrap_or_default(), 400)
        );
    }

    for file in items(&report["files"]) {
        for warning in items(&file["warnings"]) {
            lines += &format!(
                "warning: {}: {}\n",
                text(file, "name", 200),
                plain(warning.as_str().unwrap_or_default(), 300)
            );
        }
    }

    let rounded = number(&report["rounded"]);
    if rounded > 0 {
        lines += &format!(
            "warning: {rounded} rows have amounts of more than 15 decimals; these were rounded\n"
        );
    }

    lines
}

fn bad_rows(report: &Value) -> String {
    let rows = number(&report["rows"]);
    let imported = number(&report["imported"]);
    if rows <= imported {
        return String::new();
    }

    let mut lines = format!(
        "warning: {} rows are bad and were left out; the first:\n",
        rows - imported
    );

    for bad in items(&report["bad_rows"]) {
        let reason = format!(
            "{} \"{}\": {}",
            text(bad, "column", 120),
            text(bad, "value", 120),
            text(bad, "reason", 120)
        );

        lines += &format!(
            "  {}:{}: {}\n",
            text(bad, "file", 120),
            number(&bad["row"]),
            reason.trim_start()
        );
    }

    lines
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or(0)
}

/// A field's text, at most `limit` characters.
fn text(value: &Value, field: &str, limit: usize) -> String {
    plain(value[field].as_str().unwrap_or_default(), limit)
}

#[cfg(test)]
mod tests;
