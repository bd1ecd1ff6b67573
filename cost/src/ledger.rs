//! Imported bills: one part per source and billing month; the later import wins.
//!
//! A ledger merges with any other in any order and as often as you like: the result is the same.
//! Cloning one is cheap, so reports run on a snapshot during imports.

mod ends;

use crate::{
    cells::{Cells, CellsError, ChargeKind, Metric, Period},
    date::{DAY_MS, day_number, day_of},
    money::Amount,
};
pub use ends::BillEnds;
use regionmesh_protocol::{
    codec::{self, CodecError},
    models::digest::Digest,
    text,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use time::Date;

/// Providers add charges of a day until about two days later: a day counts as complete once its
/// bill was imported that much later.
pub(crate) const LATE_DAYS: i32 = 2;
/// A source without a new day for so long has ended, days.
pub(crate) const ENDED_DAYS: i32 = 45;
/// First bytes of a stored part; the digit is the version of its layout.
const MAGIC: &[u8; 8] = b"rmcost1\n";
/// Longest name of a source or an importer, bytes.
const NAME_MAX: usize = 256;
/// Largest sum of a cell, in units of 1e-15 (10^17 of a currency): a million such cells still add
/// up exactly.
const SUM_MAX: u128 = 10u128.pow(32);

/// The cells of one source and billing month, as one import left them. Never changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredPart {
    header: Header,
    cells: Cells,
    digest: Digest,
    days: Vec<i32>,
    /// Those with usage.
    usage_days: Vec<i32>,
    rows: u64,
    /// Whether any usage has a sum other than zero, by metric.
    priced: [bool; Metric::ALL.len()],
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Header {
    source: String,
    period: Period,
    imported_ms: u64,
    importer: String,
}

/// Why a part can't be stored or read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PartError {
    /// Empty, too long or with control characters.
    #[error(
        "{what} {name:?} is not usable as a name: 1 to {NAME_MAX} bytes without control characters \
            are expected"
    )]
    Name {
        /// `source` or `importer`.
        what: &'static str,
        /// The name, shortened.
        name: String,
    },
    /// A sum that no bill reaches.
    #[error("cell {index} sums to more than 10^17 of its currency: not a bill")]
    TooLarge { index: usize },
    /// More cells than are kept of a source and month.
    #[error(
        "the cells of {origin} in {period} take {size} bytes, the limit is {limit}; choose fewer \
            tags in [cost], or import parts of the bill as sources of their own (--source)"
    )]
    Cells {
        /// The bill's owner.
        origin: String,
        /// The billing month.
        period: Period,
        /// Size of the cells, bytes.
        size: usize,
        /// The limit, bytes.
        limit: usize,
    },
    /// Another kind of file, or a later layout.
    #[error(
        "not a stored part of a bill that this version reads; import the bill again or upgrade \
            this agent"
    )]
    Layout,
    /// The header can't be read or written.
    #[error("header of a stored part: {0}")]
    Header(#[from] CodecError),
    /// The cells can't be read or written.
    #[error("cells of a stored part: {0}")]
    Unreadable(#[from] CellsError),
}

impl StoredPart {
    /// A part that replaces what its source had in its billing month. A part without cells removes
    /// the month.
    pub fn new(
        source: String,
        period: Period,
        imported_ms: u64,
        importer: String,
        cells: Cells,
    ) -> Result<Self, PartError> {
        let header = Header {
            source,
            period,
            imported_ms,
            importer,
        };
        let digest = Digest::of(&encode(&header, &cells)?);

        Self::checked(header, cells, digest)
    }

    /// Encodes for storage.
    pub fn encode(&self) -> Result<Vec<u8>, PartError> {
        encode(&self.header, &self.cells)
    }

    /// Decodes and checks untrusted bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, PartError> {
        let rest = bytes.strip_prefix(MAGIC).ok_or(PartError::Layout)?;
        let (length, rest) = rest.split_first_chunk::<4>().ok_or(PartError::Layout)?;
        let length = u32::from_le_bytes(*length) as usize;
        let (header, cells) = rest.split_at_checked(length).ok_or(PartError::Layout)?;

        Self::checked(
            codec::decode(header)?,
            Cells::decode(cells)?,
            Digest::of(bytes),
        )
    }

    fn checked(header: Header, cells: Cells, digest: Digest) -> Result<Self, PartError> {
        check_name("source", &header.source)?;
        check_name("importer", &header.importer)?;

        let mut days = BTreeSet::new();
        let mut usage_days = BTreeSet::new();
        let mut rows = 0u64;
        let mut priced = [false; Metric::ALL.len()];

        for index in 0..cells.len() {
            let sums = cells.sums(index);
            rows = rows.saturating_add(sums.rows);

            // Cells are sorted by day: most days are the one before.
            days.insert(cells.day(index));

            let is_usage = cells.kind(index) == ChargeKind::Usage;
            if is_usage {
                usage_days.insert(cells.day(index));
            }

            for (is_priced, metric) in priced.iter_mut().zip(Metric::ALL) {
                let Amount(units) = sums.get(metric);
                if units.unsigned_abs() > SUM_MAX {
                    return Err(PartError::TooLarge { index });
                }
                *is_priced |= units != 0 && is_usage;
            }
        }

        let [days, usage_days] = [days, usage_days].map(|days| days.into_iter().collect());
        Ok(Self {
            header,
            cells,
            digest,
            days,
            usage_days,
            rows,
            priced,
        })
    }

    /// The bill that it is of: `AWS 1234567890123`.
    pub fn source(&self) -> &str {
        &self.header.source
    }

    /// The billing month.
    pub fn period(&self) -> Period {
        self.header.period
    }

    /// When it was imported, milliseconds since 1970.
    pub fn imported_ms(&self) -> u64 {
        self.header.imported_ms
    }

    /// The importer: an agent or a user's command.
    pub fn importer(&self) -> &str {
        &self.header.importer
    }

    pub fn cells(&self) -> &Cells {
        &self.cells
    }

    /// The hash of its encoding: its name in the bucket.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Rows of the bill that the cells sum up.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The days with a charge, as numbers ([`day_number`]), ascending.
    pub fn days(&self) -> &[i32] {
        &self.days
    }

    /// The last day that late charges no longer change; `None` if there is no such day.
    pub fn complete_day(&self) -> Option<i32> {
        let imported = i32::try_from(self.header.imported_ms / DAY_MS).unwrap_or(i32::MAX);
        let first = self.days.first()?;
        let last = self.days.last()?;
        let complete = imported.saturating_sub(LATE_DAYS).min(*last);
        (complete >= *first).then_some(complete)
    }

    /// Whether usage was priced, but not by this metric: the export has no such column.
    pub(crate) fn lacks(&self, metric: Metric) -> bool {
        Metric::ALL
            .iter()
            .zip(self.priced)
            .any(|(_, is_priced)| is_priced)
            && !self.priced[metric as usize]
    }

    /// Orders parts of the same source and month; the greatest wins.
    fn rank(&self) -> (u64, Digest) {
        (self.header.imported_ms, self.digest)
    }
}

