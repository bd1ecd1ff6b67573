//! The separators and record ends found so far.

/// Bytes per block.
pub(in crate::focus::csv) const BLOCK: usize = 64;

/// A bit per byte of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Masks {
    pub(super) quotes: u64,
    /// Commas and line feeds.
    pub(super) separators: u64,
    pub(super) line_feeds: u64,
}

/// End of a record.
#[derive(Debug, Clone, Copy)]
pub(in crate::focus::csv) struct RecordEnd {
    /// Separators up to and with its line feed.
    pub(in crate::focus::csv) marks: u32,
    /// Line feeds up to and with it, those inside quotes too.
    pub(in crate::focus::csv) line_feeds: u32,
}

/// Separators and record ends found so far.
#[derive(Debug, Default)]
pub(in crate::focus::csv) struct Found {
    /// Places of separators outside quotes; only the first `marks` of them count.
    pub(super) places: Vec<u32>,
    pub(super) marks: usize,
    pub(in crate::focus::csv) ends: Vec<RecordEnd>,
    /// All ones where the last block ends inside quotes.
    pub(in crate::focus::csv) quoted: u64,
    pub(in crate::focus::csv) line_feeds: u32,
}

impl Found {
    /// The places of separators.
    #[inline]
    pub(in crate::focus::csv) fn marks(&self) -> &[u32] {
        &self.places[..self.marks]
    }

    /// Forgets the first separators, and all ends.
    pub(in crate::focus::csv) fn forget(&mut self, marks: usize) {
        self.places.copy_within(marks..self.marks, 0);
        self.marks -= marks;
        self.ends.clear();
    }

    /// Forgets everything, as if outside quotes.
    pub(in crate::focus::csv) fn clear(&mut self) {
        self.ends.clear();
        (self.marks, self.quoted, self.line_feeds) = (0, 0, 0);
    }

    /// The bytes moved down by `by`.
    pub(in crate::focus::csv) fn shift(&mut self, by: u32) {
        self.places[..self.marks]
            .iter_mut()
            .for_each(|place| *place -= by);
    }

    /// Adds what a block has; `parity` is that of its quotes.
    #[inline(always)]
    pub(super) fn add(&mut self, found: Masks, parity: u64, place: usize) {
        let quoted = parity ^ self.quoted;
        // The highest bit, spread over all.
        self.quoted = (quoted as i64 >> 63) as u64;

        let mut separators = found.separators & !quoted;

        if found.line_feeds != 0 {
            let mut record_ends = found.line_feeds & !quoted;
            while record_ends != 0 {
                // The lowest one and all bits below.
                let until = record_ends ^ (record_ends - 1);
                let marks = self.marks as u32 + (separators & until).count_ones();
                let line_feeds = self.line_feeds + (found.line_feeds & until).count_ones();

                self.ends.push(RecordEnd { marks, line_feeds });
                record_ends &= record_ends - 1;
            }

            self.line_feeds += found.line_feeds.count_ones();
        }

        let Some(places) = self.places[self.marks..].first_chunk_mut::<BLOCK>() else {
            return;
        };
        let count = separators.count_ones() as usize;

        self.marks += count;
        let mut write = |to: &mut u32| {
            *to = place as u32 + separators.trailing_zeros();
            separators &= separators.wrapping_sub(1);
        };

        // Eight writes, useful or not, cost less than a jump that is predicted wrongly.
        let (first, others) = places.split_at_mut(8);
        first.iter_mut().for_each(&mut write);
        if count > 8 {
            others.iter_mut().take(count - 8).for_each(write);
        }
    }
}
