//! Live cost: prices × running capacity, integrated over time, and our own counters of requests,
//! busy time and bytes. Live cost is seconds old; bills are days old.

mod counters;
mod day;
mod peaks;
mod reconcile;
mod window;

use crate::{
    cells::PricingClass,
    date::{DAY_MS, date_at, day_number, day_of},
    egress::Cause,
    money::{Money, Totals},
    prices::{HOURS_PER_MONTH, NoPrice, Prices, Unit},
    regions::{CloudRegion, RegionMap},
};
use counters::SourceState;
pub use counters::{Counters, EgressCounter, ModelCounters, SourceCounters};
use day::{DayMeter, ENTRIES_MAX};
use peaks::Quarter;
pub use reconcile::{DailyTotals, Reconciliation, reconcile};
use regionmesh_protocol::codec::{self, CodecError};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use time::Date;
pub use window::{LiveModel, LiveRegion, LiveWindow};

/// Days that are kept: those of this month and those that a late bill is compared with.
const RETENTION_DAYS: i32 = 62;
/// The name for everything beyond the limits.
const OTHER: &str = "(other)";

/// The inputs of pricing.
#[derive(Debug, Clone, Copy)]
pub struct Pricing<'a> {
    pub prices: &'a Prices,
    /// The billing regions of the mesh.
    pub regions: &'a RegionMap,
}

/// A region's capacity.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegionCapacity {
    pub nodes: Vec<NodeGroup>,
    /// Stored bytes.
    pub stored: Vec<StoredBytes>,
    /// Inferences that it can run concurrently.
    pub places: u32,
}

/// Nodes of one type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeGroup {
    /// The instance type.
    pub sku: String,
    /// On demand, spot or committed.
    pub pricing: PricingClass,
    pub count: u32,
}

/// Bytes of one class of storage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredBytes {
    /// The class: `standard`.
    pub class: String,
    pub bytes: u64,
}

/// A region's hourly cost.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HourlyRate {
    /// The cost of priced items.
    pub totals: Totals,
    /// Items without a price.
    pub missing: Vec<NoPrice>,
}

/// Hourly cost of a capacity at a day's prices. A month has 730 hours.
pub fn hourly_rate(
    region: &str,
    capacity: &RegionCapacity,
    day: Date,
    pricing: Pricing<'_>,
) -> HourlyRate {
    let mut rate = HourlyRate::default();
    let Some(at) = pricing.regions.billing_of(region) else {
        if !capacity.nodes.is_empty() || !capacity.stored.is_empty() {
            rate.missing.push(NoPrice::Region {
                region: region.to_owned(),
            });
        }

        return rate;
    };

    for group in capacity.nodes.iter().filter(|group| group.count > 0) {
        match node_rate(at, group, day, pricing) {
            Ok(money) => rate.totals.add(money),
            Err(missing) => rate.missing.push(missing),
        }
    }

    for stored in capacity.stored.iter().filter(|stored| stored.bytes > 0) {
        match pricing.prices.storage(day, at, &stored.class) {
            Ok(price) => {
                let month = price.cost(0, stored.bytes);
                let amount = month
                    .amount
                    .share(1, HOURS_PER_MONTH.into())
                    .unwrap_or_default();

                rate.totals.add(Money { amount, ..month });
            }
            Err(missing) => rate.missing.push(missing),
        }
    }

    rate
}

fn node_rate(
    at: &CloudRegion,
    group: &NodeGroup,
    day: Date,
    pricing: Pricing<'_>,
) -> Result<Money, NoPrice> {
    let price = pricing.prices.node(day, at, &group.sku, group.pricing)?;
    Ok(price.cost(0, u64::from(group.count) * Unit::Hour.size()))
}

/// Integrates rates over time. Its state survives restarts ([`LiveMeter::encode`]).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveMeter {
    /// Longest time between two observations that is counted as cost, milliseconds; longer ones are
    /// unknown.
    gap_max_ms: u64,
    regions: BTreeMap<String, RegionMeter>,
}

/// Why stored state can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LiveStateError {
    /// Not an encoding of a meter, or too much of it.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// A day beyond the calendar, or more than a meter keeps.
    #[error("corrupt live cost state: {0}; live cost restarts from zero")]
    Shape(&'static str),
}

/// A region's meter.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct RegionMeter {
    /// Up to when time is counted, Unix milliseconds, and what has run since; none before the first
    /// observation.
    last: Option<(u64, RegionCapacity)>,
    /// The last counters of each source.
    sources: BTreeMap<String, SourceState>,
    days: BTreeMap<i32, DayMeter>,
    /// Counts of the current quarter-hour.
    quarter: Quarter,
}

impl LiveMeter {
    /// An empty meter. `gap_max_ms`: the longest time between two observations of a region that is
    /// counted as cost, a few times the interval between them.
    pub fn new(gap_max_ms: u64) -> Self {
        Self {
            gap_max_ms,
            regions: BTreeMap::new(),
        }
    }

