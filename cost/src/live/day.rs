//! A region's meter for a day.

use super::counters::ModelCounters;
use crate::{
    egress::Cause,
    money::{Amount, Currency, Money, Totals},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

pub(super) const HOUR_MS: u64 = 3_600_000;
/// Most regions of a mesh, and most models, pairs and sources of one region and day; the rest is
/// summed as `(other)`.
pub(super) const ENTRIES_MAX: usize = 1_024;

/// A region's meter for a day.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct DayMeter {
    /// Amount per hour × milliseconds, in units of 1e-15: divided by an hour only when it is read,
    /// so nothing drifts.
    pub(super) rate_ms: BTreeMap<Currency, i128>,
    /// Time that is counted.
    pub(super) known_ms: u64,
    /// Time between observations too far apart.
    pub(super) unknown_ms: u64,
    /// Counted time in which something that ran had no price.
    pub(super) unpriced_ms: u64,
    /// Places × milliseconds.
    pub(super) place_ms: u64,
    pub(super) models: BTreeMap<String, ModelCounters>,
    pub(super) egress: BTreeMap<(Option<String>, Cause), u64>,
    /// Requests of each model in its busiest quarter of an hour.
    pub(super) peaks: BTreeMap<String, u64>,
}

impl DayMeter {
    /// Cost of the capacity.
    pub(super) fn capacity(&self) -> Totals {
        let mut totals = Totals::default();
        for (currency, rate_ms) in &self.rate_ms {
            let amount = Amount(*rate_ms).share(1, HOUR_MS).unwrap_or_default();
            totals.add(Money {
                amount,
                currency: *currency,
            });
        }

        totals
    }
}
