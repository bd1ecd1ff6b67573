//! Anomalies of billed days.

use super::{
    Anomaly, AnomalyKind, Detector, Plane, Reading, amount_of,
    detector::ALARM_RATIO,
    incident::{Cost, Incident},
    series::BilledSeries,
};
use crate::{date::day_of, money::Amount};
use std::collections::BTreeMap;
use time::{Date, Duration};

const DAY_S: u32 = 86_400;
/// Days before the last one that are looked at: 13 months.
const HISTORY_DAYS: i32 = 400;
/// A bill's last days are incomplete.
const INCOMPLETE_DAYS: i32 = 2;
/// History that is needed before a first spend is news, and for how long it is.
const NEW_DAYS: i32 = 14;
/// Usual days in a row that end an anomaly: a weekend does not.
const CALM_DAYS: i32 = 3;
/// Unusual days after which it is a shift of the level.
const SHIFT_DAYS: usize = 3;
/// Days after which a shift is the new usual level.
const NEW_LEVEL_DAYS: i32 = 14;
/// Days before an anomaly that say what its parts usually cost.
const USUAL_DAYS: i32 = 28;
/// A series that already rose this high this often within these days does so habitually.
const HABIT_TIMES: usize = 3;
const HABIT_DAYS: i32 = 56;

/// Below what nothing is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BilledSettings {
    /// Least difference from the expected cost of a day, and least first spend, in units of the
    /// series' currency.
    pub floor: Amount,
    /// Least difference in percent of the expected cost of a day.
    pub floor_percent: u32,
}

impl Default for BilledSettings {
    /// 10 units of the currency, 25 %.
    fn default() -> Self {
        Self {
            floor: Amount(10 * crate::money::ONE),
            floor_percent: 25,
        }
    }
}

/// The anomalies of bills, those of a scope in order of their start. Looks at 400 days.
pub fn billed_anomalies(series: &[BilledSeries], settings: &BilledSettings) -> Vec<Anomaly> {
    let Some(last_day) = series
        .iter()
        .map(|series| series.last_day)
        .max()
        .filter(|day| day_of(*day).is_some())
    else {
        return Vec::new();
    };
    let from = last_day.saturating_sub(HISTORY_DAYS - 1);
    let first_days = series.iter().filter_map(|series| first_day(series, from));
    let Some(history_from) = first_days.min().filter(|first| *first <= last_day) else {
        return Vec::new();
    };

    let scan = |series| {
        Scan::new(series, history_from, settings)
            .map(Scan::run)
            .unwrap_or_default()
    };

    series.iter().flat_map(scan).collect()
}

fn first_day(series: &BilledSeries, from: i32) -> Option<i32> {
    let spent = |days: &BTreeMap<i32, Amount>| {
        days.range(from..)
            .find(|(_, amount)| !amount.is_zero())
            .map(|(day, _)| *day)
    };

    series.parts.values().filter_map(spent).min()
}

/// An anomaly that is not over.
struct Open {
    incident: Incident,
    /// Expectations are taken from before it began.
    before: Detector,
    since: i32,
    is_rise: bool,
    unusual_days: usize,
    last_unusual: i32,
}

struct Scan<'a> {
    series: &'a BilledSeries,
    settings: &'a BilledSettings,
    totals: BTreeMap<i32, Amount>,
    first_day: i32,
    last_day: i32,
    /// The first spend, where it is news.
    new_day: Option<i32>,
    detector: Detector,
    open: Option<Open>,
    found: Vec<Anomaly>,
}

impl<'a> Scan<'a> {
    fn new(
        series: &'a BilledSeries,
        history_from: i32,
        settings: &'a BilledSettings,
    ) -> Option<Self> {
        let last_day = series.last_day;
        let first_day = first_day(series, history_from).filter(|first| *first <= last_day)?;
        let totals = series.totals();
        let is_new = |(day, _): &(&i32, &Amount)| **day - history_from >= NEW_DAYS;
        let first_above = totals
            .range(first_day..first_day.saturating_add(NEW_DAYS))
            .find(|(_, amount)| **amount >= settings.floor);
        let new_day = first_above
            .filter(is_new)
            .map(|(day, _)| *day)
            .filter(|day| *day <= last_day);
        let detector = Detector::new(DAY_S).ok()?;

        Some(Self {
            series,
            settings,
            totals,
            first_day,
            last_day,
            new_day,
            detector,
            open: None,
            found: Vec::new(),
        })
    }

