//! Day cells: what is kept of billing rows. A cell is the sum of all rows that agree in day,
//! provider, account, region, zone, service, category, pricing class, kind of charge, currency and
//! chosen tags.
//!
//! Cells lie in columns, texts once in a table: a month of a large bill fits a few megabytes, and a
//! report reads only the columns that it groups by.

use crate::{
    date::{day_number, day_of},
    money::{Amount, Currency},
};
use hashbrown::{DefaultHashBuilder, HashTable};
use regionmesh_protocol::codec::{self, CodecError};
use serde::{Deserialize, Serialize};
use std::{
    fmt,
    hash::{BuildHasher, Hash, Hasher},
    str::FromStr,
};
use time::{Date, Month};

/// What a charge is for (FOCUS `ChargeCategory`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChargeKind {
    /// Something was used.
    Usage,
    /// Something was bought, a commitment for example.
    Purchase,
    /// A tax.
    Tax,
    /// A credit.
    Credit,
    /// A correction, a refund, a rounding.
    Adjustment,
}

/// How a charge is priced (FOCUS `PricingCategory` and `CommitmentDiscountStatus`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PricingClass {
    /// At the usual price (`Standard`).
    OnDemand,
    /// At a price that moves, capacity that may be taken away (`Dynamic`).
    Spot,
    /// Covered by a commitment (`Committed`).
    Committed,
    /// A commitment that was paid for and not used.
    Unused,
    /// None of these, or not said.
    Other,
}

/// Which cost is asked for.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Metric {
    /// After discounts, commitments amortised (`EffectiveCost`): what was spent.
    #[default]
    Effective,
    /// What is invoiced (`BilledCost`).
    Billed,
    /// At list prices (`ListCost`), over usage alone: a purchase and the usage that it covers would
    /// count twice.
    List,
}

impl Metric {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Effective, Self::Billed, Self::List];

    /// As it is written: `effective`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Effective => "effective",
            Self::Billed => "billed",
            Self::List => "list",
        }
    }
}

/// The texts of a cell, in the order of the columns of [`Cells`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dimension {
    /// `AWS`, `Microsoft`, `Google Cloud`.
    Provider,
    /// The account, subscription or project (`SubAccountId`), or the billing account where there is
    /// none.
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

/// A billing month.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Period {
    /// The year.
    pub year: i32,
    /// The month.
    pub month: Month,
}

/// A text that is no month.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no month: write it as 2026-09")]
pub struct PeriodError(String);

impl Period {
    /// The month of a day.
    pub fn of(day: Date) -> Self {
        Self {
            year: day.year(),
            month: day.month(),
        }
    }

    /// The next month.
    #[must_use]
    pub fn next(self) -> Self {
        let year = if self.month == Month::December {
            self.year.saturating_add(1)
        } else {
            self.year
        };

        Self {
            year,
            month: self.month.next(),
        }
    }

    /// The number of its days.
    pub fn days(self) -> u8 {
        self.month.length(self.year)
    }
}

impl FromStr for Period {
    type Err = PeriodError;

    fn from_str(text: &str) -> Result<Self, PeriodError> {
        let parse = || {
            let (year, month) = text.split_once('-')?;
            let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
            let is_written =
                year.len() == 4 && month.len() == 2 && is_digits(year) && is_digits(month);
            let month = Month::try_from(month.parse::<u8>().ok()?).ok()?;

            is_written.then_some(Self {
                year: year.parse().ok()?,
                month,
            })
        };

        parse().ok_or_else(|| PeriodError(text.chars().take(40).collect()))
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.year, u8::from(self.month))
    }
}

impl Serialize for Period {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// What a cell sums up, by reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CellKey<'a> {
    /// The day on which the charge's period begins, UTC.
    pub day: Date,
    /// What it is for.
    pub kind: ChargeKind,
    /// How it is priced.
    pub pricing: PricingClass,
    /// The currency of its amounts.
    pub currency: Currency,
    /// The texts, in the order of [`Dimension::ALL`]; empty where the row has none.
    pub texts: [&'a str; Dimension::ALL.len()],
    /// The values of the chosen tags, in the order of [`Cells::tag_keys`]; empty where the row has
    /// none.
    pub tags: &'a [&'a str],
}

/// What a cell holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sums {
    /// Sum of `EffectiveCost`.
    pub effective: Amount,
    /// Sum of `BilledCost`.
    pub billed: Amount,
    /// Sum of `ListCost` over usage.
    pub list: Amount,
    /// Rows.
    pub rows: u64,
}

impl Sums {
    /// One of the sums.
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
    /// A column per dimension and then one per tag: where the text stands in `texts`.
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
    /// Columns of different lengths, or a place in the table of texts that is not there.
    #[error("the cells contradict themselves: {0}")]
    Shape(&'static str),
}

impl Cells {
    /// How many cells there are.
    pub fn len(&self) -> usize {
        self.days.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.days.is_empty()
    }

