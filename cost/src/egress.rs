//! Egress cost by region pair and cause, and the cheapest way to replicate.

mod relay;
mod sources;

pub use relay::{FanOut, FanOutLimits, Hop, fan_out};
pub use sources::{ReplicationSource, source_tiers};

use crate::{
    cells::Period,
    date::iso_date,
    money::{Amount, Money, Totals},
    prices::{NoPrice, Price, PriceItem, Prices},
    regions::RegionMap,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    str::FromStr,
};
use time::Date;

/// Why bytes left a region. Its text, also in JSON, is `answers`, `other` or `replication:` and the
/// model.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema)]
#[schemars(with = "String")]
pub enum Cause {
    /// Copies of a model's chunks.
    Replication { model: String },
    /// Answers to users whose home is another region.
    AnswersAway,
    /// Anything else.
    Other,
}

/// A text that is not a cause.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a cause of egress; expected answers, other or replication:MODEL")]
pub struct CauseError(String);

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Replication { model } => write!(f, "replication:{model}"),
            Self::AnswersAway => f.write_str("answers"),
            Self::Other => f.write_str("other"),
        }
    }
}

impl FromStr for Cause {
    type Err = CauseError;

    fn from_str(text: &str) -> Result<Self, CauseError> {
        match (text, text.strip_prefix("replication:")) {
            (_, Some(model)) => Ok(Self::Replication {
                model: model.to_owned(),
            }),
            ("answers", _) => Ok(Self::AnswersAway),
            ("other", _) => Ok(Self::Other),
            _ => Err(CauseError(text.chars().take(80).collect())),
        }
    }
}

serde_as_text!(Cause);

/// Bytes that left a region on a day.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct EgressUsage {
    /// The day, UTC.
    #[serde(with = "iso_date")]
    pub day: Date,
    /// The region of the mesh that sent them.
    pub from: String,
    /// The region of the mesh that received them; `None` if they went out to the internet, as
    /// answers to users do.
    pub to: Option<String>,
    pub cause: Cause,
    pub bytes: u64,
}

/// Egress cost of a region pair and cause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EgressLine {
    /// The region of the mesh that sent them.
    pub from: String,
    /// The region of the mesh that received them; null for users and others on the internet.
    pub to: Option<String>,
    pub cause: Cause,
    /// How many bytes, including those without a price.
    pub bytes: u64,
    /// Those of them that have no price.
    pub unpriced_bytes: u64,
    /// What the others cost, by currency.
    pub cost: Totals,
}

/// Egress cost by region pair and cause.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EgressReport {
    /// Sorted by sender, receiver and cause.
    pub lines: Vec<EgressLine>,
    /// The sum of the lines.
    pub totals: Totals,
    /// Prices that are missing; their bytes are in the lines as unpriced.
    pub missing: Vec<NoPrice>,
}

/// The price per 10^9 bytes from one region of the mesh to another, or to the internet; the first
/// tier's.
pub fn price_per_gb(
    prices: &Prices,
    regions: &RegionMap,
    day: Date,
    from: &str,
    to: Option<&str>,
) -> Result<Money, NoPrice> {
    let price = price_between(prices, regions, day, from, to)?;
    price.per_gb().ok_or_else(|| NoPrice::Item {
        item: price.item.clone(),
        day,
    })
}

fn price_between<'a>(
    prices: &'a Prices,
    regions: &RegionMap,
    day: Date,
    from: &str,
    to: Option<&str>,
) -> Result<&'a Price, NoPrice> {
    let billed = |region: &str| {
        regions.billing_of(region).ok_or_else(|| NoPrice::Region {
            region: region.to_owned(),
        })
    };
    let to = to.map(billed).transpose()?;

    prices.egress(day, billed(from)?, to)
}

