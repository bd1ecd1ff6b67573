//! The scan of the cells: a few passes over columns, with small numbers in place of texts.
//!
//! The values of each group are numbered as they appear. A cell's group is the number of a pair: of
//! its currency and its first value, of that pair and its second value, and so on. Texts are read
//! once for each value and part.

use super::{Group, Query, RegionNames, ReportRow};
use crate::{
    cells::{Cells, Dimension, Metric, Period},
    date::{day_number, day_of},
    ledger::{Ledger, StoredPart, day_range},
    money::{Amount, Currency},
};
use hashbrown::HashMap;
use std::{
    collections::{BTreeMap, BTreeSet},
    hash::Hash,
};

/// No number yet.
const NONE: u32 = u32::MAX;
/// Largest table of the numbers of pairs; pairs beyond it are in a hash map.
const TABLE_MAX: usize = 1 << 20;

/// What a scan found.
pub(super) struct Scanned {
    /// In the order of appearance, without shares.
    pub(super) rows: Vec<ReportRow>,
    /// Which filters of the query, by index, matched a charge within its days.
    pub(super) matched: BTreeSet<usize>,
}

/// Sums up the cells of a query.
pub(super) fn scan(ledger: &Ledger, query: &Query, regions: RegionNames<'_>) -> Scanned {
    let mut scan = Scan {
        query,
        regions,
        currencies: Numbered::default(),
        levels: query.by.iter().map(|_| Level::default()).collect(),
        filtered: BTreeMap::new(),
        sums: Vec::new(),
        matched: BTreeSet::new(),
    };

    let days = day_range(query.start, query.end);
    for part in ledger.parts_within(*days.start(), *days.end()) {
        scan.add(part);
    }

    scan.finish()
}

struct Scan<'a> {
    query: &'a Query,
    regions: RegionNames<'a>,
    currencies: Numbered<Currency>,
    /// One for each group of the query.
    levels: Vec<Level>,
    /// The values of the groups that are filtered by.
    filtered: BTreeMap<&'a Group, Numbered<String>>,
    /// Amounts and rows by the number of the last level.
    sums: Vec<(Amount, u64)>,
    matched: BTreeSet<usize>,
}

/// A group of the query: its values, and their pairs with the numbers of the level before.
#[derive(Default)]
struct Level {
    values: Numbered<String>,
    pairs: Pairs,
}

impl<'a> Scan<'a> {
    fn add(&mut self, part: &StoredPart) {
        let cells = part.cells();
        let selected = self.select(part);

        let mut numbers = currency_numbers(cells, &selected, &mut self.currencies);
        let view = View {
            cells,
            query: self.query,
            regions: self.regions,
            selected: &selected,
        };

        for (level, group) in self.levels.iter_mut().zip(&self.query.by) {
            let values = view.numbers(group, &mut level.values);
            for (number, value) in numbers.iter_mut().zip(values) {
                *number = level.pairs.number(*number, value);
            }
        }

        let groups = self
            .levels
            .last()
            .map_or(self.currencies.values.len(), |level| {
                level.pairs.pairs.len()
            });

        self.sums.resize(groups, (Amount::ZERO, 0));
        match self.query.metric {
            Metric::Effective => self.sum(cells, &selected, &numbers, Metric::Effective),
            Metric::Billed => self.sum(cells, &selected, &numbers, Metric::Billed),
            Metric::List => self.sum(cells, &selected, &numbers, Metric::List),
        }
    }

    /// Inlined per metric, to read only its column.
    #[inline(always)]
    fn sum(&mut self, cells: &Cells, selected: &[u32], numbers: &[u32], metric: Metric) {
        for (cell, number) in selected.iter().zip(numbers) {
            let of_cell = cells.sums(*cell as usize);
            let sum = &mut self.sums[*number as usize];
            sum.0 += of_cell.get(metric);
            sum.1 = sum.1.saturating_add(of_cell.rows);
        }
    }

    /// The cells within the query's days that its filters let through.
    fn select(&mut self, part: &StoredPart) -> Vec<u32> {
        let cells = part.cells();
        let query = self.query;
        let days = day_range(query.start, query.end);
        let mut selected: Vec<u32> = (0..cells.len() as u32).collect();

        if !part.days().iter().all(|day| days.contains(day)) {
            selected.retain(|cell| days.contains(&cells.day(*cell as usize)));
        }

        let groups: BTreeSet<&Group> = query.filters.iter().map(|filter| &filter.group).collect();
        for group in groups {
            let known = self.filtered.entry(group).or_default();
            let view = View {
                cells,
                query,
                regions: self.regions,
                selected: &selected,
            };
            let mut numbers = view.numbers(group, known).into_iter();
            let filter_of = |value: &String| {
                query
                    .filters
                    .iter()
                    .position(|filter| filter.group == *group && filter.value == *value)
            };

            let wanted: Vec<Option<usize>> = known.values.iter().map(filter_of).collect();
            let mut matched = vec![false; query.filters.len()];
            selected.retain(|_| {
                let filter = numbers.next().and_then(|number| wanted[number as usize]);
                filter.inspect(|filter| matched[*filter] = true).is_some()
            });

            self.matched
                .extend((0..matched.len()).filter(|filter| matched[*filter]));
        }

        selected
    }

