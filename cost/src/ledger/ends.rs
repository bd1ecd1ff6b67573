//! Ends of daily cost series: the cost of days that a bill doesn't cover yet is unknown, not zero.

use super::{ENDED_DAYS, Ledger, StoredPart};
use crate::date::{day_number, day_of};
use std::collections::{BTreeMap, BTreeSet};
use time::Date;

/// The least step between charges of a source that charges occasionally, days.
const SPARSE_DAYS: i32 = 7;

/// The newest day that each source reaches with its usage and that still delivers, as numbers
/// ([`day_number`]). A source has ended, and its later days cost nothing, once others are 45 days
/// ahead of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BillEnds(BTreeMap<String, i32>);

impl BillEnds {
    /// The end of a series of these sources: the last day that all of them reach. Ended sources
    /// don't count; a series of only those ends with all others. `None` without bills.
    pub fn of<'a>(&self, sources: impl IntoIterator<Item = &'a str>) -> Option<i32> {
        let own = sources
            .into_iter()
            .filter_map(|source| self.0.get(source))
            .min();
        own.or_else(|| self.0.values().min()).copied()
    }
}

/// The days of charges of each source.
type Days<'a> = BTreeMap<&'a str, BTreeSet<i32>>;

impl Ledger {
    /// The ends of bills on `today`. Purchases, credits and taxes may be dated ahead: only bills
    /// without any usage end with those.
    pub fn ends(&self, today: Date) -> BillEnds {
        let days = self.delivered(today);
        let today = day_number(today);
        let mut ends: BTreeMap<String, i32> = days
            .into_iter()
            .filter_map(|(source, days)| Some((source.to_owned(), reach(&days)?.min(today))))
            .collect();
        let last = ends.values().max().copied();

        ends.retain(|_, end| last.is_some_and(|last| last.saturating_sub(*end) <= ENDED_DAYS));
        BillEnds(ends)
    }

    /// The last day that is complete in every source that had not ended by `end`. If all had ended,
    /// the last one that is complete in any.
    pub fn final_day(&self, end: Date) -> Option<Date> {
        let sources = self.sources();
        let days = self.delivered(end);
        let final_days = days.iter().filter_map(|(source, days)| {
            let state = sources.get(source).filter(|state| !state.has_ended(end))?;
            // A source that charges occasionally lacks nothing between its charges.
            let between = reach(days)
                .filter(|reach| days.last() < Some(reach))
                .and_then(day_of);

            // A new one lacks nothing before its first charge.
            between
                .max(state.complete_day)
                .or_else(|| state.first_day?.previous_day())
        });

        final_days.min().or_else(|| {
            sources
                .values()
                .filter_map(|state| state.complete_day)
                .max()
        })
    }

    /// The bills of each source by themselves.
    pub fn by_source(&self) -> BTreeMap<&str, Self> {
        let mut found: BTreeMap<&str, Self> = BTreeMap::new();
        for (key, part) in &self.parts {
            found
                .entry(&key.0)
                .or_default()
                .parts
                .insert(key.clone(), part.clone());
        }

        found
    }

    /// The days with usage of each source, up to a day; those with any charge where no source has
    /// usage.
    fn delivered(&self, until: Date) -> Days<'_> {
        let usage = self.days_by_source(day_number(until), |part| &part.usage_days);
        if usage.is_empty() {
            self.days_by_source(day_number(until), |part| &part.days)
        } else {
            usage
        }
    }

    fn days_by_source(&self, until: i32, of: fn(&StoredPart) -> &[i32]) -> Days<'_> {
        let mut found = Days::new();
        for part in self.parts.values() {
            let days = of(part).iter().copied().filter(|day| *day <= until);
            found.entry(part.source()).or_default().extend(days);
        }

        found.retain(|_, days| !days.is_empty());
        found
    }
}

/// The newest day; of a source that charges once a week or less often, as for a subscription, the
/// day before its next charge. The lower quartile of the steps between its charges counts: one may
/// be missing.
fn reach(days: &BTreeSet<i32>) -> Option<i32> {
    let mut steps: Vec<i32> = days
        .iter()
        .zip(days.iter().skip(1))
        .map(|(day, next)| next - day)
        .collect();

    steps.sort_unstable();
    let step = steps
        .get(steps.len() / 4)
        .filter(|step| **step >= SPARSE_DAYS)
        .copied()
        .unwrap_or(1);

    days.last().map(|last| last.saturating_add(step - 1))
}
