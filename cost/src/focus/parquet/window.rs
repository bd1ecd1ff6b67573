//! Reads a file in pieces that are larger than a page and its header: otherwise each takes several
//! system calls.

use bytes::{Buf, Bytes, buf::Reader};
use parquet::errors::Result;
use parquet::file::reader::{ChunkReader, Length};
use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes per read.
const WINDOW: usize = 128 << 10;

/// An input, and the piece of it that was read last.
pub(super) struct Window<R> {
    input: Arc<R>,
    /// End of the range that may be read ahead.
    end: u64,
    /// Start of the piece, and its bytes.
    piece: Mutex<(u64, Bytes)>,
}

impl<R: ChunkReader> Window<R> {
    /// Reads nothing ahead behind `end`.
    pub(super) fn new(input: Arc<R>, end: u64) -> Self {
        Self {
            input,
            end,
            piece: Mutex::default(),
        }
    }

    /// The bytes from `start` on that are read already, at least `length` of them.
    fn known(&self, start: u64, length: usize) -> Option<Bytes> {
        let piece = self.piece.lock().unwrap_or_else(PoisonError::into_inner);
        let from = usize::try_from(start.checked_sub(piece.0)?).ok()?;
        (piece.1.len() >= from.checked_add(length)?).then(|| piece.1.slice(from..))
    }

    /// The bytes from `start` on, at least `length` of them.
    fn bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        if let Some(bytes) = self.known(start, length) {
            return Ok(bytes);
        }

        let ahead = usize::try_from(self.end.saturating_sub(start))
            .unwrap_or(WINDOW)
            .min(WINDOW);
        let bytes = self.input.get_bytes(start, length.max(ahead))?;

        *self.piece.lock().unwrap_or_else(PoisonError::into_inner) = (start, bytes.clone());
        Ok(bytes)
    }
}

impl<R: ChunkReader> Length for Window<R> {
    fn len(&self) -> u64 {
        self.input.len()
    }
}

impl<R: ChunkReader> ChunkReader for Window<R> {
    type T = WindowReader<R>;

    fn get_read(&self, start: u64) -> Result<Self::T> {
        let bytes = self.bytes(start, 0)?;
        let next = start + bytes.len() as u64;
        Ok(WindowReader {
            bytes: bytes.reader(),
            input: Arc::clone(&self.input),
            next,
            rest: None,
        })
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        Ok(self.bytes(start, length)?.slice(..length))
    }
}

/// Reads what is known, then the input itself.
pub(super) struct WindowReader<R: ChunkReader> {
    bytes: Reader<Bytes>,
    input: Arc<R>,
    /// End of the known bytes.
    next: u64,
    rest: Option<R::T>,
}

impl<R: ChunkReader> Read for WindowReader<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.bytes.get_ref().has_remaining() {
            return self.bytes.read(out);
        }

        let rest = match &mut self.rest {
            Some(rest) => rest,
            none => none.insert(self.input.get_read(self.next).map_err(io::Error::other)?),
        };

        rest.read(out)
    }
}

#[cfg(test)]
mod tests;
