//! Day cells, the stored form of billing rows. A cell is the sum of all rows with the same day,
//! provider, account, region, zone, service, category, pricing class, kind of charge, currency and
//! chosen tags.
//!
//! Cells are stored in columns and each text once: a month of a large bill takes a few megabytes,
//! and a report reads only the columns that it groups by.

mod builder;
mod period;

use crate::{
    date::day_of,
    money::{Amount, Currency},
};
use regionmesh_protocol::codec::{self, CodecError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::{Display, IntoStaticStr};
use time::Date;

pub use builder::CellsBuilder;
pub use period::{Period, PeriodError};

/// The kind of a charge (FOCUS `ChargeCategory`).
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Display,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum ChargeKind {
    Usage,
    /// A purchase, such as a commitment.
    Purchase,
    Tax,
    Credit,
    /// A correction, a refund, a rounding.
    Adjustment,
}

/// A charge's pricing (FOCUS `PricingCategory` and `CommitmentDiscountStatus`).
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
#[derive(IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum PricingClass {
    /// At the usual price (`Standard`).
    OnDemand,
    /// At a variable price, for reclaimable capacity (`Dynamic`).
    Spot,
    /// Covered by a commitment (`Committed`).
    Committed,
    /// A commitment that was paid for and not used.
    Unused,
    /// Other or unspecified.
    Other,
}

impl PricingClass {
    /// Its name in reports and price files.
    pub(crate) fn as_str(self) -> &'static str {
        self.into()
    }
}

/// A cost metric.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
#[derive(IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum Metric {
    /// After discounts, commitments amortised (`EffectiveCost`).
    #[default]
    Effective,
    /// Invoiced cost (`BilledCost`).
    Billed,
    /// At list prices (`ListCost`), over usage alone: a purchase and the usage that it covers would
    /// count twice.
    List,
}

impl Metric {
    pub const ALL: [Self; 3] = [Self::Effective, Self::Billed, Self::List];

    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// The texts of a cell, in the order of the columns of [`Cells`].
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Display,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Dimension {
    /// `AWS`, `Microsoft`, `Google Cloud`.
    Provider,
    /// The account, subscription or project (`SubAccountId`), or else the billing account.
    Account,
    /// The provider's name of the region (`RegionId`): `us-west-2`, `europe-west1`.
    Region,
    /// The zone (`AvailabilityZone`).
    Zone,
    /// The service (`ServiceName`).
    Service,
    /// The kind of service (`ServiceCategory`): `Compute`.
    Category,
}

impl Dimension {
    /// All of them, in the order of the columns.
    pub const ALL: [Self; 6] = [
        Self::Provider,
        Self::Account,
        Self::Region,
        Self::Zone,
        Self::Service,
        Self::Category,
    ];
}

/// A cell's key, by reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CellKey<'a> {
    /// The day on which the charge's period begins, UTC.
    pub day: Date,
    pub kind: ChargeKind,
    pub pricing: PricingClass,
    pub currency: Currency,
    /// The texts, in the order of [`Dimension::ALL`]; empty if the row has none.
    pub texts: [&'a str; Dimension::ALL.len()],
    /// The values of the chosen tags, in the order of [`Cells::tag_keys`]; empty if the row has
    /// none.
    pub tags: &'a [&'a str],
}

/// A cell's sums.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sums {
    /// Sum of `EffectiveCost`.
    pub effective: Amount,
    /// Sum of `BilledCost`.
    pub billed: Amount,
    /// Sum of `ListCost` over usage.
    pub list: Amount,
    pub rows: u64,
}

impl Sums {
    pub fn get(&self, metric: Metric) -> Amount {
        match metric {
            Metric::Effective => self.effective,
            Metric::Billed => self.billed,
            Metric::List => self.list,
        }
    }
}

impl std::ops::AddAssign for Sums {
    fn add_assign(&mut self, other: Self) {
        self.effective += other.effective;
        self.billed += other.billed;
        self.list += other.list;
        self.rows = self.rows.saturating_add(other.rows);
    }
}