    fn run(mut self) -> Vec<Anomaly> {
        self.report_new();
        let judged_from = self
            .new_day
            .map_or(self.first_day, |day| day.saturating_add(NEW_DAYS));
        for day in self.first_day..=self.last_day {
            let total = self.total(day);
            // A refund: neither an anomaly nor what is usual.
            if total < Amount::ZERO {
                continue;
            }

            if day < judged_from {
                self.detector.observe(seconds(day), total.to_f64());
            } else if self.open.is_some() {
                self.extend_open(day, total);
            } else {
                self.judge(day, total);
            }
        }

        if let Some(open) = self.open.take() {
            self.report(&open, None);
        }
        self.found
    }

    fn total(&self, day: i32) -> Amount {
        self.totals.get(&day).copied().unwrap_or_default()
    }

    /// The costs of a day by part.
    fn parts(&self, day: i32) -> BTreeMap<String, Amount> {
        let of = |(part, days): (&String, &BTreeMap<i32, Amount>)| {
            days.get(&day).map(|amount| (part.clone(), *amount))
        };
        self.series.parts.iter().filter_map(of).collect()
    }

    fn report_new(&mut self) {
        let Some(new_day) = self.new_day else { return };
        let end = new_day.saturating_add(NEW_DAYS);
        let mut incident = Incident::new(seconds(new_day), BTreeMap::new());

        for day in new_day..end.min(self.last_day.saturating_add(1)) {
            let parts = self.parts(day);
            let rate = self.total(day);
            incident.add(&Cost {
                parts: &parts,
                expected: Amount::ZERO,
                rate,
                low: Amount::ZERO,
                high: Amount::ZERO,
            });
        }

        let until = (end <= self.last_day).then(|| seconds(end));
        let scope = &self.series.scope;
        let currency = self.series.currency;

        self.found.extend(incident.anomaly(
            Plane::Billed,
            AnomalyKind::New,
            scope,
            currency,
            until,
        ));
    }

    /// Whether a difference is worth a report.
    fn is_large(&self, total: Amount, expected: Amount) -> bool {
        let difference = (total - expected).0.unsigned_abs();
        let relative = expected
            .share(u64::from(self.settings.floor_percent), 100)
            .unwrap_or(expected);

        difference
            >= self
                .settings
                .floor
                .0
                .unsigned_abs()
                .max(relative.0.unsigned_abs())
            && difference > 0
    }

    /// A day while nothing is unusual.
    fn judge(&mut self, day: i32, total: Amount) {
        let before = self.detector.clone();
        let reading = self.detector.observe(seconds(day), total.to_f64());
        if reading.surprise < ALARM_RATIO {
            return;
        }

        let expected = amount_of(reading.expected.max(0.0));
        let is_rise = total > expected;
        let is_incomplete = day > self.last_day.saturating_sub(INCOMPLETE_DAYS);
        let is_known = if is_rise {
            self.recurs(day, total) || self.is_habit(day, total)
        } else {
            is_incomplete
        };

        if is_known || !self.is_large(total, expected) {
            // It must not hide a real one that follows.
            self.detector = before;
            self.detector.observe(seconds(day), quiet(total, &reading));
            return;
        }

        let incident = Incident::new(seconds(day), self.usual(day));
        self.open = Some(Open {
            incident,
            before,
            since: day,
            is_rise,
            unusual_days: 0,
            last_unusual: day,
        });

        self.extend_open(day, total);
    }

