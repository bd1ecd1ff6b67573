//! Rows of all files become cells, by source and billing month.

use super::charge::{
    Fault, FileContext, Texts, charge_kind, currency, first, pricing_class, provider,
};
use super::columns::{TEXT_NAMES, Text};
use super::report::{BadReason, FileError, ImportedPart};
use super::tags::TagSets;
use crate::cells::{
    CellKey, CellsBuilder, ChargeKind, Dimension, Metric, Period, PricingClass, Sums,
};
use crate::date::{day_number, day_of};
use crate::money::{Currency, Money, Totals};
use hashbrown::{DefaultHashBuilder, HashTable};
use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasher;
use time::Date;

/// Cells of one import: some 400 MB.
const CELLS_MAX: usize = 2_000_000;
/// Bytes of their texts.
const TEXT_BYTES_MAX: usize = 256 << 20;
/// Bytes of keys whose place is remembered.
const KEYS_MAX: usize = 8 << 20;
const DAYS_MAX: usize = 31;
const PENDING_MAX: usize = 64;
const NO_CELL: u32 = u32::MAX;

/// A row's texts and tags without its day: what is the same for many rows.
#[derive(Debug)]
struct Series {
    /// Range of its key.
    key: (u32, u32),
    slot: u32,
    kind: ChargeKind,
    pricing: PricingClass,
    currency: Currency,
    /// The first day of the billing month.
    first_day: i32,
    /// The cells of the days of the month.
    cells: [u32; DAYS_MAX],
}

/// The cell of a row.
#[cfg(feature = "parquet")]
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    slot: u32,
    cell: u32,
    pub(super) is_usage: bool,
}

/// The cells of one source and month while they are made.
#[derive(Debug)]
struct Slot {
    source: String,
    period: Period,
    cells: CellsBuilder,
    /// Whether all of its files have each of [`Metric::ALL`].
    has_cost: [bool; Metric::ALL.len()],
}

/// The cells of an import while they are made.
#[derive(Debug)]
pub(super) struct Collector {
    source: Option<String>,
    tag_keys: Vec<String>,
    pub(super) tags: TagSets,
    slots: Vec<Slot>,
    slot_places: HashMap<(String, Period), u32>,
    hasher: DefaultHashBuilder,
    table: HashTable<u32>,
    keys: Vec<u8>,
    series: Vec<Series>,
    cells: usize,
    text_bytes: usize,
    pending: Vec<Pending>,
}

/// A row that is not added yet: the memory loads of many cells overlap.
#[derive(Debug)]
struct Pending {
    slot: u32,
    cell: u32,
    sums: Sums,
}

impl Collector {
    pub(super) fn new(source: Option<String>, mut tag_keys: Vec<String>) -> Self {
        tag_keys.sort();
        tag_keys.dedup();
        Self {
            source,
            tags: TagSets::new(tag_keys.clone()),
            tag_keys,
            slots: Vec::new(),
            slot_places: HashMap::new(),
            hasher: DefaultHashBuilder::default(),
            table: HashTable::new(),
            keys: Vec::new(),
            series: Vec::new(),
            cells: 0,
            text_bytes: 0,
            pending: Vec::with_capacity(PENDING_MAX),
        }
    }

    /// Forgets keys: those of the next file may mean something else.
    pub(super) fn start_file(&mut self) {
        self.table.clear();
        self.keys.clear();
        self.series.clear();
    }

    /// How many series there are: fewer than before where they were forgotten.
    #[cfg(feature = "parquet")]
    pub(super) fn series_count(&self) -> usize {
        self.series.len()
    }

    /// Fails where more cells are needed than are kept.
    pub(super) fn check(&self, file: &str) -> Result<(), FileError> {
        if self.cells > CELLS_MAX || self.text_bytes > TEXT_BYTES_MAX {
            return Err(FileError::Cells {
                file: file.into(),
                limit: CELLS_MAX,
            });
        }

        Ok(())
    }

