//! Builds cells from charges.

use super::{CellKey, Cells, Dimension, Head, Sums};
use crate::{date::day_number, money::Amount};
use hashbrown::{DefaultHashBuilder, HashTable};
use std::hash::{BuildHasher, Hash, Hasher};

/// Amounts not yet added to a cell's sums. They fill half a cache line, so twice as many cells stay
/// cached while rows are read.
#[derive(Debug, Clone, Copy, Default)]
#[repr(align(32))]
struct Recent {
    effective: i64,
    billed: i64,
    list: i64,
    rows: u64,
}

impl Recent {
    /// The sum; `None` on overflow.
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

/// Builds cells from charges in any order.
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
    /// `tag_keys` are the tags that distinguish cells.
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

    /// The index of the cell of `key`, created on first use. Indices stay valid, so callers may
    /// cache them.
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

    /// Prefetches a cell.
    #[inline]
    pub(crate) fn touch(&self, place: u32) -> u64 {
        self.recent[place as usize].rows
    }

    pub fn len(&self) -> usize {
        self.sums.len()
    }

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

        let order = sorted(&all);
        let (texts, columns) = renumbered(&all, &order);

        let mut names = all.texts;
        let in_order = || order.iter().map(|index| *index as usize);
        Cells {
            texts: texts
                .iter()
                .map(|text| std::mem::take(&mut names[*text as usize]))
                .collect(),
            days: in_order().map(|index| all.days[index]).collect(),
            kinds: in_order().map(|index| all.kinds[index]).collect(),
            pricings: in_order().map(|index| all.pricings[index]).collect(),
            currencies: in_order().map(|index| all.currencies[index]).collect(),
            columns,
            effective: in_order().map(|index| sums[index].effective).collect(),
            billed: in_order().map(|index| sums[index].billed).collect(),
            list: in_order().map(|index| sums[index].list).collect(),
            rows: in_order().map(|index| sums[index].rows).collect(),
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

/// The order of the cells by content. Texts are compared by rank, so only numbers are compared.
fn sorted(all: &Cells) -> Vec<u32> {
    let mut by_text: Vec<u32> = (0..all.texts.len() as u32).collect();
    by_text.sort_unstable_by_key(|place| &all.texts[*place as usize]);

    let mut ranks = vec![0u32; by_text.len()];
    for (rank, place) in by_text.iter().enumerate() {
        ranks[*place as usize] = rank as u32;
    }

    let mut order: Vec<u32> = (0..all.days.len() as u32).collect();
    order.sort_unstable_by(|a, b| {
        let a = *a as usize;
        let b = *b as usize;
        let texts = |index: usize| all.columns.iter().map(move |column| column[index]);
        let ranked = |index: usize| texts(index).map(|text| ranks[text as usize]);

        all.head(a)
            .cmp(&all.head(b))
            .then_with(|| ranked(a).cmp(ranked(b)))
    });

    order
}

/// Numbers texts by first use in the given order of cells. Returns the old numbers of the texts and
/// the new columns.
fn renumbered(all: &Cells, order: &[u32]) -> (Vec<u32>, Vec<Vec<u32>>) {
    let mut numbers = vec![u32::MAX; all.texts.len()];
    let mut texts: Vec<u32> = Vec::with_capacity(all.texts.len());
    let mut columns = vec![Vec::with_capacity(order.len()); all.columns.len()];

    for index in order {
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

    (texts, columns)
}

fn hash_cell(hasher: &DefaultHashBuilder, head: Head, texts: impl Iterator<Item = u32>) -> u64 {
    let mut state = hasher.build_hasher();
    head.hash(&mut state);
    texts.for_each(|text| state.write_u32(text));
    state.finish()
}
