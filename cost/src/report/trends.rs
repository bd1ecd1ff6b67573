//! Trends: weeks or months side by side, and how each differs from the one before.

use super::{
    Group, Query, QueryError, RegionNames, Warning, coverage, scan, share_ratio, sort_key,
};
use crate::{
    cells::Metric,
    date::{day_number, day_of},
    ledger::{Ledger, day_range, serialize_day},
    money::{Amount, Currency},
};
use schemars::JsonSchema;
use serde::Serialize;
use std::{cmp::Reverse, collections::BTreeMap};
use time::Date;

/// What is put side by side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Interval {
    /// Weeks from Monday to Sunday.
    Week,
    /// Calendar months.
    Month,
}

impl Interval {
    fn group(self) -> Group {
        match self {
            Self::Week => Group::Week,
            Self::Month => Group::Month,
        }
    }

    /// The first and the last day of the interval that a day is in, as numbers.
    fn around(self, day: i32) -> (i32, i32) {
        let group = self.group();
        let start = scan::span_start(day, &group);

        // A month has at most 31 days, so this day is in the next one.
        let beyond = if self == Self::Week {
            start + 7
        } else {
            scan::span_start(start + 31, &group)
        };

        (start, beyond - 1)
    }
}

/// A week or month.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct TrendPeriod {
    /// The first day.
    #[schemars(with = "String")]
    #[serde(serialize_with = "serialize_day")]
    pub start: Date,
    /// The last day.
    #[schemars(with = "String")]
    #[serde(serialize_with = "serialize_day")]
    pub end: Date,
    /// Whether some of its days were not asked for, or their bills are not there or not complete
    /// yet.
    pub is_partial: bool,
}

/// A difference to an earlier amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "CostChange")]
pub struct Change {
    /// How much more was spent; less where it is negative.
    pub amount: Amount,
    /// The same as a part of the earlier amount, in units of 0.0001, in JSON as a ratio; null if
    /// that amount was zero or a credit.
    #[schemars(with = "Option<f64>")]
    #[serde(rename = "ratio", serialize_with = "share_ratio")]
    pub ratio_bp: Option<i64>,
}

impl Change {
    fn between(before: Amount, now: Amount) -> Self {
        let amount = now - before;
        Self {
            amount,
            ratio_bp: (before > Amount::ZERO)
                .then(|| super::share_bp(amount, before))
                .flatten(),
        }
    }
}

/// What a group cost in one of the periods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct TrendPoint {
    pub amount: Amount,
    /// Against the previous period; null in the first one, and if either of the two is partial.
    pub change: Option<Change>,
}

/// A group over time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct TrendSeries {
    /// A value for each group of the query.
    pub values: Vec<String>,
    pub currency: Currency,
    /// One for each of the periods.
    pub points: Vec<TrendPoint>,
    /// The newest period so far against as many days of the previous one.
    pub to_date: Option<Compared>,
}

/// Two amounts and how they differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Compared {
    /// The earlier amount.
    pub before: Amount,
    /// The later amount.
    pub now: Amount,
    /// From the earlier to the later.
    pub change: Change,
}

impl Compared {
    fn of(before: Amount, now: Amount) -> Self {
        Self {
            before,
            now,
            change: Change::between(before, now),
        }
    }
}

/// The days that `to_date` of a series compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PeriodToDate {
    /// The first day of the newest period.
    #[schemars(with = "String")]
    #[serde(serialize_with = "serialize_day")]
    pub start: Date,
    /// The last complete day that was asked for.
    #[schemars(with = "String")]
    #[serde(serialize_with = "serialize_day")]
    pub end: Date,
    /// The first day of the period before.
    #[schemars(with = "String")]
    #[serde(serialize_with = "serialize_day")]
    pub start_before: Date,
    /// The same day of that one: its last day where it is shorter, or where the newest one is over.
    #[schemars(with = "String")]
    #[serde(serialize_with = "serialize_day")]
    pub end_before: Date,
}

/// A group whose cost changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Mover {
    /// A value for each group of the query.
    pub values: Vec<String>,
    pub currency: Currency,
    #[serde(flatten)]
    pub compared: Compared,
}