    fn finish(self) -> Scanned {
        let mut rows = Vec::with_capacity(self.sums.len());
        for (number, (amount, charges)) in self.sums.iter().enumerate() {
            let mut values = vec![String::new(); self.levels.len()];
            let mut number = number as u32;
            for (value, level) in values.iter_mut().zip(&self.levels).rev() {
                let (before, of_value) = level.pairs.pairs[number as usize];
                value.clone_from(&level.values.values[of_value as usize]);
                number = before;
            }

            let currency = self.currencies.values[number as usize];
            rows.push(ReportRow {
                values,
                currency,
                amount: *amount,
                share_bp: None,
                rows: *charges,
            });
        }

        // A currency of charges that no filter lets through has no rows.
        rows.retain(|row| row.rows > 0);
        Scanned {
            rows,
            matched: self.matched,
        }
    }
}

/// Values, each once, and their numbers.
struct Numbered<T> {
    numbers: HashMap<T, u32>,
    values: Vec<T>,
}

impl<T> Default for Numbered<T> {
    fn default() -> Self {
        Self {
            numbers: HashMap::new(),
            values: Vec::new(),
        }
    }
}

impl<T: Clone + Eq + Hash> Numbered<T> {
    fn number(&mut self, value: T) -> u32 {
        if let Some(number) = self.numbers.get(&value) {
            return *number;
        }

        let number = self.values.len() as u32;
        self.values.push(value.clone());
        self.numbers.insert(value, number);
        number
    }
}

/// Pairs of numbers, each once, and their own numbers.
#[derive(Default)]
struct Pairs {
    pairs: Vec<(u32, u32)>,
    /// The number of a pair at `left << bits | right`.
    table: Vec<u32>,
    bits: u32,
    /// The pairs that do not fit the table.
    beyond: HashMap<(u32, u32), u32>,
}

impl Pairs {
    #[inline]
    fn number(&mut self, left: u32, right: u32) -> u32 {
        let place = (left as usize) << self.bits | right as usize;
        match self.table.get(place) {
            Some(number) if *number != NONE && right >> self.bits == 0 => *number,
            _ => self.number_slowly(left, right),
        }
    }

    #[cold]
    fn number_slowly(&mut self, left: u32, right: u32) -> u32 {
        if right >> self.bits != 0 {
            self.widen(right);
        }

        let next = self.pairs.len() as u32;
        let slot = self.slot(left, right);
        if *slot == NONE {
            *slot = next;
            self.pairs.push((left, right));
            return next;
        }

        *slot
    }

    fn slot(&mut self, left: u32, right: u32) -> &mut u32 {
        let place = (left as usize) << self.bits | right as usize;
        if place >= TABLE_MAX {
            return self.beyond.entry((left, right)).or_insert(NONE);
        }
        if place >= self.table.len() {
            self.table.resize((place + 1).next_power_of_two(), NONE);
        }

        &mut self.table[place]
    }

    /// Grows the table for right numbers up to this one.
    fn widen(&mut self, right: u32) {
        self.bits = u32::BITS - right.leading_zeros();
        self.table.clear();
        for number in 0..self.pairs.len() {
            let (left, right) = self.pairs[number];
            *self.slot(left, right) = number as u32;
        }
    }
}

/// Some cells of a part, and what a report shows for them.
struct View<'a> {
    cells: &'a Cells,
    query: &'a Query,
    regions: RegionNames<'a>,
    selected: &'a [u32],
}

