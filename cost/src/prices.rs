//! Prices by day: what an hour of a node, a gigabyte sent or stored and a request cost where, since
//! when, and the source.

mod builtin;
mod import;
mod placeholder;
mod records;
mod rejection;
mod table;

pub use import::{PriceDefaults, PriceFile, read_prices};
pub use records::PriceFileError;
pub use rejection::{RejectReason, RejectedPrice};
pub use table::{AppliedPrices, PriceTable, PriceTableError, Prices};

use crate::{
    cells::PricingClass,
    date::iso_date,
    money::{Amount, Currency, Money},
    regions::CloudRegion,
};
use serde::{Deserialize, Serialize};
use std::fmt;
use strum::{Display, IntoStaticStr, VariantArray};
use time::Date;

/// Hours of a month, by which providers turn a price per month into one per hour.
pub(crate) const HOURS_PER_MONTH: u32 = 730;
/// The largest price per unit that is read, whole units of its currency: sums over a month of it
/// still fit.
const PRICE_LIMIT: Amount = Amount(crate::money::ONE * 1_000_000_000);
/// Most tiers of a price.
const TIERS_LIMIT: usize = 32;

/// What has a price.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PriceItem {
    /// An hour of a node.
    Node {
        /// Its region; `aws:*` is any region without its own price.
        at: CloudRegion,
        /// The instance type, small letters: `g5.xlarge`, `e2-standard-4`, `nc4as_t4_v3`.
        sku: String,
        /// On demand, spot or committed.
        pricing: PricingClass,
    },
    /// A gigabyte sent.
    Egress {
        /// From where.
        from: CloudRegion,
        /// To where.
        to: Destination,
    },
    /// A gigabyte stored for a month.
    Storage {
        at: CloudRegion,
        /// The class of storage, small letters: `standard`.
        class: String,
    },
    Requests {
        at: CloudRegion,
        /// The class of requests, small letters. `inference` is what the path to a region's
        /// endpoint costs per request, a gateway for example.
        class: String,
    },
}

impl PriceItem {
    /// An hour of a node.
    pub fn node(at: &CloudRegion, sku: &str, pricing: PricingClass) -> Self {
        let sku = sku.trim().to_lowercase();
        let sku = sku
            .strip_prefix("standard_")
            .filter(|_| at.cloud() == "azure")
            .unwrap_or(&sku)
            .to_owned();

        Self::Node {
            at: at.clone(),
            sku,
            pricing,
        }
    }

    /// A gigabyte stored for a month.
    pub fn storage(at: &CloudRegion, class: &str) -> Self {
        Self::Storage {
            at: at.clone(),
            class: class.trim().to_lowercase(),
        }
    }

    pub fn requests(at: &CloudRegion, class: &str) -> Self {
        Self::Requests {
            at: at.clone(),
            class: class.trim().to_lowercase(),
        }
    }

    /// The same as its constructors write it, wherever it comes from.
    fn normalised(self) -> Self {
        match self {
            Self::Node { at, sku, pricing } => Self::node(&at, &sku, pricing),
            Self::Storage { at, class } => Self::storage(&at, &class),
            Self::Requests { at, class } => Self::requests(&at, &class),
            Self::Egress { .. } => self,
        }
    }
}

impl fmt::Display for PriceItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node { at, sku, pricing } => {
                write!(f, "node {sku} {} in {at}", pricing.as_str())
            }
            Self::Egress { from, to } => write!(f, "egress {from} to {to}"),
            Self::Storage { at, class } => write!(f, "storage {class} in {at}"),
            Self::Requests { at, class } => write!(f, "requests {class} in {at}"),
        }
    }
}

/// Destination of bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Destination {
    /// The region that they come from.
    SameRegion,
    /// A region; `gcp:*` is any region of Google Cloud without a price of its own.
    Region(CloudRegion),
    /// Anywhere outside the cloud that they come from, other clouds included.
    Internet,
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SameRegion => f.write_str("same-region"),
            Self::Region(region) => region.fmt(f),
            Self::Internet => f.write_str("internet"),
        }
    }
}

/// What a price is paid for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[derive(Display, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "kebab-case")]
pub enum Unit {
    Hour,
    /// 10^9 bytes.
    Gb,
    /// 2^30 bytes, which the large clouds bill as "GB".
    Gib,
    /// 10^9 bytes for a month.
    GbMonth,
    /// 2^30 bytes for a month.
    GibMonth,
    #[serde(rename = "1000-requests")]
    #[strum(serialize = "1000-requests")]
    ThousandRequests,
    #[serde(rename = "1000000-requests")]
    #[strum(serialize = "1000000-requests")]
    MillionRequests,
}

impl Unit {
    /// Bytes, requests or hours in the unit.
    pub fn size(self) -> u64 {
        match self {
            Self::Hour => 1,
            Self::Gb | Self::GbMonth => 1_000_000_000,
            Self::Gib | Self::GibMonth => 1 << 30,
            Self::ThousandRequests => 1_000,
            Self::MillionRequests => 1_000_000,
        }
    }