    /// Extends the open anomaly by a day, its first included.
    fn extend_open(&mut self, day: i32, total: Amount) {
        let Some(mut open) = self.open.take() else {
            return;
        };
        let reading = open.before.expect(seconds(day));
        let expected = amount_of(reading.expected.max(0.0));
        let is_incomplete = !open.is_rise && day > self.last_day.saturating_sub(INCOMPLETE_DAYS);

        if (total > expected) == open.is_rise && self.is_large(total, expected) && !is_incomplete {
            let parts = self.parts(day);
            let low = amount_of(reading.low.max(0.0));
            let high = amount_of(reading.high);

            open.incident.add(&Cost {
                parts: &parts,
                expected,
                rate: total,
                low,
                high,
            });

            open.unusual_days += 1;
            open.last_unusual = day;
        } else if day - open.last_unusual >= CALM_DAYS {
            self.report(&open, Some(open.last_unusual.saturating_add(1)));
            self.detector = open.before;
            let calm_from = open.last_unusual.saturating_add(1);
            self.learn(calm_from, day);
            return;
        }

        if day - open.since >= NEW_LEVEL_DAYS - 1 && open.unusual_days >= SHIFT_DAYS {
            self.report(&open, Some(day.saturating_add(1)));
            if let Ok(detector) = Detector::new(DAY_S) {
                self.detector = detector;
            }
            self.learn(open.since, day);
            return;
        }

        self.open = Some(open);
    }

    fn learn(&mut self, from: i32, to: i32) {
        for day in from..=to {
            let total = self.total(day);
            if total >= Amount::ZERO {
                self.detector.observe(seconds(day), total.to_f64());
            }
        }
    }

    fn report(&mut self, open: &Open, until: Option<i32>) {
        let kind = match open.is_rise {
            false => AnomalyKind::Drop,
            true if open.unusual_days >= SHIFT_DAYS => AnomalyKind::LevelShift,
            true => AnomalyKind::Spike,
        };
        let scope = &self.series.scope;
        let currency = self.series.currency;

        self.found.extend(open.incident.anomaly(
            Plane::Billed,
            kind,
            scope,
            currency,
            until.map(seconds),
        ));
    }

    /// The parts' cost before a day.
    fn usual(&self, day: i32) -> BTreeMap<String, Amount> {
        let window = day.saturating_sub(USUAL_DAYS)..day;
        let sum = |days: &BTreeMap<i32, Amount>| {
            days.range(window.clone()).map(|(_, amount)| *amount).sum()
        };

        self.series
            .parts
            .iter()
            .map(|(part, days)| (part.clone(), sum(days)))
            .collect()
    }

    /// Whether a similar amount was spent on the same day of the two previous weeks or months: a
    /// recurring charge.
    fn recurs(&self, day: i32, total: Amount) -> bool {
        let is_alike = |before: i32| is_about(self.total(before), total);
        let is_weekly = [7, 14].into_iter().all(|days| is_alike(day - days));
        let is_monthly = || {
            let Some(date) = day_of(day) else {
                return false;
            };
            let months =
                [1, 2].map(|months| months_before(date, months).map(crate::date::day_number));

            months
                .into_iter()
                .all(|day| day.is_some_and(|day| (day - 1..=day + 1).any(is_alike)))
        };

        is_weekly || is_monthly()
    }

    /// Whether similar rises were reported often enough recently.
    fn is_habit(&self, day: i32, total: Amount) -> bool {
        let since = seconds(day.saturating_sub(HABIT_DAYS));
        let alike = |anomaly: &&Anomaly| {
            let is_rise = matches!(anomaly.kind, AnomalyKind::Spike | AnomalyKind::LevelShift);
            is_rise && anomaly.since.unix_timestamp() >= since && is_about(anomaly.actual, total)
        };

        self.found.iter().filter(alike).count() >= HABIT_TIMES
    }
}

/// Whether `before` is as much as `now`, or nearly.
fn is_about(before: Amount, now: Amount) -> bool {
    before.0.saturating_mul(6) >= now.0.saturating_mul(5)
}

/// A day's cost, or the nearest one that is unsurprising.
fn quiet(total: Amount, reading: &Reading) -> f64 {
    total
        .to_f64()
        .clamp(reading.low.min(reading.high), reading.high)
}

/// The same day so many months before, or the last one of a shorter month; the last day of a month
/// for the last of another.
fn months_before(date: Date, months: u8) -> Option<Date> {
    let mut first = date.replace_day(1).ok()?;
    for _ in 0..months {
        first = first.checked_sub(Duration::days(1))?.replace_day(1).ok()?;
    }

    let length = first.month().length(first.year());
    let is_last = date.day() == date.month().length(date.year());
    first
        .replace_day(if is_last {
            length
        } else {
            date.day().min(length)
        })
        .ok()
}

fn seconds(day: i32) -> i64 {
    i64::from(day) * i64::from(DAY_S)
}

#[cfg(test)]
mod tests;
