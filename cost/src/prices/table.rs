//! The table of prices: what was imported before what is built in, and of each the newest entry
//! that is valid on the day.

use super::{Destination, NoPrice, Price, PriceItem, builtin};
use crate::{cells::PricingClass, regions::CloudRegion};
use regionmesh_protocol::codec::{self, CodecError};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};
use time::Date;

/// Most prices of a table.
const PRICES_LIMIT: usize = 200_000;

/// Prices by what they are of and the day from which they hold. Its JSON is the list of prices.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Vec<Price>", try_from = "Vec<Price>")]
pub struct PriceTable {
    prices: BTreeMap<PriceItem, BTreeMap<Date, Price>>,
}

/// Why a stored table can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PriceTableError {
    /// Not an encoding of a table, or too much of it.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// A price that can't be used.
    #[error("the price of {item} can't be used: {reason}")]
    Price {
        item: PriceItem,
        /// Why not.
        reason: &'static str,
    },
    /// More prices than a table may have.
    #[error(
        "more than {PRICES_LIMIT} prices: import those of the regions and node types that the mesh \
            uses"
    )]
    TooMany,
}

/// What came of applying prices to a table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppliedPrices {
    /// Prices that were added.
    pub added: usize,
    /// Prices that were there already.
    pub unchanged: usize,
    /// Prices that took the place of others of the same day.
    pub replaced: usize,
    /// Prices that differ from those of the same day, which stay: a report must not change because
    /// a catalogue did.
    pub refused: Vec<Price>,
}

impl PriceTable {
    /// Adds prices. One that differs from a price of the same thing and day is refused unless
    /// `is_replacing`.
    pub fn apply(
        &mut self,
        prices: Vec<Price>,
        is_replacing: bool,
    ) -> Result<AppliedPrices, PriceTableError> {
        for price in &prices {
            price.check().map_err(|reason| PriceTableError::Price {
                item: price.item.clone(),
                reason,
            })?;
        }

        if self.len() + prices.len() > PRICES_LIMIT {
            return Err(PriceTableError::TooMany);
        }

        let mut applied = AppliedPrices::default();
        for mut price in prices {
            price.item = price.item.normalised();
            match self
                .prices
                .entry(price.item.clone())
                .or_default()
                .entry(price.valid_from)
            {
                Entry::Vacant(place) => {
                    applied.added += 1;
                    place.insert(price);
                }
                Entry::Occupied(there) if is_same(there.get(), &price) => applied.unchanged += 1,
                Entry::Occupied(_) if !is_replacing => applied.refused.push(price),
                Entry::Occupied(mut there) => {
                    applied.replaced += 1;
                    there.insert(price);
                }
            }
        }

        Ok(applied)
    }

    /// Adds what another agent knows. Of two prices of the same thing and day the later import
    /// wins: agents that have seen the same imports, in any order, have the same table.
    pub fn merge(&mut self, other: Self) {
        for (item, by_day) in other.prices {
            let here = self.prices.entry(item).or_default();
            for (day, price) in by_day {
                match here.entry(day) {
                    Entry::Vacant(place) => {
                        place.insert(price);
                    }
                    Entry::Occupied(mut there) if rank(&price) > rank(there.get()) => {
                        there.insert(price);
                    }
                    Entry::Occupied(_) => {}
                }
            }
        }
    }

    /// The newest price of something that is valid on a day.
    pub fn get(&self, item: &PriceItem, day: Date) -> Option<&Price> {
        Some(self.prices.get(item)?.range(..=day).next_back()?.1)
    }

    /// All prices, by what they are of and then by day.
    pub fn iter(&self) -> impl Iterator<Item = &Price> {
        self.prices.values().flat_map(BTreeMap::values)
    }

    /// How many prices there are.
    pub fn len(&self) -> usize {
        self.prices.values().map(BTreeMap::len).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.prices.is_empty()
    }

    /// The bytes that are kept in a bucket.
    pub fn encode(&self) -> Result<Vec<u8>, PriceTableError> {
        Ok(codec::encode_document(self)?)
    }

    /// Decodes and checks untrusted bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, PriceTableError> {
        Self::try_from(codec::decode_document::<Vec<Price>>(bytes)?)
    }
}

/// Whether two prices of the same thing and day are equal.
fn is_same(a: &Price, b: &Price) -> bool {
    a.currency == b.currency && a.unit == b.unit && a.tiers == b.tiers
}

