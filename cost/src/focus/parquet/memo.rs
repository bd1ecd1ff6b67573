//! Series by the codes of a row. The codes of all columns are packed into one number, so a row
//! costs one look into a small table instead of a hash over all of its codes.

/// A cache of the series of packed codes; colliding entries replace each other.
#[derive(Debug)]
pub(super) struct Memo {
    /// Packed codes and their series.
    slots: Vec<(u64, u32)>,
    /// Bits of each column.
    widths: Vec<u32>,
    keys: Vec<u64>,
    is_usable: bool,
}

/// A power of two. Series are much fewer, so few share a slot.
const SLOT_BITS: u32 = 14;
const NO_SERIES: u32 = u32::MAX;

impl Memo {
    pub(super) fn new() -> Self {
        let slots = vec![(0, NO_SERIES); 1 << SLOT_BITS];
        Self {
            slots,
            widths: Vec::new(),
            keys: Vec::new(),
            is_usable: false,
        }
    }

    /// Forgets all series.
    pub(super) fn clear(&mut self) {
        self.slots.fill((0, NO_SERIES));
    }

    /// Packs the codes of `rows` rows: for each column, its highest code and the codes. A column
    /// whose only code is 0 needs none.
    pub(super) fn pack<'a>(
        &mut self,
        rows: usize,
        columns: impl Iterator<Item = (u32, &'a [u32])> + Clone,
    ) {
        let widths = columns
            .clone()
            .map(|(highest, _)| u32::BITS - highest.leading_zeros());
        if !widths.clone().eq(self.widths.iter().copied()) {
            // Numbers mean other codes now.
            self.clear();
            self.widths.clear();
            self.widths.extend(widths);
        }

        self.is_usable = self.widths.iter().sum::<u32>() <= u64::BITS;
        if !self.is_usable {
            return;
        }
        self.keys.clear();
        self.keys.resize(rows, 0);

        let mut shift = 0;
        for ((_, codes), width) in columns.zip(&self.widths).filter(|(_, width)| **width > 0) {
            for (key, code) in self.keys.iter_mut().zip(codes) {
                *key |= u64::from(*code) << shift;
            }
            shift += width;
        }
    }

    /// The series of a packed row.
    #[inline]
    pub(super) fn get(&self, row: usize) -> Option<u32> {
        if !self.is_usable {
            return None;
        }

        let key = self.keys[row];
        let (known, series) = self.slots[slot(key)];
        (known == key && series != NO_SERIES).then_some(series)
    }

    /// Remembers the series of a packed row.
    pub(super) fn set(&mut self, row: usize, series: u32) {
        if self.is_usable {
            let key = self.keys[row];
            self.slots[slot(key)] = (key, series);
        }
    }
}

/// Fibonacci hashing: the upper bits of a product depend on all bits of the key.
#[inline]
fn slot(key: u64) -> usize {
    (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (u64::BITS - SLOT_BITS)) as usize
}

#[cfg(test)]
mod tests;
