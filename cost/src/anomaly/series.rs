//! Daily costs by scope and part, from cells.

use super::Scope;
use crate::{
    cells::{ChargeKind, Dimension, Metric},
    ledger::{BillEnds, Ledger},
    money::{Amount, Currency},
};
use std::collections::{BTreeMap, BTreeSet};

/// Costs by part and day.
type Parts = BTreeMap<String, BTreeMap<i32, Amount>>;

/// Costs of a scope per day (days since 1970), by a second dimension that says what the scope's
/// costs are made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BilledSeries {
    pub scope: Scope,
    pub currency: Currency,
    /// The last day that is known; later ones are ignored.
    pub last_day: i32,
    /// Costs by part and day. The cost of a day is the sum over the parts.
    pub parts: Parts,
}

impl BilledSeries {
    /// Costs per day.
    pub(super) fn totals(&self) -> BTreeMap<i32, Amount> {
        let mut totals = BTreeMap::new();
        for (day, amount) in self.parts.values().flatten() {
            *totals.entry(*day).or_insert(Amount::ZERO) += *amount;
        }
        totals
    }
}

/// The series of bills, one per value of `by` and currency, made of the values of `part`: effective
/// costs of usage. Credits, adjustments, taxes and purchases are left out, and so are cells below
/// zero: what was refunded was spent before. Each ends where its own sources do.
pub fn billed_series(
    ledger: &Ledger,
    ends: &BillEnds,
    by: Dimension,
    part: Dimension,
) -> Vec<BilledSeries> {
    let mut found: BTreeMap<(&str, Currency), (BTreeSet<&str>, Parts)> = BTreeMap::new();
    for stored in ledger.parts() {
        let cells = stored.cells();
        for index in 0..cells.len() {
            let amount = cells.sums(index).get(Metric::Effective);
            if cells.kind(index) != ChargeKind::Usage || amount <= Amount::ZERO {
                continue;
            }

            let (sources, parts) = found
                .entry((cells.text(by, index), cells.currency(index)))
                .or_default();
            sources.insert(stored.source());

            let part = cells.text(part, index);
            if !parts.contains_key(part) {
                parts.insert(part.to_owned(), BTreeMap::new());
            }

            if let Some(days) = parts.get_mut(part) {
                *days.entry(cells.day(index)).or_insert(Amount::ZERO) += amount;
            }
        }
    }

    let scope = |value: &str| Scope::from([(by.to_string(), value.to_owned())]);
    let series = |((value, currency), (sources, parts)): (_, (BTreeSet<&str>, _))| {
        Some(BilledSeries {
            scope: scope(value),
            currency,
            last_day: ends.of(sources)?,
            parts,
        })
    };

    found.into_iter().filter_map(series).collect()
}