    /// The series of a row. `key` holds everything that distinguishes series of this file, as
    /// written there.
    #[inline]
    pub(super) fn series<'a>(
        &mut self,
        file: &FileContext,
        key: &[u8],
        period: Period,
        texts: impl FnOnce() -> Texts<'a>,
    ) -> Result<u32, Fault> {
        let hash = self.hasher.hash_one(key);
        let Self {
            keys,
            series,
            table,
            ..
        } = self;

        let is_same = |place: &u32| {
            let (start, end) = series[*place as usize].key;
            &keys[start as usize..end as usize] == key
        };

        if let Some(place) = table.find(hash, is_same) {
            return Ok(*place);
        }
        self.add_series(file, key, hash, period, &texts())
    }

    #[cold]
    fn add_series(
        &mut self,
        file: &FileContext,
        key: &[u8],
        hash: u64,
        period: Period,
        texts: &Texts<'_>,
    ) -> Result<u32, Fault> {
        for (name, text) in TEXT_NAMES.into_iter().zip(texts) {
            if std::str::from_utf8(text).is_err() {
                return Err(Fault::new(name, text, BadReason::Encoding));
            }
        }

        let kind = charge_kind(file, texts)?;
        let currency = currency(file, texts)?;
        let pricing = pricing_class(texts);
        let slot = self.slot(file, period, texts);

        if self.keys.len() + key.len() > KEYS_MAX {
            self.start_file();
        }

        let start = self.keys.len() as u32;
        self.keys.extend_from_slice(key);

        let first_day =
            Date::from_calendar_date(period.year, period.month, 1).map_or(0, day_number);
        let cells = [NO_CELL; DAYS_MAX];
        let place = self.series.len() as u32;

        self.series.push(Series {
            key: (start, self.keys.len() as u32),
            slot,
            kind,
            pricing,
            currency,
            first_day,
            cells,
        });

        let Self {
            keys,
            series,
            table,
            hasher,
            ..
        } = self;

        table.insert_unique(hash, place, |place| {
            let (start, end) = series[*place as usize].key;
            hasher.hash_one(&keys[start as usize..end as usize])
        });

        Ok(place)
    }

    /// Whether the rows of a series are usage.
    #[inline]
    pub(super) fn is_usage(&self, series: u32) -> bool {
        self.series[series as usize].kind == ChargeKind::Usage
    }

    #[inline]
    pub(super) fn add<'a>(
        &mut self,
        series: u32,
        day: i32,
        tags: u32,
        sums: Sums,
        texts: impl FnOnce() -> Texts<'a>,
    ) {
        let known = &self.series[series as usize];
        let in_month = day.wrapping_sub(known.first_day) as u32 as usize;
        let slot = known.slot;
        let known_cell = known.cells.get(in_month).copied().unwrap_or(NO_CELL);
        let cell = if known_cell == NO_CELL {
            self.cell(series, day, in_month, tags, &texts())
        } else {
            known_cell
        };

        self.pending.push(Pending { slot, cell, sums });
        if self.pending.len() == PENDING_MAX {
            self.add_pending();
        }
    }

    /// A row's cell, if known.
    #[cfg(feature = "parquet")]
    #[inline]
    pub(super) fn place(&self, series: u32, day: i32) -> Option<Place> {
        let known = self.series.get(series as usize)?;
        let in_month = day.wrapping_sub(known.first_day) as u32 as usize;
        let cell = *known.cells.get(in_month)?;
        let is_usage = known.kind == ChargeKind::Usage;

        (cell != NO_CELL).then_some(Place {
            slot: known.slot,
            cell,
            is_usage,
        })
    }

    /// Prefetches a cell.
    #[cfg(feature = "parquet")]
    #[inline]
    pub(super) fn touch(&self, place: Place) -> u64 {
        self.slots[place.slot as usize].cells.touch(place.cell)
    }

    /// Adds a row whose place is known.
    #[cfg(feature = "parquet")]
    #[inline]
    pub(super) fn add_to(&mut self, place: Place, sums: Sums) {
        self.slots[place.slot as usize].cells.add(place.cell, sums);
    }

    fn add_pending(&mut self) {
        // Independent loads overlap, loads between additions hardly do.
        let rows = self
            .pending
            .iter()
            .map(|row| self.slots[row.slot as usize].cells.touch(row.cell));

        std::hint::black_box(rows.fold(0, u64::wrapping_add));
        for Pending { slot, cell, sums } in self.pending.drain(..) {
            self.slots[slot as usize].cells.add(cell, sums);
        }
    }

    #[cold]
    fn cell(
        &mut self,
        series: u32,
        day: i32,
        in_month: usize,
        tags: u32,
        texts: &Texts<'_>,
    ) -> u32 {
        let series = &mut self.series[series as usize];
        let text = |text: Text| std::str::from_utf8(&texts[text as usize]).unwrap_or_default();
        let tags: Vec<&str> = self.tags.values(tags).iter().map(String::as_str).collect();
        let key = CellKey {
            // The day was read as one.
            day: day_of(day).unwrap_or(Date::MIN),
            kind: series.kind,
            pricing: series.pricing,
            currency: series.currency,
            texts: Dimension::ALL.map(|dimension| match dimension {
                Dimension::Provider => provider(&text),
                Dimension::Account => first(text(Text::SubAccount), text(Text::BillingAccount)),
                Dimension::Region => text(Text::Region),
                Dimension::Zone => text(Text::Zone),
                Dimension::Service => text(Text::Service),
                Dimension::Category => text(Text::Category),
            }),
            tags: &tags,
        };

        let cells = &mut self.slots[series.slot as usize].cells;
        let before = (cells.len(), cells.text_bytes());
        let cell = cells.place(&key);

        self.cells += cells.len() - before.0;
        self.text_bytes += cells.text_bytes() - before.1;
        if let Some(known) = series.cells.get_mut(in_month) {
            *known = cell;
        }

        cell
    }

    fn slot(&mut self, file: &FileContext, period: Period, texts: &Texts<'_>) -> u32 {
        let text = |text: Text| std::str::from_utf8(&texts[text as usize]).unwrap_or_default();
        let source = match (&self.source, provider(&text), text(Text::BillingAccount)) {
            (Some(source), ..) => source.clone(),
            (None, "", "") => file.name.clone(),
            (None, provider, account) => format!("{provider} {account}").trim().to_owned(),
        };
        let key = (source, period);
        let place = self.slot_places.get(&key).copied().unwrap_or_else(|| {
            let place = self.slots.len() as u32;
            let cells = CellsBuilder::new(self.tag_keys.clone());
            self.slots.push(Slot {
                source: key.0.clone(),
                period,
                cells,
                has_cost: file.has_cost,
            });

            self.slot_places.insert(key, place);
            place
        });

        let has_cost = &mut self.slots[place as usize].has_cost;
        has_cost
            .iter_mut()
            .zip(file.has_cost)
            .for_each(|(has, file_has)| *has &= file_has);

        place
    }

    /// What was collected, by source and month.
    pub(super) fn finish(mut self) -> Vec<ImportedPart> {
        self.add_pending();
        let mut parts: Vec<ImportedPart> =
            self.slots.into_iter().filter_map(Slot::finish).collect();
        parts.sort_by(|a, b| (&a.source, a.period).cmp(&(&b.source, b.period)));
        parts
    }
}

impl Slot {
    /// `None` if all of its rows were bad.
    fn finish(self) -> Option<ImportedPart> {
        let Self {
            source,
            period,
            cells,
            has_cost,
        } = self;
        let cells = cells.finish();

        // Cells are sorted by day.
        let last = cells.len().checked_sub(1)?;
        let days = (day_of(cells.day(0))?, day_of(cells.day(last))?);
        let available = Metric::ALL
            .into_iter()
            .zip(has_cost)
            .filter(|(_, has)| *has)
            .map(|(metric, _)| metric);
        let mut totals: BTreeMap<Metric, Totals> = available
            .map(|metric| (metric, Totals::default()))
            .collect();
        let mut rows = 0;

        for index in 0..cells.len() {
            let sums = cells.sums(index);
            rows += sums.rows;
            for (metric, total) in &mut totals {
                total.add(Money {
                    amount: sums.get(*metric),
                    currency: cells.currency(index),
                });
            }
        }

        Some(ImportedPart {
            source,
            period,
            cells,
            rows,
            totals,
            days,
        })
    }
}