/// Weeks or months side by side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "CostTrends")]
pub struct Trends {
    /// What is put side by side.
    pub interval: Interval,
    /// What the series are kept apart by.
    pub by: Vec<Group>,
    /// Which cost.
    pub metric: Metric,
    /// The periods, the earliest first.
    pub periods: Vec<TrendPeriod>,
    /// Which days `to_date` of a series compares; null if no complete day was asked for.
    pub to_date: Option<PeriodToDate>,
    /// Sorted by currency, then descending total cost, then name.
    pub series: Vec<TrendSeries>,
    /// The sum of the series of each currency; without values.
    pub totals: Vec<TrendSeries>,
    /// The series that changed between the last two complete periods (or else to date), by
    /// currency, the largest change first.
    pub movers: Vec<Mover>,
    /// Caveats about the amounts.
    pub warnings: Vec<Warning>,
}

type Key = (Currency, Vec<String>);

/// Weeks or months of a query side by side. Its groups must not be days, weeks or months.
pub fn trends(
    ledger: &Ledger,
    query: &Query,
    interval: Interval,
    regions: RegionNames<'_>,
) -> Result<Trends, QueryError> {
    query.check()?;
    if let Some(group) = query.by.iter().find(|group| group.is_time()) {
        return Err(QueryError::Time(group.clone()));
    }

    let periods = periods(ledger, query, interval);
    let in_time = Query {
        by: query.by.iter().cloned().chain([interval.group()]).collect(),
        ..query.clone()
    };
    let scanned = scan::scan(ledger, &in_time, regions);
    let warnings = coverage::warnings(ledger, query, &scanned);
    let places: BTreeMap<String, usize> = periods
        .iter()
        .enumerate()
        .map(|(index, period)| {
            (
                scan::format_time(day_number(period.start), &interval.group()),
                index,
            )
        })
        .collect();

    let mut amounts: BTreeMap<Key, Vec<Amount>> = BTreeMap::new();
    for mut row in scanned.rows {
        let place = row.values.pop().and_then(|time| places.get(&time).copied());
        let amounts = amounts
            .entry((row.currency, row.values))
            .or_insert_with(|| vec![Amount::ZERO; periods.len()]);

        if let Some(amount) = place.and_then(|place| amounts.get_mut(place)) {
            *amount += row.amount;
        }
    }

    let days = days_to_date(ledger, query, interval);
    let to_date = days
        .map(|days| compared(ledger, query, &days, regions))
        .unwrap_or_default();

    for key in to_date.keys() {
        amounts
            .entry(key.clone())
            .or_insert_with(|| vec![Amount::ZERO; periods.len()]);
    }

    let (series, totals) = assemble(amounts, &to_date, &periods, days.is_some());
    let movers = movers(&series, &periods);
    let by = query.by.clone();
    let metric = query.metric;

    Ok(Trends {
        interval,
        by,
        metric,
        periods,
        to_date: days,
        series,
        totals,
        movers,
        warnings,
    })
}

fn periods(ledger: &Ledger, query: &Query, interval: Interval) -> Vec<TrendPeriod> {
    let asked = day_range(query.start, query.end);
    let first_charge = ledger
        .sources()
        .values()
        .filter_map(|state| state.first_day)
        .min()
        .map(day_number);
    let complete = ledger.final_day(query.end).map(day_number);
    let is_covered = |start, end| {
        let is_asked = asked.contains(&start) && asked.contains(&end);
        is_asked
            && first_charge.is_some_and(|first| first <= start)
            && complete.is_some_and(|last| end <= last)
    };

    let mut periods = Vec::new();
    let mut day = *asked.start();
    while day <= *asked.end() {
        let (start, end) = interval.around(day);
        if let (Some(first), Some(last)) = (day_of(start), day_of(end)) {
            periods.push(TrendPeriod {
                start: first,
                end: last,
                is_partial: !is_covered(start, end),
            });
        }

        day = end + 1;
    }

    periods
}

/// The newest period up to the last complete day that was asked for, and the same days of the one
/// before.
fn days_to_date(ledger: &Ledger, query: &Query, interval: Interval) -> Option<PeriodToDate> {
    let through = ledger.final_day(query.end)?.min(query.end);
    if through < query.start {
        return None;
    }

    let (start, end) = interval.around(day_number(through));
    let (start_before, last_before) = interval.around(start - 1);
    let same_day = start_before + (day_number(through) - start);
    let end_before = if day_number(through) == end {
        last_before
    } else {
        same_day.min(last_before)
    };

    Some(PeriodToDate {
        start: day_of(start)?,
        end: through,
        start_before: day_of(start_before)?,
        end_before: day_of(end_before)?,
    })
}

