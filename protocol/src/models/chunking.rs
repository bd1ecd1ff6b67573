//! Cuts files into chunks: FastCDC (Xia et al. 2016, the 2020 revision), each chunk identified by
//! BLAKE3.
//!
//! Content decides where to cut, so that an insertion shifts later cuts and changes only its own
//! chunk: the next version of a model shares most chunks with the last. Chunks of 1 MiB on average
//! keep a manifest at 40 bytes per megabyte and a request at a few chunks, and still find the
//! shared parts of a fine-tuned model.

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

/// Shortest chunk, except the last of a file, bytes.
pub(crate) const CHUNK_MIN: usize = 256 << 10;
/// Average chunk of random content, bytes.
pub(crate) const CHUNK_AVERAGE: usize = 1 << 20;
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

/// A file cut into chunks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// Size, bytes.
    pub size: u64,
    /// BLAKE3 of the whole file.
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
        // A cut is independent of later bytes only if the longest chunk fits.
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
mod tests;
