//! A model's requests in its busiest quarter-hour, for capacity planning.

use super::day::{DayMeter, ENTRIES_MAX};
use crate::date::DAY_MS;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A quarter of an hour, milliseconds: long enough to smooth bursts between two observations, short
/// enough for a peak.
pub(super) const QUARTER_MS: u64 = 900_000;

/// The quarter of an hour that is being counted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Quarter {
    /// Its number since 1970.
    number: u64,
    /// Requests so far, by model.
    requests: BTreeMap<String, u64>,
}

impl Quarter {
    /// Adds the quarter to its day if it is over by `now_ms`, and begins the next.
    pub(super) fn roll(&mut self, now_ms: u64, days: &mut BTreeMap<i32, DayMeter>) {
        let number = now_ms / QUARTER_MS;
        if number == self.number {
            return;
        }

        let over = std::mem::replace(
            self,
            Self {
                number,
                requests: BTreeMap::new(),
            },
        );
        let day = i32::try_from(over.number * QUARTER_MS / DAY_MS).unwrap_or(i32::MAX);
        let Some(day) = days.get_mut(&day) else {
            return;
        };

        for (model, requests) in over.requests {
            let most = day.peaks.entry(model).or_default();
            *most = requests.max(*most);
        }
    }

    /// Adds requests that came since the last observation.
    pub(super) fn add(&mut self, model: &str, requests: u64) {
        if self.requests.contains_key(model) || self.requests.len() < ENTRIES_MAX {
            let sum = self.requests.entry(model.to_owned()).or_default();
            *sum = sum.saturating_add(requests);
        }
    }
}