    /// Takes in what runs in a region at `now_ms` (Unix milliseconds) and what its agents have
    /// counted. The time since the last observation is charged for the capacity seen then, each day
    /// at its prices. A clock that steps back by less than the longest gap stops the count until it
    /// has caught up; one that steps back further starts it again from there.
    pub fn observe(
        &mut self,
        region: &str,
        now_ms: u64,
        capacity: RegionCapacity,
        sources: &[SourceCounters<'_>],
        pricing: Pricing<'_>,
    ) {
        if !self.regions.contains_key(region) && self.regions.len() >= ENTRIES_MAX {
            return;
        }

        let Some(today) = date_at(now_ms).map(day_number) else {
            return;
        };
        let gap_max_ms = self.gap_max_ms;
        let meter = self.regions.entry(region.to_owned()).or_default();
        let last_ms = meter.last.as_ref().map(|(last_ms, _)| *last_ms);
        let counted_to_ms = match meter.last.take() {
            Some((last_ms, _)) if now_ms < last_ms && last_ms - now_ms <= gap_max_ms => last_ms,
            Some((last_ms, running)) if now_ms >= last_ms => {
                let is_known = now_ms - last_ms <= gap_max_ms;
                meter.charge(region, (last_ms, now_ms), &running, is_known, pricing);
                now_ms
            }
            _ => now_ms,
        };

        meter.last = Some((counted_to_ms, capacity));
        // Requests in a gap can't be assigned to a quarter-hour.
        let is_steady = last_ms.is_some_and(|last_ms| now_ms.saturating_sub(last_ms) <= gap_max_ms);
        meter.quarter.roll(now_ms, &mut meter.days);
        meter.count(today, last_ms, is_steady, sources);

        // Twice as many as are needed: a clock that was far ahead for a while makes days that push
        // out old ones.
        while meter.days.len() > 2 * RETENTION_DAYS as usize {
            meter.days.pop_first();
        }
    }

    /// Encodes the state, to survive a restart.
    pub fn encode(&self) -> Result<Vec<u8>, LiveStateError> {
        Ok(codec::encode_document(self)?)
    }

    /// Decodes the state. `gap_max_ms` as for [`LiveMeter::new`].
    pub fn decode(bytes: &[u8], gap_max_ms: u64) -> Result<Self, LiveStateError> {
        let meter: Self = codec::decode_document(bytes)?;
        let days = || meter.regions.values().flat_map(|region| &region.days);
        if days().any(|(day, _)| day_of(*day).is_none()) {
            return Err(LiveStateError::Shape("a day beyond the calendar"));
        }

        let is_too_much = |region: &RegionMeter| region.days.len() > 2 * RETENTION_DAYS as usize;
        if meter.regions.len() > ENTRIES_MAX || meter.regions.values().any(is_too_much) {
            return Err(LiveStateError::Shape("more regions or days than are kept"));
        }

        Ok(Self {
            gap_max_ms,
            ..meter
        })
    }
}

impl RegionMeter {
    /// Charges the time from `from_ms` to `to_ms` for what ran, day by day.
    fn charge(
        &mut self,
        region: &str,
        (from_ms, to_ms): (u64, u64),
        running: &RegionCapacity,
        is_known: bool,
        pricing: Pricing<'_>,
    ) {
        // Of a long gap only retained days matter.
        let mut start_ms = from_ms.max(to_ms.saturating_sub(RETENTION_DAYS as u64 * DAY_MS));
        while start_ms < to_ms {
            let end_ms = to_ms.min((start_ms / DAY_MS + 1) * DAY_MS);
            let Some(date) = date_at(start_ms) else {
                return;
            };
            let day = self.days.entry(day_number(date)).or_default();
            let part_ms = end_ms - start_ms;

            start_ms = end_ms;
            if !is_known {
                day.unknown_ms = day.unknown_ms.saturating_add(part_ms);
                continue;
            }

            let rate = hourly_rate(region, running, date, pricing);
            for (currency, amount) in &rate.totals.0 {
                let sum = day.rate_ms.entry(*currency).or_default();
                *sum = sum.saturating_add(amount.0.saturating_mul(part_ms.into()));
            }

            day.known_ms = day.known_ms.saturating_add(part_ms);
            day.place_ms = day
                .place_ms
                .saturating_add(part_ms.saturating_mul(running.places.into()));
            if !rate.missing.is_empty() {
                day.unpriced_ms = day.unpriced_ms.saturating_add(part_ms);
            }
        }
    }

    /// Adds what the sources have counted since they were last seen to a day.
    fn count(
        &mut self,
        today: i32,
        last_ms: Option<u64>,
        is_steady: bool,
        sources: &[SourceCounters<'_>],
    ) {
        let day = self.days.entry(today).or_default();
        let mut seen = BTreeMap::new();
        for source in sources.iter().take(ENTRIES_MAX) {
            let known = self.sources.get(source.source);
            let growth = source.growth(known, last_ms);
            for (model, counted) in growth.models {
                let name = key_or_other(&day.models, &model, || OTHER.to_owned()).unwrap_or(model);
                if is_steady {
                    self.quarter.add(&name, counted.requests);
                }
                day.models.entry(name).or_default().add(counted);
            }

            for EgressCounter { to, cause, bytes } in growth.egress {
                let pair = (to, cause);
                let pair =
                    key_or_other(&day.egress, &pair, || (None, Cause::Other)).unwrap_or(pair);
                let sum = day.egress.entry(pair).or_default();
                *sum = sum.saturating_add(bytes);
            }

            seen.insert(source.source.to_owned(), source.state());
        }

        // A source that is gone comes back as a new one.
        self.sources = seen;
    }
}

/// The substitute for a new key in a full map; `None` if the map has room or the key.
fn key_or_other<K: Ord, V>(map: &BTreeMap<K, V>, key: &K, other: impl FnOnce() -> K) -> Option<K> {
    (map.len() >= ENTRIES_MAX && !map.contains_key(key)).then(other)
}

#[cfg(test)]
mod tests;