type Pair<'a> = (&'a str, Option<&'a str>, &'a Cause);
type PricedPairs<'a, 'p> = BTreeMap<&'p PriceItem, (&'p Price, Vec<(Pair<'a>, u64)>)>;

/// Prices the bytes that were sent from `start` to `end`, both included, each day at the price of
/// that day. Tiers count from the start of the month, per sending region and price: give the usage
/// from the first of `start`'s month on, in any order. Reports of parts of a time add up exactly to
/// the report of the whole.
pub fn egress_report(
    usage: &[EgressUsage],
    (start, end): (Date, Date),
    prices: &Prices,
    regions: &RegionMap,
) -> EgressReport {
    let mut by_day: BTreeMap<(Date, &str), BTreeMap<Pair<'_>, u64>> = BTreeMap::new();
    let first = start.replace_day(1).unwrap_or(start);
    for sent in usage
        .iter()
        .filter(|sent| (first..=end).contains(&sent.day) && sent.bytes > 0)
    {
        let pair = (sent.from.as_str(), sent.to.as_deref(), &sent.cause);
        let bytes = by_day
            .entry((sent.day, &sent.from))
            .or_default()
            .entry(pair)
            .or_default();

        *bytes = bytes.saturating_add(sent.bytes);
    }

    let mut report = Report::default();
    // Bytes of the month so far by sender and price.
    let mut sent_before: BTreeMap<(Period, &str, &PriceItem), u64> = BTreeMap::new();

    for ((day, from), pairs) in by_day {
        let is_reported = day >= start;
        let mut by_price = PricedPairs::new();
        for (pair, bytes) in pairs {
            match price_between(prices, regions, day, from, pair.1) {
                Ok(price) => by_price
                    .entry(&price.item)
                    .or_insert((price, Vec::new()))
                    .1
                    .push((pair, bytes)),
                Err(missing) if is_reported => report.add_unpriced(pair, bytes, missing),
                Err(_) => {}
            }
        }

        for (item, (price, pairs)) in by_price {
            let sum = pairs
                .iter()
                .fold(0u64, |sum, (_, bytes)| sum.saturating_add(*bytes));
            let before = sent_before
                .entry((Period::of(day), from, item))
                .or_default();
            let after = before.saturating_add(sum);

            if is_reported {
                report.add(&pairs, price.cost(*before, after));
            }
            *before = after;
        }
    }

    report.finish()
}

/// A report in the making.
#[derive(Default)]
struct Report<'a> {
    lines: BTreeMap<Pair<'a>, EgressLine>,
    missing: BTreeSet<NoPrice>,
}

impl<'a> Report<'a> {
    fn line(&mut self, pair: Pair<'a>, bytes: u64) -> &mut EgressLine {
        let (from, to, cause) = pair;
        let line = self.lines.entry(pair).or_insert_with(|| EgressLine {
            from: from.to_owned(),
            to: to.map(str::to_owned),
            cause: cause.clone(),
            bytes: 0,
            unpriced_bytes: 0,
            cost: Totals::default(),
        });

        line.bytes = line.bytes.saturating_add(bytes);
        line
    }

    /// Divides what a day's bytes cost among those who sent them.
    fn add(&mut self, pairs: &[(Pair<'a>, u64)], cost: Money) {
        let weights: Vec<u64> = pairs.iter().map(|(_, bytes)| *bytes).collect();
        let parts: Vec<Amount> = cost.amount.split(&weights);
        for ((pair, bytes), amount) in pairs.iter().zip(parts) {
            self.line(*pair, *bytes).cost.add(Money {
                amount,
                currency: cost.currency,
            });
        }
    }

    fn add_unpriced(&mut self, pair: Pair<'a>, bytes: u64, missing: NoPrice) {
        let line = self.line(pair, bytes);
        line.unpriced_bytes = line.unpriced_bytes.saturating_add(bytes);
        self.missing.insert(missing);
    }

    fn finish(self) -> EgressReport {
        let lines: Vec<EgressLine> = self.lines.into_values().collect();
        let mut totals = Totals::default();
        for (currency, amount) in lines.iter().flat_map(|line| &line.cost.0) {
            totals.add(Money {
                amount: *amount,
                currency: *currency,
            });
        }

        EgressReport {
            lines,
            totals,
            missing: self.missing.into_iter().collect(),
        }
    }
}

#[cfg(test)]
mod tests;
