//! Two comparisons and two moves for 64 bytes, and instructions that count, find and pair bits.

use super::found::{BLOCK, Found, Masks};
use std::arch::x86_64::{
    __m256i, _mm_clmulepi64_si128, _mm_cvtsi128_si64, _mm_set_epi64x, _mm_set1_epi8,
    _mm256_cmpeq_epi8, _mm256_loadu_si256, _mm256_movemask_epi8, _mm256_or_si256, _mm256_set1_epi8,
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
    let equal = |bytes: __m256i, byte: u8| _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8(byte as i8));
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
