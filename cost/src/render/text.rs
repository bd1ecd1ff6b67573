//! A document as aligned text for a terminal.

use super::{Document, Table};
use std::fmt::Write;

const GAP: &str = "  ";

/// The document's warnings and tables as text. Nothing in it moves a terminal's cursor.
pub fn text(document: &Document) -> String {
    let mut out = format!("{}\n", super::visible(&document.title));
    for (index, table) in document.tables.iter().enumerate() {
        out.push('\n');
        if index > 0 {
            let _ = writeln!(out, "{}", super::visible(&table.title));
        }

        write_table(&mut out, table);
    }

    if !document.warnings.is_empty() {
        out.push('\n');
    }
    for warning in &document.warnings {
        let _ = writeln!(out, "warning: {}", super::visible(warning));
    }

    out
}

fn write_table(out: &mut String, table: &Table) {
    let decimals: Vec<u32> = (0..table.columns.len())
        .map(|column| table.decimals(column))
        .collect();
    let formatted = |row: &super::Row| {
        row.values
            .iter()
            .zip(&decimals)
            .map(|(value, n)| value.format(*n))
            .collect()
    };

    let heads: Vec<String> = table
        .columns
        .iter()
        .map(|column| super::visible(&column.name).into_owned())
        .collect();
    let rows: Vec<Vec<String>> = table.rows.iter().map(formatted).collect();

    let width = |column: usize| {
        let cells = rows
            .iter()
            .chain([&heads])
            .filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..heads.len()).map(width).collect();
    let rule = widths
        .iter()
        .map(|width| "-".repeat(*width))
        .collect::<Vec<_>>()
        .join(GAP);

    write_row(out, table, &widths, &heads);
    let _ = writeln!(out, "{rule}");
    let mut has_totals = false;

    for (row, cells) in table.rows.iter().zip(&rows) {
        if row.is_total && !has_totals {
            has_totals = true;
            let _ = writeln!(out, "{rule}");
        }
        write_row(out, table, &widths, cells);
    }
}

fn write_row(out: &mut String, table: &Table, widths: &[usize], cells: &[String]) {
    let mut line = String::new();
    for ((cell, width), column) in cells.iter().zip(widths).zip(&table.columns) {
        if !line.is_empty() {
            line.push_str(GAP);
        }

        let _ = if column.is_number {
            write!(line, "{cell:>width$}")
        } else {
            write!(line, "{cell:<width$}")
        };
    }

    let _ = writeln!(out, "{}", line.trim_end());
}
