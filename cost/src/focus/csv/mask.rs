//! Finds separators 64 bytes at a time: a bit for each byte, the first byte in the lowest.

#[cfg(target_arch = "x86_64")]
mod avx2;

/// Bytes per block.
pub(super) const BLOCK: usize = 64;

/// A bit per byte of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Masks {
    quotes: u64,
    /// Commas and line feeds.
    separators: u64,
    line_feeds: u64,
}

/// End of a record.
#[derive(Debug, Clone, Copy)]
pub(super) struct RecordEnd {
    /// Separators up to and with its line feed.
    pub(super) marks: u32,
    /// Line feeds up to and with it, those inside quotes too.
    pub(super) line_feeds: u32,
}

/// Separators and record ends found so far.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Places of separators outside quotes; only the first `marks` of them count.
    places: Vec<u32>,
    marks: usize,
    pub(super) ends: Vec<RecordEnd>,
    /// All ones where the last block ends inside quotes.
    pub(super) quoted: u64,
    pub(super) line_feeds: u32,
}

impl Found {
    /// The places of separators.
    #[inline]
    pub(super) fn marks(&self) -> &[u32] {
        &self.places[..self.marks]
    }

    /// Forgets the first separators, and all ends.
    pub(super) fn forget(&mut self, marks: usize) {
        self.places.copy_within(marks..self.marks, 0);
        self.marks -= marks;
        self.ends.clear();
    }

    /// Forgets everything, as if outside quotes.
    pub(super) fn clear(&mut self) {
        self.ends.clear();
        (self.marks, self.quoted, self.line_feeds) = (0, 0, 0);
    }

    /// The bytes moved down by `by`.
    pub(super) fn shift(&mut self, by: u32) {
        self.places[..self.marks]
            .iter_mut()
            .for_each(|place| *place -= by);
    }

    /// Scans blocks; the first begins at `place`.
    pub(super) fn scan(&mut self, blocks: &[[u8; BLOCK]], place: usize) {
        self.places.resize(
            self.places
                .len()
                .max(self.marks + (blocks.len() + 1) * BLOCK),
            0,
        );

        #[cfg(target_arch = "x86_64")]
        if avx2::scan(self, blocks, place) {
            return;
        }

        for (index, block) in blocks.iter().enumerate() {
            let found = masks(block);
            self.add(found, parity(found.quotes), place + index * BLOCK);
        }
    }

    /// Adds what a block has; `parity` is that of its quotes.
    #[inline(always)]
    fn add(&mut self, found: Masks, parity: u64, place: usize) {
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

const LOW_BITS: u64 = 0x0101_0101_0101_0101;
/// One bit in each byte, the lowest one in the first.
const DIAGONAL: u64 = 0x8040_2010_0804_0201;

/// Looks for the three bytes on any processor; compilers make vector instructions of the
/// comparisons.
fn masks(block: &[u8; BLOCK]) -> Masks {
    let equal = |wanted: u8| block.map(|byte| if byte == wanted { 0xff } else { 0 });
    let line_feeds = gather(&equal(b'\n'));
    Masks {
        quotes: gather(&equal(b'"')),
        separators: gather(&equal(b',')) | line_feeds,
        line_feeds,
    }
}

/// A bit for each byte, which is 0 or 255.
fn gather(bytes: &[u8; BLOCK]) -> u64 {
    let (words, _) = bytes.as_chunks::<8>();
    let mut bits = 0;
    for (index, word) in words.iter().enumerate() {
        // The product's highest byte is the sum of all: a bit of each.
        let byte = (u64::from_le_bytes(*word) & DIAGONAL).wrapping_mul(LOW_BITS) >> 56;
        bits |= byte << (index * 8);
    }

    bits
}

/// Bit by bit, whether the number of ones up to and with this bit is odd: the bytes from an opening
/// quote to its closing one.
#[inline(always)]
fn parity(mut bits: u64) -> u64 {
    for shift in [1, 2, 4, 8, 16, 32] {
        bits ^= bits << shift;
    }
    bits
}

#[cfg(test)]
mod tests;
