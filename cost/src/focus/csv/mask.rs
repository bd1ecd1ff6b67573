//! Finds separators 64 bytes at a time: a bit for each byte, the first byte in the lowest.

#[cfg(target_arch = "x86_64")]
mod avx2;
mod found;

use found::Masks;
pub(super) use found::{BLOCK, Found, RecordEnd};

impl Found {
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