/// The cells of one source and billing month: what one import replaces.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cells {
    /// The tags that cells are kept apart by, sorted.
    pub tag_keys: Vec<String>,
    /// Each text once.
    texts: Vec<String>,
    /// Day of each cell, days since 1 January 1970.
    days: Vec<i32>,
    kinds: Vec<ChargeKind>,
    pricings: Vec<PricingClass>,
    currencies: Vec<Currency>,
    /// A column of indices into `texts` per dimension, then one per tag.
    columns: Vec<Vec<u32>>,
    effective: Vec<Amount>,
    billed: Vec<Amount>,
    list: Vec<Amount>,
    rows: Vec<u64>,
}

/// Why stored cells can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CellsError {
    /// Not an encoding of cells, or too much of it.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// Columns of different lengths, or an index beyond the table of texts.
    #[error("corrupt cells: {0}")]
    Shape(&'static str),
}

impl Cells {
    pub fn len(&self) -> usize {
        self.days.len()
    }

    pub fn is_empty(&self) -> bool {
        self.days.is_empty()
    }

    /// The day of cell `index`, as a number.
    pub fn day(&self, index: usize) -> i32 {
        self.days[index]
    }

    pub fn kind(&self, index: usize) -> ChargeKind {
        self.kinds[index]
    }

    pub fn pricing(&self, index: usize) -> PricingClass {
        self.pricings[index]
    }

    pub fn currency(&self, index: usize) -> Currency {
        self.currencies[index]
    }

    pub fn sums(&self, index: usize) -> Sums {
        let effective = self.effective[index];
        let billed = self.billed[index];
        let list = self.list[index];

        Sums {
            effective,
            billed,
            list,
            rows: self.rows[index],
        }
    }

    /// The table of texts that the columns point into.
    pub fn texts(&self) -> &[String] {
        &self.texts
    }

    /// Places in [`Cells::texts`], one per cell.
    pub fn column(&self, dimension: Dimension) -> &[u32] {
        &self.columns[dimension as usize]
    }

    /// Places in [`Cells::texts`], one per cell, of the values of a chosen tag; `None` if it was
    /// not chosen at the import.
    pub fn tag_column(&self, key: &str) -> Option<&[u32]> {
        let at = self.tag_keys.iter().position(|known| known == key)?;
        Some(&self.columns[Dimension::ALL.len() + at])
    }

    pub fn text(&self, dimension: Dimension, index: usize) -> &str {
        &self.texts[self.column(dimension)[index] as usize]
    }

    /// Encodes for storage.
    pub fn encode(&self) -> Result<Vec<u8>, CellsError> {
        Ok(codec::encode_document(self)?)
    }

    /// Decodes and checks untrusted bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, CellsError> {
        let cells: Self = codec::decode_document(bytes)?;
        cells.check()?;
        Ok(cells)
    }

    fn head(&self, index: usize) -> Head {
        (
            self.days[index],
            self.kinds[index],
            self.pricings[index],
            self.currencies[index],
        )
    }

    fn check(&self) -> Result<(), CellsError> {
        let count = self.days.len();
        let lengths = [
            self.kinds.len(),
            self.pricings.len(),
            self.currencies.len(),
            self.effective.len(),
            self.billed.len(),
            self.list.len(),
            self.rows.len(),
        ];

        if self.columns.len() != Dimension::ALL.len() + self.tag_keys.len() {
            return Err(CellsError::Shape(
                "a column per dimension and tag is expected",
            ));
        }

        if lengths
            .iter()
            .chain(self.columns.iter().map(Vec::len).collect::<Vec<_>>().iter())
            .any(|n| *n != count)
        {
            return Err(CellsError::Shape("columns of different lengths"));
        }

        if self
            .columns
            .iter()
            .flatten()
            .any(|place| *place as usize >= self.texts.len())
        {
            return Err(CellsError::Shape("an unknown text"));
        }

        if self.days.iter().any(|number| day_of(*number).is_none()) {
            return Err(CellsError::Shape("a day beyond the calendar"));
        }
        Ok(())
    }
}

/// A cell's day, kind, pricing class and currency.
type Head = (i32, ChargeKind, PricingClass, Currency);

#[cfg(test)]
mod tests;