impl View<'_> {
    /// The numbers of the cells' values of a group.
    fn numbers(&self, group: &Group, known: &mut Numbered<String>) -> Vec<u32> {
        let cells = self.cells;
        let first = day_number(self.query.start);
        match group {
            Group::Day => self.numbered(
                known,
                self.days(),
                |cell| (cells.day(cell) - first) as usize,
                group,
            ),
            Group::Week | Group::Month => {
                let spans = spans(first, self.days(), group);
                self.numbered(
                    known,
                    self.days(),
                    |cell| spans[(cells.day(cell) - first) as usize],
                    group,
                )
            }
            Group::Provider => self.texts(known, cells.column(Dimension::Provider), group),
            Group::Account => self.texts(known, cells.column(Dimension::Account), group),
            Group::Region => self.region_numbers(known),
            Group::Zone => self.texts(known, cells.column(Dimension::Zone), group),
            Group::Service => self.texts(known, cells.column(Dimension::Service), group),
            Group::Category => self.texts(known, cells.column(Dimension::Category), group),
            Group::Pricing => self.numbered(known, 8, |cell| cells.pricing(cell) as usize, group),
            Group::Charge => self.numbered(known, 8, |cell| cells.kind(cell) as usize, group),
            Group::Model | Group::Tag(_) => match self.tags(group) {
                Some(column) => self.texts(known, column, group),
                None => vec![known.number(String::new()); self.selected.len()],
            },
        }
    }

    fn texts(&self, known: &mut Numbered<String>, column: &[u32], group: &Group) -> Vec<u32> {
        self.numbered(
            known,
            self.cells.texts().len(),
            |cell| column[cell] as usize,
            group,
        )
    }

    /// Two providers may share a region id, so both values are needed for the mesh's region.
    fn region_numbers(&self, known: &mut Numbered<String>) -> Vec<u32> {
        let providers = self.texts(
            &mut Numbered::default(),
            self.cells.column(Dimension::Provider),
            &Group::Provider,
        );
        let ids = self.cells.column(Dimension::Region);
        let mut pairs = Pairs::default();
        let mut shown: Vec<u32> = Vec::new();
        let number = |(cell, provider): (&u32, u32)| {
            let pair = pairs.number(provider, ids[*cell as usize]) as usize;
            if pair == shown.len() {
                shown.push(known.number(self.format(&Group::Region, *cell as usize)));
            }
            shown[pair]
        };

        self.selected.iter().zip(providers).map(number).collect()
    }

    /// The numbers of the cells' values, of which cells with the same `raw` number, below `bound`,
    /// have the same.
    fn numbered(
        &self,
        known: &mut Numbered<String>,
        bound: usize,
        raw: impl Fn(usize) -> usize,
        group: &Group,
    ) -> Vec<u32> {
        let mut numbers = vec![NONE; bound];
        let mut number = |cell: &u32| {
            let number = &mut numbers[raw(*cell as usize)];
            if *number == NONE {
                *number = known.number(self.format(group, *cell as usize));
            }
            *number
        };

        self.selected.iter().map(&mut number).collect()
    }

    /// What a report shows for a cell.
    fn format(&self, group: &Group, cell: usize) -> String {
        let cells = self.cells;
        let text = |dimension| cells.text(dimension, cell).to_owned();
        match group {
            Group::Day | Group::Week | Group::Month => format_time(cells.day(cell), group),
            Group::Provider => text(Dimension::Provider),
            Group::Account => text(Dimension::Account),
            Group::Region => {
                let provider = cells.text(Dimension::Provider, cell);
                let id = cells.text(Dimension::Region, cell);
                match id {
                    "" => String::new(),
                    id => (self.regions)(provider, id)
                        .unwrap_or_else(|| format!("{provider} {id}").trim().to_owned()),
                }
            }
            Group::Zone => text(Dimension::Zone),
            Group::Service => text(Dimension::Service),
            Group::Category => text(Dimension::Category),
            Group::Pricing => cells.pricing(cell).as_str().to_owned(),
            Group::Charge => cells.kind(cell).to_string(),
            Group::Model | Group::Tag(_) => self
                .tags(group)
                .map(|column| cells.texts()[column[cell] as usize].clone())
                .unwrap_or_default(),
        }
    }

    fn tags(&self, group: &Group) -> Option<&[u32]> {
        self.cells.tag_column(self.query.tag(group)?)
    }

    fn days(&self) -> usize {
        day_range(self.query.start, self.query.end).count()
    }
}

fn currency_numbers(cells: &Cells, selected: &[u32], known: &mut Numbered<Currency>) -> Vec<u32> {
    // Most bills have one currency: the last one is remembered.
    let mut last = None;
    let mut number = |cell: &u32| {
        let currency = cells.currency(*cell as usize);
        match last {
            Some((known, number)) if known == currency => number,
            _ => {
                let number = known.number(currency);
                last = Some((currency, number));
                number
            }
        }
    };

    selected.iter().map(&mut number).collect()
}

/// For each day, the number of its week or month, counted from the first day's.
fn spans(first: i32, days: usize, group: &Group) -> Vec<usize> {
    let mut spans = Vec::with_capacity(days);
    let mut last = None;
    let mut span = 0;

    for day in (first..).take(days) {
        let start = span_start(day, group);
        span += usize::from(last.is_some_and(|last| last != start));
        last = Some(start);
        spans.push(span);
    }

    spans
}

/// The first day of the week or month of a day; the day itself for any other group.
pub(super) fn span_start(day: i32, group: &Group) -> i32 {
    let Some(date) = day_of(day) else { return day };
    match group {
        Group::Week => day - i32::from(date.weekday().number_days_from_monday()),
        Group::Month => day - i32::from(date.day()) + 1,
        _ => day,
    }
}

/// A day, its week or its month as a report shows it.
pub(super) fn format_time(day: i32, group: &Group) -> String {
    let Some(start) = day_of(span_start(day, group)) else {
        return String::new();
    };
    if *group == Group::Month {
        Period::of(start).to_string()
    } else {
        start.to_string()
    }
}
