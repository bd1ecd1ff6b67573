//! Where a file is cut into chunks: FastCDC (Xia et al. 2016, the 2020 revision), each chunk named
//! by BLAKE3.
//!
//! Content decides where a cut is, so that an insertion moves the cuts after it along and changes
//! only its own chunk: the next version of a model shares most chunks with the last. Chunks of 1
//! MiB on average keep a manifest at 40 bytes a megabyte and a request at a few of them, and still
//! find the shared parts of a fine-tuned model.

use crate::models::digest::Digest;
use fastcdc::v2020::FastCDC;
use serde::{Deserialize, Serialize};

/// One content-defined chunk of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunk {
    /// BLAKE3 of its bytes.
    pub digest: Digest,
    /// Its length, bytes.
    pub length: u32,
}

/// Shortest chunk but the last of a file, bytes.
pub const CHUNK_MIN: usize = 256 << 10;
/// Average chunk of random content, bytes.
pub const CHUNK_AVERAGE: usize = 1 << 20;
/// Longest chunk, bytes.
pub const CHUNK_MAX: usize = 4 << 20;

/// Cuts a file that arrives in pieces. Holds at most [`CHUNK_MAX`] and one piece in memory.
#[derive(Debug, Default)]
pub struct Chunker {
    pending: Vec<u8>,
    whole: blake3::Hasher,
    chunks: Vec<Chunk>,
    size: u64,
}

/// A file as cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// Size, bytes.
    pub size: u64,
    /// BLAKE3 of the whole.
    pub digest: Digest,
    /// The chunks, in order.
    pub chunks: Vec<Chunk>,
}

impl Chunker {
    /// Takes the next piece of the file.
    pub fn push(&mut self, piece: &[u8]) {
        self.whole.update(piece);
        self.size += piece.len() as u64;
        self.pending.extend_from_slice(piece);
        // Only where the longest chunk fits is a cut independent of what comes next.
        self.cut_while(|remaining| remaining >= CHUNK_MAX);
    }

    /// Cuts the rest.
    pub fn finish(mut self) -> Cut {
        self.cut_while(|remaining| remaining > 0);
        Cut {
            size: self.size,
            digest: Digest(*self.whole.finalize().as_bytes()),
            chunks: self.chunks,
        }
    }

    fn cut_while(&mut self, may_cut: impl Fn(usize) -> bool) {
        let mut start = 0;
        while may_cut(self.pending.len() - start) {
            let rest = &self.pending[start..];
            let (_, end) =
                FastCDC::new(rest, CHUNK_MIN, CHUNK_AVERAGE, CHUNK_MAX).cut(0, rest.len());
            let chunk = &rest[..end];

            // At most CHUNK_MAX, which fits.
            self.chunks.push(Chunk {
                digest: Digest::of(chunk),
                length: chunk.len() as u32,
            });

            start += end;
        }

        self.pending.drain(..start);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::{Rng, SeedableRng, rngs::StdRng};

    fn random(seed: u64, size: usize) -> Vec<u8> {
        let mut bytes = vec![0; size];
        StdRng::seed_from_u64(seed).fill_bytes(&mut bytes);
        bytes
    }

    fn cut(content: &[u8], piece: usize) -> Cut {
        let mut chunker = Chunker::default();
        content
            .chunks(piece.max(1))
            .for_each(|piece| chunker.push(piece));
        chunker.finish()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]
        #[test]
        fn the_cuts_do_not_depend_on_how_the_bytes_arrive(
            seed: u64,
            size in 0usize..12 << 20, piece in 1usize..3 << 20,
        ) {
            let content = random(seed, size);
            let cut = cut(&content, piece.max(4096));
            prop_assert_eq!(&cut, &self::cut(&content, content.len()));
            prop_assert_eq!(
                cut.chunks
                    .iter()
                    .map(|chunk| u64::from(chunk.length))
                    .sum::<u64>(),
                size as u64
            );

            let mut offset = 0;
            for (index, chunk) in cut.chunks.iter().enumerate() {
                let length = chunk.length as usize;
                prop_assert!(
                    length <= CHUNK_MAX && (length >= CHUNK_MIN || index + 1 == cut.chunks.len())
                );
                prop_assert_eq!(Digest::of(&content[offset..offset + length]), chunk.digest);
                offset += length;
            }
        }
    }

    #[test]
    fn an_insertion_changes_few_chunks() {
        let before = random(7, 32 << 20);
        let mut after = before.clone();
        after.splice(10 << 20..10 << 20, random(8, 1000));

        let before = cut(&before, 1 << 20);
        let after = cut(&after, 1 << 20);
        let shared = after
            .chunks
            .iter()
            .filter(|chunk| before.chunks.contains(chunk))
            .count();

        assert!(
            after.chunks.len() - shared <= 3,
            "{shared} of {} chunks are shared",
            after.chunks.len()
        );
    }

    #[test]
    fn an_empty_file_has_no_chunks() {
        assert_eq!(
            cut(&[], 1),
            Cut {
                size: 0,
                digest: Digest::of(&[]),
                chunks: vec![]
            }
        );
    }
}
