//! Cells, columns and tables of documents.

use regionmesh_cost::{
    Amount,
    render::{Column, Document, Row, Table, Value as Cell},
};
use time::{OffsetDateTime, format_description::BorrowedFormatItem, macros::format_description};

const MINUTE: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day] [hour]:[minute]");

pub(super) fn text(text: impl Into<String>) -> Cell {
    Cell::Text(text.into())
}

pub(super) fn moment(at: OffsetDateTime) -> String {
    at.format(MINUTE).unwrap_or_default()
}

pub(super) fn money(amount: Option<Amount>) -> Cell {
    amount.map_or(Cell::Empty, Cell::Amount)
}

pub(super) fn ratio(ratio: f64) -> Cell {
    Cell::Ratio((ratio * 1e4).round() as i64)
}

pub(super) fn column(name: &str) -> Column {
    Column {
        name: name.into(),
        is_number: false,
    }
}

pub(super) fn number(name: &str) -> Column {
    Column {
        name: name.into(),
        is_number: true,
    }
}

pub(super) fn table(
    title: &str,
    columns: Vec<Column>,
    rows: impl IntoIterator<Item = Vec<Cell>>,
) -> Table {
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

pub(super) fn document(title: String, warnings: Vec<String>, tables: Vec<Table>) -> Document {
    Document {
        title,
        warnings,
        charts: Vec::new(),
        tables,
    }
}
