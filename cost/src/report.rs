//! Reports: what was spent within some days, grouped. Every amount is exact, and the rows sum to
//! the totals.
//!
//! As JSON, a report is `{"start": "2026-09-01", "end": "2026-09-30", "by": ["region", "tag:team"],
//! "metric": "effective", "rows": [{"values": ["eu-west-1", "search"], "currency": "USD", "amount":
//! "12.5", "share": 0.25, "rows": 40}], "totals": {"USD": "50"}, "rows_summed": 160, "warnings":
//! [{"kind": "days-missing", "message": "…"}]}`: amounts are decimal strings with every digit, and
//! an empty value means that the bill has none.

mod coverage;
mod group;
mod scan;
mod trends;

use crate::{
    cells::Metric,
    ledger::{Ledger, day_range, serialize_day},
    money::{Amount, Currency, Money, Totals},
};
use serde::Serialize;
use std::{cmp::Reverse, fmt};
use time::Date;

pub(crate) use coverage::listed;
pub use group::{Filter, Group, GroupError};
pub use trends::{
    Change, Compared, Interval, Mover, PeriodToDate, TrendPeriod, TrendPoint, TrendSeries, Trends,
    trends,
};

/// The mesh's name of a provider's region, from the provider and its region id as the bill has
/// them; `None` if no region of the mesh is there.
pub type RegionNames<'a> = &'a dyn Fn(&str, &str) -> Option<String>;

/// Most days that a report spans: ten years.
pub(crate) const REPORT_DAYS_MAX: i32 = 3_660;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// The first day, UTC.
    pub start: Date,
    /// The last day, UTC; included.
    pub end: Date,
    /// What rows are kept apart by; none for the totals alone.
    pub by: Vec<Group>,
    /// Which cost.
    pub metric: Metric,
    /// Which charges count: all of them where this is empty. Filters of the same group are
    /// alternatives, different groups must all match.
    pub filters: Vec<Filter>,
    /// The tag whose values are names of models ([`Group::Model`]).
    pub model_tag: String,
}

/// The tag that names a charge's model, unless the configuration says otherwise.
pub(crate) const MODEL_TAG: &str = "model";

/// Why a query can't be answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// The days are the wrong way round.
    #[error("the report ends on {end}, before it starts on {start}; swap the dates")]
    Order {
        /// First day.
        start: Date,
        /// Last day.
        end: Date,
    },
    /// Too many days.
    #[error("{days} days requested; a report covers at most {REPORT_DAYS_MAX}")]
    TooLong {
        /// Days asked for.
        days: i32,
    },
    /// A group is there twice.
    #[error("{0} is grouped by twice; name it once")]
    Twice(Group),
    /// A time among the groups of trends.
    #[error("trends are already by week or month; remove {0} from the groups")]
    Time(Group),
}

impl Query {
    /// Everything spent from `start` to `end`, both included, in one row per currency.
    pub fn new(start: Date, end: Date) -> Self {
        let by = Vec::new();
        let filters = Vec::new();
        Self {
            start,
            end,
            by,
            metric: Metric::default(),
            filters,
            model_tag: MODEL_TAG.to_owned(),
        }
    }

    /// The same, grouped by these.
    #[must_use]
    pub fn by(self, by: impl IntoIterator<Item = Group>) -> Self {
        Self {
            by: by.into_iter().collect(),
            ..self
        }
    }

    /// The same query for charts over time: by day up to about two months, by month beyond, and
    /// then as before.
    #[must_use]
    pub fn over_time(&self) -> Self {
        let days = day_range(self.start, self.end).count();
        let interval = if days <= 62 { Group::Day } else { Group::Month };
        let groups = self.by.iter().filter(|group| !group.is_time()).cloned();

        Self {
            by: std::iter::once(interval).chain(groups).collect(),
            ..self.clone()
        }
    }

    /// The tag that a group reads; `None` if it reads no tag.
    fn tag<'a>(&'a self, group: &'a Group) -> Option<&'a str> {
        match group {
            Group::Tag(key) => Some(key),
            Group::Model => Some(&self.model_tag),
            _ => None,
        }
    }

    fn check(&self) -> Result<(), QueryError> {
        let start = self.start;
        let end = self.end;
        let days = end.to_julian_day() - start.to_julian_day() + 1;

        if days < 1 {
            return Err(QueryError::Order { start, end });
        }
        if days > REPORT_DAYS_MAX {
            return Err(QueryError::TooLong { days });
        }

        let twice = self
            .by
            .iter()
            .enumerate()
            .find(|(index, group)| self.by[..*index].contains(group));

        twice.map_or(Ok(()), |(_, group)| Err(QueryError::Twice(group.clone())))
    }
}

/// The charges of one group and currency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReportRow {
    /// A value for each group of the query, empty where the bill has none.
    pub values: Vec<String>,
    pub currency: Currency,
    pub amount: Amount,
    /// The part of the currency's total, in units of 0.0001; beyond 0 to 10,000 where credits lower
    /// the total, none where the total is zero.
    #[serde(rename = "share", serialize_with = "share_ratio")]
    pub share_bp: Option<i64>,
    /// Rows of the bill.
    pub rows: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The first day.
    #[serde(serialize_with = "serialize_day")]
    pub start: Date,
    /// The last day.
    #[serde(serialize_with = "serialize_day")]
    pub end: Date,
    /// What the rows are kept apart by.
    pub by: Vec<Group>,
    /// Which cost.
    pub metric: Metric,
    /// Sorted by currency, then time if that is the first group, then descending amount, then name.
    pub rows: Vec<ReportRow>,
    /// The sum of the rows.
    pub totals: Totals,
    /// Rows of the bills that were summed.
    pub rows_summed: u64,
    /// What to know before relying on the totals.
    pub warnings: Vec<Warning>,
}

/// What a warning is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
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
    /// A region's serving cost that could not be given to models, for want of usage data.
    UsageMissing,
    /// Usage of days that no bill covers yet.
    UsageNotBilled,
    /// Something is wrong with a file that was read, or it lacks something.
    File,
}

/// Something that may make a report differ from what its reader expects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
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

/// Runs a query over what is held. `regions` names the rows by region; a region that it does not
/// know is named by the provider and its region id: `AWS us-east-1`.
pub fn report(
    ledger: &Ledger,
    query: &Query,
    regions: RegionNames<'_>,
) -> Result<Report, QueryError> {
    query.check()?;
    let scanned = scan::scan(ledger, query, regions);
    let warnings = coverage::warnings(ledger, query, &scanned);

    let mut rows = scanned.rows;
    let mut totals = Totals::default();
    for row in &rows {
        totals.add(Money {
            amount: row.amount,
            currency: row.currency,
        });
    }

    for row in &mut rows {
        row.share_bp = share_bp(row.amount, totals.of(row.currency));
    }

    // Days, weeks and months sort as their texts do.
    let times = usize::from(query.by.first().is_some_and(Group::is_time));
    rows.sort_by(|a, b| {
        let by_time = a
            .currency
            .cmp(&b.currency)
            .then_with(|| a.values[..times].cmp(&b.values[..times]));

        by_time.then_with(|| {
            sort_key(a.currency, a.amount, &a.values)
                .cmp(&sort_key(b.currency, b.amount, &b.values))
        })
    });

    let rows_summed = rows.iter().map(|row| row.rows).sum();
    let start = query.start;
    let end = query.end;
    let by = query.by.clone();
    let metric = query.metric;

    Ok(Report {
        start,
        end,
        by,
        metric,
        rows,
        totals,
        rows_summed,
        warnings,
    })
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

#[cfg(test)]
mod tests;