/// The amounts before and now of each group.
fn compared(
    ledger: &Ledger,
    query: &Query,
    days: &PeriodToDate,
    regions: RegionNames<'_>,
) -> BTreeMap<Key, (Amount, Amount)> {
    let within = |start, end| {
        scan::scan(
            ledger,
            &Query {
                start,
                end,
                ..query.clone()
            },
            regions,
        )
        .rows
    };

    let mut compared: BTreeMap<Key, (Amount, Amount)> = BTreeMap::new();
    for row in within(days.start_before, days.end_before) {
        compared.entry((row.currency, row.values)).or_default().0 += row.amount;
    }
    for row in within(days.start, days.end) {
        compared.entry((row.currency, row.values)).or_default().1 += row.amount;
    }

    compared
}

/// The series, and the sums of them by currency.
fn assemble(
    amounts: BTreeMap<Key, Vec<Amount>>,
    to_date: &BTreeMap<Key, (Amount, Amount)>,
    periods: &[TrendPeriod],
    has_to_date: bool,
) -> (Vec<TrendSeries>, Vec<TrendSeries>) {
    let mut totals: BTreeMap<Currency, (Vec<Amount>, (Amount, Amount))> = BTreeMap::new();
    let mut series = Vec::new();
    let one = |values, currency, amounts: &[Amount], (before, now)| TrendSeries {
        values,
        currency,
        points: points(amounts, periods),
        to_date: has_to_date.then(|| Compared::of(before, now)),
    };

    for ((currency, values), amounts) in amounts {
        let (before, now) = to_date
            .get(&(currency, values.clone()))
            .copied()
            .unwrap_or_default();
        let total = totals
            .entry(currency)
            .or_insert_with(|| (vec![Amount::ZERO; periods.len()], Default::default()));

        for (total, amount) in total.0.iter_mut().zip(&amounts) {
            *total += *amount;
        }
        total.1.0 += before;
        total.1.1 += now;
        series.push((
            amounts.iter().copied().sum::<Amount>(),
            one(values, currency, &amounts, (before, now)),
        ));
    }

    series.sort_by(|(a_sum, a), (b_sum, b)| {
        sort_key(a.currency, *a_sum, &a.values).cmp(&sort_key(b.currency, *b_sum, &b.values))
    });

    let totals = totals
        .into_iter()
        .map(|(currency, (amounts, both))| one(Vec::new(), currency, &amounts, both));
    (
        series.into_iter().map(|(_, series)| series).collect(),
        totals.collect(),
    )
}

impl Trends {
    /// Whether a period is compared with the one before: both are complete.
    pub(crate) fn is_compared(&self, index: usize) -> bool {
        is_compared(&self.periods, index)
    }
}

fn is_compared(periods: &[TrendPeriod], index: usize) -> bool {
    index > 0 && !periods[index].is_partial && !periods[index - 1].is_partial
}

fn points(amounts: &[Amount], periods: &[TrendPeriod]) -> Vec<TrendPoint> {
    let mut points = Vec::with_capacity(amounts.len());
    for (index, amount) in amounts.iter().enumerate() {
        let change =
            is_compared(periods, index).then(|| Change::between(amounts[index - 1], *amount));
        points.push(TrendPoint {
            amount: *amount,
            change,
        });
    }

    points
}

fn movers(series: &[TrendSeries], periods: &[TrendPeriod]) -> Vec<Mover> {
    let complete = (1..periods.len())
        .rev()
        .find(|index| is_compared(periods, *index));
    let compared = |series: &TrendSeries| match complete {
        Some(index) => Some(Compared::of(
            series.points[index - 1].amount,
            series.points[index].amount,
        )),
        None => series.to_date,
    };

    let mut movers: Vec<Mover> = series
        .iter()
        .filter_map(|series| {
            let compared = compared(series).filter(|compared| !compared.change.amount.is_zero())?;
            Some(Mover {
                values: series.values.clone(),
                currency: series.currency,
                compared,
            })
        })
        .collect();

    // The order of the series stays among equals.
    movers.sort_by_key(|mover| {
        (
            mover.currency,
            Reverse(mover.compared.change.amount.0.unsigned_abs()),
        )
    });

    movers
}