    /// The day of cell `index`, as a number ([`day_number`]).
    pub fn day(&self, index: usize) -> i32 {
        self.days[index]
    }

    /// What cell `index` is for.
    pub fn kind(&self, index: usize) -> ChargeKind {
        self.kinds[index]
    }

    /// How cell `index` is priced.
    pub fn pricing(&self, index: usize) -> PricingClass {
        self.pricings[index]
    }

    /// The currency of cell `index`.
    pub fn currency(&self, index: usize) -> Currency {
        self.currencies[index]
    }

    /// The sums of cell `index`.
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

    /// Places in [`Cells::texts`], one per cell, of the values of a chosen tag; none where it was
    /// not chosen at the import.
    pub fn tag_column(&self, key: &str) -> Option<&[u32]> {
        let at = self.tag_keys.iter().position(|known| known == key)?;
        Some(&self.columns[Dimension::ALL.len() + at])
    }

    /// A text of cell `index`.
    pub fn text(&self, dimension: Dimension, index: usize) -> &str {
        &self.texts[self.column(dimension)[index] as usize]
    }

    /// The bytes that are kept.
    pub fn encode(&self) -> Result<Vec<u8>, CellsError> {
        Ok(codec::encode_document(self)?)
    }

    /// Reads kept bytes, from wherever they come.
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
                "not one column for each dimension and tag",
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
            return Err(CellsError::Shape("a text that is not there"));
        }

        if self.days.iter().any(|number| day_of(*number).is_none()) {
            return Err(CellsError::Shape("a day beyond the calendar"));
        }
        Ok(())
    }
}

/// What was added to a cell and is not in its sums yet: half a cache line instead of a whole one,
/// so that twice as many cells stay in the cache while rows are read.
#[derive(Debug, Clone, Copy, Default)]
#[repr(align(32))]
struct Recent {
    effective: i64,
    billed: i64,
    list: i64,
    rows: u64,
}

impl Recent {
    /// With more; none where a sum no longer fits.
    #[inline]
    fn plus(self, sums: &Sums) -> Option<Self> {
        let sum = |known: i64, amount: Amount| known.checked_add(i64::try_from(amount.0).ok()?);
        Some(Self {
            effective: sum(self.effective, sums.effective)?,
            billed: sum(self.billed, sums.billed)?,
            list: sum(self.list, sums.list)?,
            rows: self.rows.saturating_add(sums.rows),
        })
    }

    fn sums(self) -> Sums {
        let amount = |units: i64| Amount(units.into());
        let Self {
            effective,
            billed,
            list,
            rows,
        } = self;

        Sums {
            effective: amount(effective),
            billed: amount(billed),
            list: amount(list),
            rows,
        }
    }
}

/// Makes cells of charges, in any order.
#[derive(Debug, Default)]
pub struct CellsBuilder {
    /// Its sums stay empty until the end: a row touches one line of `sums` instead of four columns.
    cells: Cells,
    sums: Vec<Sums>,
    recent: Vec<Recent>,
    hasher: DefaultHashBuilder,
    /// Places in the table of texts, by text.
    texts: HashTable<u32>,
    /// Cells by everything but their sums.
    known: HashTable<u32>,
    text_bytes: usize,
    scratch: Vec<u32>,
}

impl CellsBuilder {
    /// Cells kept apart by these tags.
    pub fn new(mut tag_keys: Vec<String>) -> Self {
        tag_keys.sort();
        tag_keys.dedup();

        let columns = vec![Vec::new(); Dimension::ALL.len() + tag_keys.len()];
        Self {
            cells: Cells {
                tag_keys,
                columns,
                ..Cells::default()
            },
            ..Self::default()
        }
    }

    /// The place of the cell of `key`, which is made if it is not there yet. Stays valid, so that
    /// whoever reads many rows can remember it.
    pub fn place(&mut self, key: &CellKey<'_>) -> u32 {
        let mut columns = std::mem::take(&mut self.scratch);
        columns.clear();
        for text in key.texts.iter().chain(key.tags) {
            columns.push(self.text(text));
        }

        let head = (day_number(key.day), key.kind, key.pricing, key.currency);

        let Self {
            cells,
            hasher,
            known,
            ..
        } = self;

        let hash_of = |cells: &Cells, place: u32| {
            let index = place as usize;
            let texts = cells.columns.iter().map(|column| column[index]);
            hash_cell(hasher, cells.head(index), texts)
        };
        let is_same = |place: &u32| {
            let index = *place as usize;
            cells.head(index) == head
                && cells
                    .columns
                    .iter()
                    .zip(&columns)
                    .all(|(column, text)| column[index] == *text)
        };

        let hash = hash_cell(hasher, head, columns.iter().copied());
        if let Some(place) = known.find(hash, is_same) {
            let place = *place;
            self.scratch = columns;
            return place;
        }

        let place = cells.days.len() as u32;
        cells.days.push(head.0);
        cells.kinds.push(key.kind);
        cells.pricings.push(key.pricing);
        cells.currencies.push(key.currency);
        for (column, text) in cells.columns.iter_mut().zip(&columns) {
            column.push(*text);
        }
        known.insert_unique(hash, place, |place| hash_of(cells, *place));
        self.sums.push(Sums::default());
        self.recent.push(Recent::default());
        self.scratch = columns;

        place
    }