fn encode(header: &Header, cells: &Cells) -> Result<Vec<u8>, PartError> {
    let cells = cells.encode().map_err(|error| match error {
        CellsError::Codec(CodecError::TooLarge { size, limit }) => PartError::Cells {
            origin: header.source.clone(),
            period: header.period,
            size,
            limit,
        },
        error => error.into(),
    })?;

    let header = codec::encode(header)?;
    // A control message is far below 4 GiB.
    let length = (header.len() as u32).to_le_bytes();

    Ok([MAGIC.as_slice(), &length, &header, &cells].concat())
}

fn check_name(what: &'static str, name: &str) -> Result<(), PartError> {
    if name.is_empty() || name.len() > NAME_MAX || text::unprintable(name).is_some() {
        return Err(PartError::Name {
            what,
            name: name.chars().take(80).collect(),
        });
    }

    Ok(())
}

/// The state of one source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SourceState {
    /// Its billing months.
    pub periods: Vec<Period>,
    /// Rows of its bills.
    pub rows: u64,
    /// Cells that sum them up.
    pub cells: usize,
    /// The day of the first charge.
    #[schemars(with = "Option<String>")]
    #[serde(serialize_with = "optional_day")]
    pub first_day: Option<Date>,
    /// The day of the last charge.
    #[schemars(with = "Option<String>")]
    #[serde(serialize_with = "optional_day")]
    pub last_day: Option<Date>,
    /// The last day that late charges no longer change.
    #[schemars(with = "Option<String>")]
    #[serde(serialize_with = "optional_day")]
    pub complete_day: Option<Date>,
    /// The latest import, Unix milliseconds.
    pub imported_ms: u64,
}