    /// Whether the unit is one of those that the item is paid by.
    fn fits(self, item: &PriceItem) -> bool {
        match item {
            PriceItem::Node { .. } => self == Self::Hour,
            PriceItem::Egress { .. } => matches!(self, Self::Gb | Self::Gib),
            PriceItem::Storage { .. } => matches!(self, Self::GbMonth | Self::GibMonth),
            PriceItem::Requests { .. } => {
                matches!(self, Self::ThousandRequests | Self::MillionRequests)
            }
        }
    }
}

/// The price of a part of a month's quantity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tier {
    /// End of the tier, in units from the start of the month; `None` for the last one.
    pub up_to: Option<u64>,
    /// The price per unit.
    pub amount: Amount,
}

/// A price, from a day on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Price {
    pub item: PriceItem,
    /// The first day on which it holds, UTC.
    #[serde(with = "iso_date")]
    pub valid_from: Date,
    pub currency: Currency,
    /// What it is paid for.
    pub unit: Unit,
    /// At least one, by ascending end; the last one has none.
    pub tiers: Vec<Tier>,
    /// The accelerators of a node: `1x T4`.
    pub gpu: Option<String>,
    /// Where the price comes from.
    pub source: String,
    /// When it was imported, Unix milliseconds; 0 for the built-in table.
    pub imported_ms: u64,
}

impl Price {
    /// The price of the first unit of a month.
    pub fn first(&self) -> Money {
        let amount = self.tiers.first().map_or(Amount::ZERO, |tier| tier.amount);
        Money {
            amount,
            currency: self.currency,
        }
    }

    /// The first price per 10^9 bytes, whichever unit it is paid by; `None` if it is not paid by
    /// bytes.
    pub(crate) fn per_gb(&self) -> Option<Money> {
        let is_bytes = matches!(
            self.unit,
            Unit::Gb | Unit::Gib | Unit::GbMonth | Unit::GibMonth
        );
        let first = self.first();
        let amount = is_bytes
            .then(|| first.amount.share(Unit::Gb.size(), self.unit.size()))
            .flatten()?;

        Some(Money {
            amount,
            currency: self.currency,
        })
    }

    /// What the part of a month's bytes or requests between `before` and `after` costs, through the
    /// tiers. Parts that follow each other cost exactly what they cost as one.
    pub fn cost(&self, before: u64, after: u64) -> Money {
        Money {
            amount: self.total(after) - self.total(before),
            currency: self.currency,
        }
    }

    /// What the first `quantity` bytes or requests of a month cost, rounded once.
    fn total(&self, quantity: u64) -> Amount {
        let size = self.unit.size();
        let mut whole = 0i128;
        let mut rest = 0i128;
        let mut start = 0u64;

        for tier in &self.tiers {
            let end = tier
                .up_to
                .map_or(u64::MAX, |units| units.saturating_mul(size))
                .min(quantity);
            let part = end.saturating_sub(start);

            whole = whole.saturating_add(tier.amount.0.saturating_mul(i128::from(part / size)));
            rest = rest.saturating_add(tier.amount.0.saturating_mul(i128::from(part % size)));
            start = start.max(end);
        }

        Amount(whole) + Amount(rest).share(1, size).unwrap_or_default()
    }

    /// Why a price from outside can't be used.
    fn check(&self) -> Result<(), &'static str> {
        let ends: Option<Vec<u64>> = self.tiers.split_last().and_then(|(last, others)| match last
            .up_to
        {
            None => others.iter().map(|tier| tier.up_to).collect(),
            Some(_) => None,
        });
        let Some(ends) = ends else {
            return Err("the last tier, and no other, has no end");
        };

        if ends.len() >= TIERS_LIMIT || !ends.is_sorted_by(|a, b| a < b) || ends.first() == Some(&0)
        {
            return Err("the tiers' ends do not ascend");
        }

        if self
            .tiers
            .iter()
            .any(|tier| tier.amount < Amount::ZERO || tier.amount > PRICE_LIMIT)
        {
            return Err("an amount is negative or too large");
        }

        if !self.unit.fits(&self.item) {
            return Err("the unit does not fit what is priced");
        }
        Ok(())
    }
}

/// An item without a price on a day. Reports list it.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, thiserror::Error,
)]
#[serde(rename_all = "kebab-case")]
pub enum NoPrice {
    /// No entry of the table is valid on that day.
    #[error("no price of {item} on {day}; import one with `regionmesh cost prices import`")]
    Item {
        item: PriceItem,
        /// On which day.
        #[serde(with = "iso_date")]
        day: Date,
    },
    /// A region of the mesh whose region in bills is not known.
    #[error("region {region:?} has no known billing region; set its billing_region")]
    Region {
        /// Its name in the mesh.
        region: String,
    },
}

#[cfg(test)]
mod tests;