/// A total order of the prices of one thing and day.
fn rank(price: &Price) -> impl Ord + '_ {
    let tiers: Vec<_> = price
        .tiers
        .iter()
        .map(|tier| (tier.up_to, tier.amount))
        .collect();

    (
        price.imported_ms,
        price.currency,
        price.unit,
        tiers,
        &price.gpu,
        &price.source,
    )
}

impl From<PriceTable> for Vec<Price> {
    fn from(table: PriceTable) -> Self {
        table
            .prices
            .into_values()
            .flat_map(BTreeMap::into_values)
            .collect()
    }
}

impl TryFrom<Vec<Price>> for PriceTable {
    type Error = PriceTableError;

    fn try_from(prices: Vec<Price>) -> Result<Self, PriceTableError> {
        let mut table = Self::default();
        table.apply(prices, true)?;
        Ok(table)
    }
}

/// The prices that reports and the live plane use: an imported price beats a built-in one, the
/// price of the region that of the whole cloud, the newer the older.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Prices {
    imported: PriceTable,
}

impl Prices {
    /// The built-in prices below these.
    pub fn new(imported: PriceTable) -> Self {
        Self { imported }
    }

    /// What was imported.
    pub fn imported(&self) -> &PriceTable {
        &self.imported
    }

    /// All prices that hold on a day.
    pub fn on(&self, day: Date) -> Vec<&Price> {
        let tables = [&self.imported, builtin::table()];
        let items: BTreeSet<&PriceItem> = tables
            .iter()
            .flat_map(|table| table.prices.keys())
            .collect();

        items
            .into_iter()
            .filter_map(|item| tables.iter().find_map(|table| table.get(item, day)))
            .collect()
    }

    /// The price of an hour of a node.
    pub fn node(
        &self,
        day: Date,
        at: &CloudRegion,
        sku: &str,
        pricing: PricingClass,
    ) -> Result<&Price, NoPrice> {
        let [here, anywhere] = [at, &at.any()].map(|at| PriceItem::node(at, sku, pricing));
        self.first(day, here, &[anywhere])
    }

    /// The price of storing a gigabyte for a month.
    pub fn storage(&self, day: Date, at: &CloudRegion, class: &str) -> Result<&Price, NoPrice> {
        let [here, anywhere] = [at, &at.any()].map(|at| PriceItem::storage(at, class));
        self.first(day, here, &[anywhere])
    }

    /// The price of requests.
    pub fn requests(&self, day: Date, at: &CloudRegion, class: &str) -> Result<&Price, NoPrice> {
        let [here, anywhere] = [at, &at.any()].map(|at| PriceItem::requests(at, class));
        self.first(day, here, &[anywhere])
    }

    /// The price of sending a gigabyte to a region, or to the internet without one. Another cloud
    /// is priced as internet if no price between the two is known; another region of the same cloud
    /// never is.
    pub fn egress(
        &self,
        day: Date,
        from: &CloudRegion,
        to: Option<&CloudRegion>,
    ) -> Result<&Price, NoPrice> {
        let mut destinations = Vec::new();
        if let Some(to) = to {
            destinations.push(Destination::Region(to.clone()));
            destinations.push(if to == from {
                Destination::SameRegion
            } else {
                Destination::Region(to.any())
            });
        }

        if to.is_none_or(|to| to.cloud() != from.cloud()) {
            destinations.push(Destination::Internet);
        }

        // Within a region no cloud is asked for: bytes that stay are free everywhere.
        let anywhere = (to == Some(from)).then(|| CloudRegion::new("*", "*"));
        let sources: Vec<CloudRegion> = [from.clone(), from.any()]
            .into_iter()
            .chain(anywhere)
            .collect();

        let item = |from: &CloudRegion, to: &Destination| PriceItem::Egress {
            from: from.clone(),
            to: to.clone(),
        };
        let items: Vec<_> = destinations
            .iter()
            .flat_map(|to| sources.iter().map(move |from| item(from, to)))
            .collect();
        let wanted = item(
            from,
            &to.map_or(Destination::Internet, |to| Destination::Region(to.clone())),
        );

        self.first(day, wanted, &items)
    }

    /// The price of `wanted`, or of the first of `others` that has one; imported prices first.
    fn first(&self, day: Date, wanted: PriceItem, others: &[PriceItem]) -> Result<&Price, NoPrice> {
        let found = [&self.imported, builtin::table()]
            .into_iter()
            .find_map(|table| {
                std::iter::once(&wanted)
                    .chain(others)
                    .find_map(|item| table.get(item, day))
            });

        found.ok_or(NoPrice::Item { item: wanted, day })
    }
}
