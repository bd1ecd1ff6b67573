//! A document's first table as CSV (RFC 4180).

use super::{Document, Value, hours};
use regionmesh_protocol::text::visible;

/// The first table with all digits of every amount, without rows that sum up others. Ratios are
/// fractions of one.
///
/// A name that a spreadsheet would take for a formula begins with an apostrophe, which spreadsheets
/// don't show (OWASP, "CSV Injection").
pub fn csv(document: &Document) -> String {
    let mut out = String::new();
    let Some(table) = document.tables.first() else {
        return out;
    };

    write_record(
        &mut out,
        table.columns.iter().map(|column| field(&column.name)),
    );

    for row in table.rows.iter().filter(|row| !row.is_total) {
        write_record(&mut out, row.values.iter().map(formatted));
    }
    out
}

fn formatted(value: &Value) -> String {
    match value {
        Value::Empty => String::new(),
        Value::Text(text) => field(text),
        Value::Amount(amount) => amount.to_string(),
        Value::Ratio(ratio_bp) => (*ratio_bp as f64 / 10_000.0).to_string(),
        Value::Count(count) => count.to_string(),
        Value::Hours(ms) => hours(*ms).to_string(),
    }
}

fn field(text: &str) -> String {
    let text = visible(text);
    let is_formula = text
        .trim_start()
        .starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠']);
    let prefix = if is_formula { "'" } else { "" };

    if text.contains([',', '"', '\r', '\n', ';']) || text.starts_with(' ') || text.ends_with(' ') {
        format!("\"{prefix}{}\"", text.replace('"', "\"\""))
    } else {
        format!("{prefix}{text}")
    }
}

fn write_record(out: &mut String, fields: impl Iterator<Item = String>) {
    out.push_str(&fields.collect::<Vec<_>>().join(","));
    out.push_str("\r\n");
}
