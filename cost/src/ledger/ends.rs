//! Where series of daily costs end: a day that a bill does not reach yet is unknown, not free.

use super::{ENDED_DAYS, Ledger, StoredPart};
use crate::date::{day_number, day_of};
use std::collections::BTreeMap;
use time::Date;

/// The newest day with usage of each source that still delivers, as numbers ([`day_number`]). A source has ended, and its
/// later days cost nothing, once others are 45 days ahead of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BillEnds(BTreeMap<String, i32>);

impl BillEnds {
    /// Where a series of these sources ends: on the last day that all of them reach. Those that have ended don't count; a
    /// series of those alone ends where all others do. None without bills.
    pub fn of<'a>(&self, sources: impl IntoIterator<Item = &'a str>) -> Option<i32> {
        let own = sources.into_iter().filter_map(|source| self.0.get(source)).min();
        own.or_else(|| self.0.values().min()).copied()
    }
}

impl StoredPart {
    /// The newest day with usage, up to `today`.
    fn usage_day(&self, today: i32) -> Option<i32> {
        let is_usage = |index: &usize| self.cells.kind(*index) == crate::ChargeKind::Usage;
        let mut days = (0..self.cells.len()).rev().filter(is_usage).map(|index| self.cells.day(index));
        days.find(|day| *day <= today)
    }

    /// The newest day with any charge, up to `today`.
    fn charge_day(&self, today: i32) -> Option<i32> {
        self.days.iter().rev().find(|day| **day <= today).copied()
    }
}

impl Ledger {
    /// Where bills end on `today`. Purchases, credits and taxes may be dated ahead: only bills without any usage end with
    /// those.
    pub fn ends(&self, today: Date) -> BillEnds {
        let newest = |of: fn(&StoredPart, i32) -> Option<i32>| {
            let mut ends: BTreeMap<String, i32> = BTreeMap::new();
            for part in self.parts.values() {
                let Some(day) = of(part, day_number(today)) else { continue };
                ends.entry(part.source().to_owned()).and_modify(|end| *end = day.max(*end)).or_insert(day);
            }
            ends
        };
        let mut ends = newest(StoredPart::usage_day);
        if ends.is_empty() {
            ends = newest(StoredPart::charge_day);
        }
        let last = ends.values().max().copied();
        ends.retain(|_, end| last.is_some_and(|last| last.saturating_sub(*end) <= ENDED_DAYS));
        BillEnds(ends)
    }

    /// The last day that is complete in every source that still delivers.
    pub fn complete_everywhere(&self, today: Date) -> Option<Date> {
        let (ends, sources) = (self.ends(today), self.sources());
        let complete = ends.0.iter().map(|(source, end)| {
            let state = sources.get(source.as_str())?;
            // Before its first day a bill without a complete day lacks nothing.
            let complete = state.complete_day.or_else(|| state.first_day?.previous_day())?;
            Some(complete.min(day_of(*end)?))
        });
        complete.min().flatten()
    }

    /// The bills of each source by themselves.
    pub fn by_source(&self) -> BTreeMap<&str, Self> {
        let mut found: BTreeMap<&str, Self> = BTreeMap::new();
        for (key, part) in &self.parts {
            found.entry(&key.0).or_default().parts.insert(key.clone(), part.clone());
        }
        found
    }
}