    /// Adds to a cell.
    #[inline]
    pub fn add(&mut self, place: u32, sums: Sums) {
        let recent = &mut self.recent[place as usize];
        match recent.plus(&sums) {
            Some(more) => *recent = more,
            None => {
                let all = &mut self.sums[place as usize];
                *all += std::mem::take(recent).sums();
                *all += sums;
            }
        }
    }

    /// Looks at the memory of a cell that rows are added to soon.
    #[inline]
    pub(crate) fn touch(&self, place: u32) -> u64 {
        self.recent[place as usize].rows
    }

    /// How many cells there are.
    pub fn len(&self) -> usize {
        self.sums.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.sums.is_empty()
    }

    /// Bytes of all texts.
    pub(crate) fn text_bytes(&self) -> usize {
        self.text_bytes
    }

    /// The cells, in an order that depends on their content alone: equal bills, equal bytes.
    pub fn finish(self) -> Cells {
        let Self {
            cells: all,
            mut sums,
            recent,
            ..
        } = self;

        sums.iter_mut()
            .zip(recent)
            .for_each(|(sums, recent)| *sums += recent.sums());

        // Ranks stand for texts: cells are compared by numbers alone.
        let mut by_text: Vec<u32> = (0..all.texts.len() as u32).collect();
        by_text.sort_unstable_by_key(|place| &all.texts[*place as usize]);

        let mut ranks = vec![0u32; by_text.len()];
        for (rank, place) in by_text.iter().enumerate() {
            ranks[*place as usize] = rank as u32;
        }

        let mut order: Vec<u32> = (0..sums.len() as u32).collect();
        order.sort_unstable_by(|a, b| {
            let a = *a as usize;
            let b = *b as usize;
            let texts = |index: usize| all.columns.iter().map(move |column| column[index]);
            let ranked = |index: usize| texts(index).map(|text| ranks[text as usize]);

            all.head(a)
                .cmp(&all.head(b))
                .then_with(|| ranked(a).cmp(ranked(b)))
        });

        // Texts are numbered by first use, in the order of the cells.
        let mut numbers = vec![u32::MAX; all.texts.len()];
        let mut texts: Vec<u32> = Vec::with_capacity(all.texts.len());
        let mut columns = vec![Vec::with_capacity(order.len()); all.columns.len()];

        for index in &order {
            for (to, from) in columns.iter_mut().zip(&all.columns) {
                let text = from[*index as usize];
                let number = &mut numbers[text as usize];
                if *number == u32::MAX {
                    *number = texts.len() as u32;
                    texts.push(text);
                }

                to.push(*number);
            }
        }

        let mut names = all.texts;
        let at = |index: &u32| *index as usize;
        Cells {
            texts: texts
                .iter()
                .map(|text| std::mem::take(&mut names[*text as usize]))
                .collect(),
            days: order.iter().map(|index| all.days[at(index)]).collect(),
            kinds: order.iter().map(|index| all.kinds[at(index)]).collect(),
            pricings: order.iter().map(|index| all.pricings[at(index)]).collect(),
            currencies: order
                .iter()
                .map(|index| all.currencies[at(index)])
                .collect(),
            columns,
            effective: order
                .iter()
                .map(|index| sums[at(index)].effective)
                .collect(),
            billed: order.iter().map(|index| sums[at(index)].billed).collect(),
            list: order.iter().map(|index| sums[at(index)].list).collect(),
            rows: order.iter().map(|index| sums[at(index)].rows).collect(),
            tag_keys: all.tag_keys,
        }
    }

    fn text(&mut self, text: &str) -> u32 {
        let Self {
            cells,
            hasher,
            texts,
            text_bytes,
            ..
        } = self;
        let hash = hasher.hash_one(text);

        if let Some(place) = texts.find(hash, |place| cells.texts[*place as usize] == text) {
            return *place;
        }

        let place = cells.texts.len() as u32;
        cells.texts.push(text.to_owned());
        *text_bytes += text.len();
        texts.insert_unique(hash, place, |place| {
            hasher.hash_one(cells.texts[*place as usize].as_str())
        });
        place
    }
}

/// A cell's day, kind, pricing class and currency.
type Head = (i32, ChargeKind, PricingClass, Currency);

fn hash_cell(hasher: &DefaultHashBuilder, head: Head, texts: impl Iterator<Item = u32>) -> u64 {
    let mut state = hasher.build_hasher();
    head.hash(&mut state);
    texts.for_each(|text| state.write_u32(text));
    state.finish()
}

#[cfg(test)]
mod tests;
