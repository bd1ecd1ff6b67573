//! Finds separators 64 bytes at a time: a bit for each byte, the first byte in the lowest.

/// Bytes that are looked at together.
pub(super) const BLOCK: usize = 64;

/// A bit per byte of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Masks {
    quotes: u64,
    /// Commas and line feeds.
    separators: u64,
    line_feeds: u64,
}

/// Where a record ends.
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

/// Two comparisons and two moves for 64 bytes, and instructions that count, find and pair bits.
#[cfg(target_arch = "x86_64")]
mod avx2 {
    use super::{BLOCK, Found, Masks};
    use std::arch::x86_64::{
        __m256i, _mm_clmulepi64_si128, _mm_cvtsi128_si64, _mm_set_epi64x, _mm_set1_epi8,
        _mm256_cmpeq_epi8, _mm256_loadu_si256, _mm256_movemask_epi8, _mm256_or_si256,
        _mm256_set1_epi8,
    };

    /// Whether this processor can do it, and it was done.
    #[allow(unsafe_code)]
    pub(super) fn scan(found: &mut Found, blocks: &[[u8; BLOCK]], place: usize) -> bool {
        let is_supported = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("bmi1")
            && is_x86_feature_detected!("pclmulqdq")
            && is_x86_feature_detected!("popcnt");

        if is_supported {
            // SAFETY: the processor has the instructions that the function is compiled for.
            unsafe { scan_blocks(found, blocks, place) };
        }

        is_supported
    }

    #[target_feature(enable = "avx2,bmi1,pclmulqdq,popcnt")]
    fn scan_blocks(found: &mut Found, blocks: &[[u8; BLOCK]], place: usize) {
        for (index, block) in blocks.iter().enumerate() {
            let block = masks(block);
            found.add(block, parity(block.quotes), place + index * BLOCK);
        }
    }

    /// A product without carries, by ones alone, has in each bit the parity of the bits up to it.
    #[target_feature(enable = "avx2,bmi1,pclmulqdq,popcnt")]
    #[inline]
    fn parity(bits: u64) -> u64 {
        let product = _mm_clmulepi64_si128::<0>(_mm_set_epi64x(0, bits as i64), _mm_set1_epi8(-1));
        _mm_cvtsi128_si64(product) as u64
    }

    #[allow(unsafe_code)]
    #[target_feature(enable = "avx2,bmi1,pclmulqdq,popcnt")]
    #[inline]
    fn masks(block: &[u8; BLOCK]) -> Masks {
        let (halves, _) = block.as_chunks::<32>();
        let [low, high] = [halves[0], halves[1]].map(|half| {
            // SAFETY: a half has the 32 bytes that are read, wherever they lie.
            unsafe { _mm256_loadu_si256(half.as_ptr().cast()) }
        });
        let equal =
            |bytes: __m256i, byte: u8| _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8(byte as i8));
        let bits = |low: __m256i, high: __m256i| {
            let low = u64::from(_mm256_movemask_epi8(low) as u32);
            low | u64::from(_mm256_movemask_epi8(high) as u32) << 32
        };
        let line_feeds = (equal(low, b'\n'), equal(high, b'\n'));
        let low_separators = _mm256_or_si256(equal(low, b','), line_feeds.0);
        let high_separators = _mm256_or_si256(equal(high, b','), line_feeds.1);

        Masks {
            quotes: bits(equal(low, b'"'), equal(high, b'"')),
            separators: bits(low_separators, high_separators),
            line_feeds: bits(line_feeds.0, line_feeds.1),
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