impl SourceState {
    /// Whether it has ended, for example because its account was closed. It is then never late.
    pub fn has_ended(&self, today: Date) -> bool {
        self.last_day
            .is_none_or(|last| day_number(today) - day_number(last) > ENDED_DAYS)
    }
}

/// Every part that is held, at most one for a source and month.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ledger {
    parts: BTreeMap<(String, Period), Arc<StoredPart>>,
}

impl Ledger {
    /// Adds a part, unless the one it would replace was imported later (or at the same time and has
    /// the greater digest). Returns whether it was added.
    pub fn insert(&mut self, part: Arc<StoredPart>) -> bool {
        let key = (part.source().to_owned(), part.period());
        let is_later = self
            .parts
            .get(&key)
            .is_none_or(|held| held.rank() < part.rank());

        if is_later {
            self.parts.insert(key, part);
        }
        is_later
    }

    /// Takes in every part of another ledger.
    pub fn merge(&mut self, other: &Self) {
        for part in other.parts.values() {
            self.insert(part.clone());
        }
    }

    /// The import time for a new part, so that it replaces the held one even if that came from a
    /// faster clock.
    pub fn import_time(&self, source: &str, period: Period, now_ms: u64) -> u64 {
        let held = self.parts.get(&(source.to_owned(), period));
        held.map_or(now_ms, |held| {
            now_ms.max(held.imported_ms().saturating_add(1))
        })
    }

    /// The parts, by source and month.
    pub fn parts(&self) -> impl Iterator<Item = &Arc<StoredPart>> {
        self.parts.values()
    }

    /// The state of each source, without removed months.
    pub fn sources(&self) -> BTreeMap<&str, SourceState> {
        let mut sources: BTreeMap<&str, SourceState> = BTreeMap::new();
        for part in self.parts.values().filter(|part| !part.days.is_empty()) {
            let state = sources.entry(part.source()).or_insert_with(|| SourceState {
                periods: Vec::new(),
                rows: 0,
                cells: 0,
                first_day: None,
                last_day: None,
                complete_day: None,
                imported_ms: 0,
            });

            let day = |number: Option<&i32>| number.and_then(|number| day_of(*number));
            let first = day(part.days.first());
            state.periods.push(part.period());
            state.rows = state.rows.saturating_add(part.rows);
            state.cells += part.cells.len();
            state.first_day = state
                .first_day
                .map_or(first, |known| first.map(|first| first.min(known)));
            state.last_day = state.last_day.max(day(part.days.last()));
            state.complete_day = state.complete_day.max(day(part.complete_day().as_ref()));
            state.imported_ms = state.imported_ms.max(part.imported_ms());
        }

        sources
    }

    /// The parts with a charge within these days, both included, as numbers.
    pub(crate) fn parts_within(&self, first: i32, last: i32) -> impl Iterator<Item = &StoredPart> {
        let is_within =
            move |part: &&StoredPart| part.days.iter().any(|day| (first..=last).contains(day));
        self.parts.values().map(|part| &**part).filter(is_within)
    }
}

/// Writes a day as `2026-09-18`.
pub(crate) fn serialize_day<S: Serializer>(day: &Date, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(day)
}

fn optional_day<S: Serializer>(day: &Option<Date>, serializer: S) -> Result<S::Ok, S::Error> {
    match day {
        Some(day) => serializer.collect_str(day),
        None => serializer.serialize_none(),
    }
}

/// The days from `start` to `end`, both included, as numbers.
pub(crate) fn day_range(start: Date, end: Date) -> std::ops::RangeInclusive<i32> {
    day_number(start)..=day_number(end)
}

#[cfg(test)]
mod tests;
