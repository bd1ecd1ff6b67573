//! Documents of tables and charts, and their three forms: text for terminals, CSV for spreadsheets,
//! self-contained HTML.
//!
//! Names come from bills and may be hostile: in every form characters that rewrite a terminal are
//! shown escaped, HTML is escaped, and no text of a CSV is a formula.

mod chart;
mod csv;
mod documents;
mod html;
mod text;

use crate::money::Amount;
use regionmesh_protocol::text::visible;

pub use csv::csv;
pub use documents::{allocation_document, report_document, time_chart, trends_document};
pub use html::html;
pub use text::{aligned, text};

/// What is rendered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Document {
    pub title: String,
    /// Caveats about the amounts.
    pub warnings: Vec<String>,
    /// For HTML alone.
    pub charts: Vec<Chart>,
    /// The first one holds everything that the others do: CSV has no more than that.
    pub tables: Vec<Table>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Table {
    pub title: String,
    pub columns: Vec<Column>,
    pub rows: Vec<Row>,
}

/// A column's heading and what it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    pub name: String,
    /// Numbers are aligned right, names left.
    pub is_number: bool,
}

/// A row of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub values: Vec<Value>,
    /// Whether it sums up others; CSV leaves these out, or a spreadsheet's sum would be twice the
    /// bill.
    pub is_total: bool,
}

/// A table cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// No such value.
    Empty,
    /// A name; shown as `(none)` where it is empty.
    Text(String),
    /// An amount; the currency has its own column.
    Amount(Amount),
    /// A ratio in units of 0.0001.
    Ratio(i64),
    /// A number of things.
    Count(u64),
    /// A time, milliseconds; shown in hours.
    Hours(u64),
}

impl Value {
    /// A ratio that there may be.
    fn ratio(ratio_bp: Option<i64>) -> Self {
        ratio_bp.map_or(Self::Empty, Self::Ratio)
    }

    /// The displayed text, with `decimals` digits in amounts.
    fn format(&self, decimals: u32) -> String {
        match self {
            Self::Empty => String::new(),
            Self::Text(text) if text.is_empty() => "(none)".to_owned(),
            Self::Text(text) => visible(text).into_owned(),
            Self::Amount(amount) => amount.rounded(decimals),
            Self::Ratio(ratio_bp) => format!("{:.1} %", *ratio_bp as f64 / 100.0),
            Self::Count(count) => count.to_string(),
            Self::Hours(ms) => format!("{:.1}", hours(*ms)),
        }
    }
}

fn hours(ms: u64) -> f64 {
    ms as f64 / 3_600_000.0
}

impl Table {
    /// Decimals of the amounts of a column: two, or four where all of them are below one.
    fn decimals(&self, column: usize) -> u32 {
        let one = crate::money::ONE as u128;
        let mut amounts = self
            .rows
            .iter()
            .filter_map(|row| match row.values.get(column) {
                Some(Value::Amount(amount)) if !amount.is_zero() => Some(amount.0.unsigned_abs()),
                _ => None,
            });
        let is_small = amounts.by_ref().max().is_some_and(|largest| largest < one);

        if is_small { 4 } else { 2 }
    }
}

/// A picture of amounts in one currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chart {
    pub title: String,
    /// The places along the chart: groups for bars, times for stacks.
    pub labels: Vec<String>,
    /// The stacked or single series.
    pub series: Vec<Series>,
    pub kind: ChartKind,
}

/// How a chart is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChartKind {
    /// A bar to the right for each label; the first series alone.
    Bars,
    /// A column for each label, in which the series are stacked; credits go down.
    Stacks,
}

/// A name and an amount for each label of its chart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Series {
    pub name: String,
    pub amounts: Vec<Amount>,
}

/// Text that is neither markup nor an attribute's end, nor invisible characters.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in visible(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }

    out
}

#[cfg(test)]
mod tests;
