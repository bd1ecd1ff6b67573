//! A document as aligned text for a terminal.

use super::{Document, Table};
use std::fmt::Write;

/// The document's warnings and tables as text. Nothing in it moves a terminal's cursor.
pub fn text(document: &Document) -> String {
    let mut out = format!("{}\n", super::visible(&document.title));
    for (index, table) in document.tables.iter().enumerate() {
        out.push('\n');
        if index > 0 {
            let _ = writeln!(out, "{}", super::visible(&table.title));
        }

        let is_number = |column: usize| {
            table
                .columns
                .get(column)
                .is_some_and(|column| column.is_number)
        };
        out += &aligned(&rows(table), is_number, |cell| cell.chars().count());
    }

    if !document.warnings.is_empty() {
        out.push('\n');
    }
    for warning in &document.warnings {
        let _ = writeln!(out, "warning: {}", super::visible(warning));
    }

    out
}

/// Rows as lines of columns, two spaces apart; an empty row becomes a rule. `is_right` says which
/// columns are aligned right, `width` how wide a cell is on a terminal.
pub fn aligned(
    rows: &[Vec<String>],
    is_right: impl Fn(usize) -> bool,
    width: impl Fn(&str) -> usize,
) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|column| {
            let cells = rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| width(cell)).max().unwrap_or(0)
        })
        .collect();

    let padded = |column: usize, cell: &String| {
        let gap = " ".repeat(widths[column] - width(cell));
        match is_right(column) {
            true => gap + cell,
            false => format!("{cell}{gap}"),
        }
    };

    let mut out = String::new();
    for row in rows {
        let cells: Vec<String> = match row.is_empty() {
            true => widths.iter().map(|width| "-".repeat(*width)).collect(),
            false => (0..).zip(row).map(|(at, cell)| padded(at, cell)).collect(),
        };
        let _ = writeln!(out, "{}", cells.join("  ").trim_end());
    }

    out
}

fn rows(table: &Table) -> Vec<Vec<String>> {
    let decimals: Vec<u32> = (0..table.columns.len())
        .map(|column| table.decimals(column))
        .collect();
    let heads = table.columns.iter();
    let heads = heads.map(|column| super::visible(&column.name).into_owned());

    let mut rows = vec![heads.collect(), Vec::new()];
    let mut has_totals = false;
    for row in &table.rows {
        if row.is_total && !has_totals {
            has_totals = true;
            rows.push(Vec::new());
        }

        let values = row.values.iter().zip(&decimals);
        rows.push(values.map(|(value, n)| value.format(*n)).collect());
    }

    rows
}
