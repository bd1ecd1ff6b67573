//! Anomalies of cost: spend that differs from what a series usually shows, on billed days and on
//! the live plane. Each has a start, an amount and contributors.

mod billed;
mod detector;
mod expectation;
mod explain;
mod incident;
mod live;
mod season;
mod series;
mod stream;

use crate::money::{Amount, Currency, Money};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use time::OffsetDateTime;

pub use billed::{BilledSettings, billed_anomalies};
pub use detector::{Detector, DetectorError, Reading, StreamKind};
pub use live::{LiveAnomalies, LiveChange};
pub use series::{BilledSeries, billed_series};

/// What a series covers, by dimension: `region` → `eu-west-1`.
pub type Scope = BTreeMap<String, String>;

/// The source of an anomaly's figures.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Plane {
    /// Days of a bill; rates are per day.
    Billed,
    /// Our own counters and prices; rates are per hour.
    Live,
}

/// The shape of an anomaly.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum AnomalyKind {
    /// Spend rose and has not lasted long enough to be a shift.
    Spike,
    /// Spend rose and stayed: 3 billed days, or 6 hours on the live plane.
    LevelShift,
    /// The first spend of a scope, while others had a history.
    New,
    /// Spend fell.
    Drop,
}

/// A part of an anomaly's excess.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Contributor {
    /// The value of the second dimension; `(other)` for all that are not named.
    pub part: String,
    /// Its share of the excess, negative where it fell.
    pub excess: Amount,
}

/// Spend that differs from what was expected, from when it began to when it ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Anomaly {
    /// From plane, scope, currency and start: the same on every agent and after every restart.
    pub id: String,
    /// The source of the figures.
    pub plane: Plane,
    /// Its shape so far.
    pub kind: AnomalyKind,
    /// The anomalous series.
    pub scope: Scope,
    /// The first day (midnight UTC) or minute.
    #[schemars(with = "String")]
    #[serde(with = "utc")]
    pub since: OffsetDateTime,
    /// The first day or minute after it; null while it lasts.
    #[schemars(with = "Option<String>")]
    #[serde(with = "utc_option")]
    pub until: Option<OffsetDateTime>,
    /// Lower end of what was expected at the peak, per day or hour.
    pub expected_low: Amount,
    /// Upper end of what was expected at the peak, per day or hour.
    pub expected_high: Amount,
    /// The value of the day or minute furthest from the expected one, per day or hour.
    pub actual: Amount,
    /// Actual less expected, summed over all of it so far; negative for a drop.
    pub excess: Money,
    /// Parts of the excess, largest first; they sum to it exactly.
    pub contributors: Vec<Contributor>,
}

/// The id of an anomaly that began then.
fn anomaly_id(plane: Plane, scope: &Scope, currency: Currency, since: OffsetDateTime) -> String {
    let plane = if plane == Plane::Billed {
        "billed"
    } else {
        "live"
    };
    let scope: Vec<String> = scope
        .iter()
        .map(|(dimension, value)| format!("{dimension}={value:?}"))
        .collect();

    format!(
        "{plane}:{}:{currency}:{}",
        scope.join(","),
        since.unix_timestamp()
    )
}

/// The amount nearest to a statistic; amounts beyond what money can hold become the largest one.
fn amount_of(value: f64) -> Amount {
    const LARGEST: f64 = 9.9e13;
    Amount::from_f64(value.clamp(-LARGEST, LARGEST)).unwrap_or_default()
}

/// Times as RFC 3339 texts.
mod utc {
    use serde::{Deserialize, Deserializer, Serializer, de, ser};
    use time::{OffsetDateTime, format_description::well_known::Rfc3339};

    pub(super) fn serialize<S: Serializer>(
        at: &OffsetDateTime,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&at.format(&Rfc3339).map_err(ser::Error::custom)?)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<OffsetDateTime, D::Error> {
        OffsetDateTime::parse(&String::deserialize(deserializer)?, &Rfc3339)
            .map_err(de::Error::custom)
    }
}

mod utc_option {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use time::OffsetDateTime;

    #[derive(Serialize, Deserialize)]
    struct Utc(#[serde(with = "super::utc")] OffsetDateTime);

    pub(super) fn serialize<S: Serializer>(
        at: &Option<OffsetDateTime>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        at.map(Utc).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<OffsetDateTime>, D::Error> {
        Ok(Option::<Utc>::deserialize(deserializer)?.map(|Utc(at)| at))
    }
}

#[cfg(test)]
mod tests;
