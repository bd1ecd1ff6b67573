//! An anomaly while it is being added up.

use super::{Anomaly, AnomalyKind, Plane, Scope, anomaly_id, explain::explain};
use crate::money::{Amount, Currency, Money};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use time::OffsetDateTime;

/// Costs of one point in time.
pub(super) struct Cost<'a> {
    /// Cost by part.
    pub(super) parts: &'a BTreeMap<String, Amount>,
    /// Expected total.
    pub(super) expected: Amount,
    /// The rate (per day or hour) and the range that was expected of it.
    pub(super) rate: Amount,
    pub(super) low: Amount,
    pub(super) high: Amount,
}

/// Sums since the first unusual point.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Incident {
    pub(super) since_s: i64,
    actual: BTreeMap<String, Amount>,
    expected: Amount,
    /// Costs by part before it began.
    usual: BTreeMap<String, Amount>,
    /// Rate and range of the point furthest from its range's middle.
    peak: Option<(Amount, Amount, Amount)>,
}

impl Incident {
    pub(super) fn new(since_s: i64, usual: BTreeMap<String, Amount>) -> Self {
        Self {
            since_s,
            usual,
            actual: BTreeMap::new(),
            expected: Amount::ZERO,
            peak: None,
        }
    }

    pub(super) fn add(&mut self, cost: &Cost<'_>) {
        for (part, amount) in cost.parts {
            *self.actual.entry(part.clone()).or_default() += *amount;
        }
        self.expected += cost.expected;

        let distance = |(rate, low, high): (Amount, Amount, Amount)| {
            ((rate - low) + (rate - high)).0.unsigned_abs()
        };
        let point = (cost.rate, cost.low, cost.high);

        if self
            .peak
            .is_none_or(|peak| distance(point) > distance(peak))
        {
            self.peak = Some(point);
        }
    }

    /// Actual less expected so far.
    pub(super) fn excess(&self) -> Amount {
        self.actual.values().copied().sum::<Amount>() - self.expected
    }

    /// The anomaly so far; `None` if its times are beyond the calendar.
    pub(super) fn anomaly(
        &self,
        plane: Plane,
        kind: AnomalyKind,
        scope: &Scope,
        currency: Currency,
        until_s: Option<i64>,
    ) -> Option<Anomaly> {
        let since = OffsetDateTime::from_unix_timestamp(self.since_s).ok()?;
        let until = match until_s {
            None => None,
            Some(until_s) => Some(OffsetDateTime::from_unix_timestamp(until_s).ok()?),
        };
        let (actual, expected_low, expected_high) = self.peak.unwrap_or_default();

        Some(Anomaly {
            id: anomaly_id(plane, scope, currency, since),
            plane,
            kind,
            scope: scope.clone(),
            since,
            until,
            expected_low,
            expected_high,
            actual,
            excess: Money {
                amount: self.excess(),
                currency,
            },
            contributors: explain(&self.actual, &self.usual, self.expected),
        })
    }
}
