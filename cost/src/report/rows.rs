//! Reports and their rows, as they are returned.

use super::Group;
use crate::{
    cells::Metric,
    ledger::serialize_day,
    money::{Amount, Currency, Totals},
};
use schemars::JsonSchema;
use serde::Serialize;
use std::{cmp::Reverse, fmt};
use time::Date;

/// The charges of one group in one currency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "CostRow")]
pub struct ReportRow {
    /// A value for each group of the query, empty where the bill has none.
    pub values: Vec<String>,
    pub currency: Currency,
    pub amount: Amount,
    /// The part of the currency's total, in units of 0.0001, in JSON as a ratio: beyond 0 to 1
    /// where credits lower the total, null where the total is zero.
    #[schemars(with = "Option<f64>")]
    #[serde(rename = "share", serialize_with = "share_ratio")]
    pub share_bp: Option<i64>,
    /// How many rows of the bills were summed.
    pub rows: u64,
}

/// What was spent within some days.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "CostReport")]
pub struct Report {
    /// The first day, UTC.
    #[schemars(with = "String")]
    #[serde(serialize_with = "serialize_day")]
    pub start: Date,
    /// The last day, included.
    #[schemars(with = "String")]
    #[serde(serialize_with = "serialize_day")]
    pub end: Date,
    /// What the rows are kept apart by.
    pub by: Vec<Group>,
    /// Which cost.
    pub metric: Metric,
    /// Sorted by currency, then time if that is the first group, then descending amount, then name.
    pub rows: Vec<ReportRow>,
    /// The sum of the rows, by currency.
    pub totals: Totals,
    /// How many rows of the bills were summed.
    pub rows_summed: u64,
    /// What to know before relying on the totals.
    pub warnings: Vec<Warning>,
}

/// What a warning is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[schemars(rename = "CostWarningKind")]
#[serde(rename_all = "kebab-case")]
pub enum WarningKind {
    /// No charge at all within the days.
    NoData,
    /// A month of a source is missing.
    PeriodMissing,
    /// Days without any charge between days that have some.
    DaysMissing,
    /// A source's bills end much earlier than the others'.
    SourceStopped,
    /// Late charges may still be added to the last days.
    Incomplete,
    /// Amounts of several currencies, which are never added.
    SeveralCurrencies,
    /// The asked for cost is zero throughout a bill that has another one.
    MetricMissing,
    /// A tag that was not chosen when a bill was imported.
    TagNotChosen,
    /// A filter that matches nothing.
    NoSuchValue,
    /// A region's serving cost that could not be allocated to models, since usage data is missing.
    UsageMissing,
    /// Usage of days that no bill covers yet.
    UsageNotBilled,
    /// Something is wrong with a file that was read, or it lacks something.
    File,
}

/// Something that may make a report differ from what its reader expects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "CostWarning")]
pub struct Warning {
    /// What it is about.
    pub kind: WarningKind,
    pub message: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// The order of amounts: by currency, the largest first, then by name.
pub(crate) fn sort_key(
    currency: Currency,
    amount: Amount,
    values: &[String],
) -> (Currency, Reverse<Amount>, &[String]) {
    (currency, Reverse(amount), values)
}

/// `part` / `whole` in units of 0.0001.
pub(crate) fn share_bp(part: Amount, whole: Amount) -> Option<i64> {
    let ratio = part.to_f64() / whole.to_f64();
    (!whole.is_zero()).then(|| (ratio * 10_000.0).round() as i64)
}

/// Writes units of 0.0001 as a ratio.
pub(crate) fn share_ratio<S: serde::Serializer>(
    share_bp: &Option<i64>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    share_bp
        .map(|share| share as f64 / 10_000.0)
        .serialize(serializer)
}
