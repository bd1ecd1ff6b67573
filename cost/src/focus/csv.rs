//! Records of a CSV file, read from a stream in bounded memory.
//!
//! Separators are found 64 bytes at a time: a comma or line feed counts where the number of quotes
//! before it is even. That is correct for every valid RFC 4180 record. A record with an unexpected
//! number of fields, or one that spans lines, is read a second time byte by byte, where a quote
//! opens a field only at its start; so one stray quote costs its own line and not the rest of the
//! file.

mod mask;
mod strict;

use self::mask::{BLOCK, Found, RecordEnd};
use self::strict::Outcome;
use std::io::{self, Read};

/// The longest record that is read, bytes.
pub(super) const RECORD_MAX: usize = 1 << 20;
/// The buffer, which grows for longer records: small enough for the second-level cache.
const BUFFER: usize = 128 << 10;
/// How far to scan for separators ahead of the current record: both stay in the L1 cache, and
/// little is rescanned after a broken record.
const WINDOW: usize = 8 << 10;
/// Quotes without an end that a file may have: each costs a look at a whole megabyte.
const UNCLOSED_MAX: u32 = 16;
/// Bytes kept of a broken record.
const SAMPLE: usize = 200;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The records of a file.
#[derive(Debug)]
pub(super) struct Records<R> {
    input: R,
    /// The bytes from `start` to `end` are read and not used up.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    is_at_end: bool,
    /// Why reading ended before the file did.
    failure: Option<io::Error>,
    /// The number of the line that begins at `start`, from 1.
    line: u64,
    /// Bytes read from the input.
    bytes: u64,
    /// Fields that a record must have; 0 before the first.
    expected: usize,
    /// End of the scanned range.
    scanned: usize,
    found: Found,
    /// The first end and the first separator behind `start`.
    next_end: usize,
    next_mark: usize,
    /// Line feeds up to `start`, counted as in `found`.
    passed: u32,
    /// Separators of a record that was read byte by byte.
    strict_marks: Vec<u32>,
    /// Whether a missing final line feed was added.
    is_unterminated: bool,
    unclosed: u32,
    /// How a broken record begins.
    sample: Vec<u8>,
}

/// A record: its bytes and where its fields end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Record<'a> {
    buffer: &'a [u8],
    start: usize,
    marks: &'a [u32],
    /// The line on which it begins, from 1.
    pub(super) line: u64,
}

impl<'a> Record<'a> {
    /// The number of fields.
    pub(super) fn len(&self) -> usize {
        self.marks.len()
    }

    /// Field `index` as it is written, quotes included.
    #[inline]
    pub(super) fn field(&self, index: usize) -> &'a [u8] {
        let (rest, length) = self.field_and_rest(index);
        &rest[..length]
    }

    /// The bytes from the start of field `index`, and how many of them it has.
    #[inline]
    pub(super) fn field_and_rest(&self, index: usize) -> (&'a [u8], usize) {
        let start = if index == 0 {
            self.start
        } else {
            self.marks[index - 1] as usize + 1
        };
        let length = self.marks[index] as usize - start;
        let rest = &self.buffer[start..];
        let has_return = index + 1 == self.marks.len() && length > 0 && rest[length - 1] == b'\r';

        (rest, length - usize::from(has_return))
    }
}

/// The next item of a file.
#[derive(Debug)]
pub(super) enum Next<'a> {
    /// A record with the expected number of fields.
    Record(Record<'a>),
    /// A broken record: its line, the reason and its beginning.
    Broken(u64, Broken, &'a [u8]),
    /// The file ends here, or reading it failed.
    End,
}

/// Why a line is not a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Broken {
    /// Not the number of fields that the header has.
    Fields { found: usize, expected: usize },
    /// A quote inside a field, or text behind a closing quote.
    Quote,
    /// A quote that is not closed, or a record of more than a megabyte.
    TooLong,
    /// The file ends within the record.
    Cut,
}

impl<R: Read> Records<R> {
    pub(super) fn new(input: R) -> Self {
        Self {
            input,
            buffer: vec![0; BUFFER],
            start: 0,
            end: 0,
            is_at_end: false,
            failure: None,
            line: 1,
            bytes: 0,
            expected: 0,
            scanned: 0,
            found: Found::default(),
            next_end: 0,
            next_mark: 0,
            passed: 0,
            strict_marks: Vec::new(),
            is_unterminated: false,
            unclosed: 0,
            sample: Vec::new(),
        }
    }

    /// Bytes read so far.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Why reading ended before the file did.
    pub(super) fn failure(&self) -> Option<&io::Error> {
        self.failure.as_ref()
    }

    /// Whether reading stopped because too many quotes were never closed.
    pub(super) fn is_given_up(&self) -> bool {
        self.unclosed > UNCLOSED_MAX
    }

    /// The next record, which must have as many fields as the first one.
    pub(super) fn next(&mut self) -> Next<'_> {
        loop {
            if self.is_given_up() {
                return Next::End;
            }

            if self.next_end == self.found.ends.len() && !self.seek_ends() {
                // The remaining bytes hold no end of a record.
                return if self.start == self.end {
                    Next::End
                } else {
                    self.next_strictly()
                };
            }

            let record_end = self.found.ends[self.next_end];
            let marks = self.next_mark..record_end.marks as usize;
            let end = self.found.marks()[marks.end - 1] as usize;

            if marks.len() == 1 && matches!(self.buffer[self.start..end], [] | [b'\r']) {
                self.pass(record_end, end);
                continue;
            }

            let start = self.start;
            let line = self.line;
            let is_expected = marks.len() == self.expected || self.expected == 0;

            if is_expected && record_end.line_feeds == self.passed + 1 {
                self.expected = marks.len();
                self.pass(record_end, end);
                return Next::Record(Record {
                    buffer: &self.buffer,
                    start,
                    marks: &self.found.marks()[marks],
                    line,
                });
            }

            let outcome = strict::read(&self.buffer[..self.end], start, &mut self.strict_marks);
            let is_confirmed =
                outcome == Outcome::Complete && self.strict_marks.last() == Some(&(end as u32));

            if !is_confirmed || self.strict_marks.len() != self.expected {
                return self.next_strictly();
            }
            self.pass(record_end, end);
            return Next::Record(Record {
                buffer: &self.buffer,
                start,
                marks: &self.strict_marks,
                line,
            });
        }
    }

    /// Goes behind a record that ends at `end`.
    #[inline]
    fn pass(&mut self, record_end: RecordEnd, end: usize) {
        self.line += u64::from(record_end.line_feeds - self.passed);
        self.passed = record_end.line_feeds;
        self.next_mark = record_end.marks as usize;
        self.next_end += 1;
        self.start = end + 1;
    }

    /// Seeks separators until a record ends; whether one does.
    fn seek_ends(&mut self) -> bool {
        self.found.forget(self.next_mark);
        self.found.line_feeds -= self.passed;
        (self.next_mark, self.next_end, self.passed) = (0, 0, 0);

        while self.found.ends.is_empty() {
            if self.scanned - self.start > RECORD_MAX {
                return false;
            }

            if self.end - self.scanned >= BLOCK {
                let until = self.end.min(self.scanned + WINDOW);
                let (blocks, _) = self.buffer[self.scanned..until].as_chunks::<BLOCK>();
                self.found.scan(blocks, self.scanned);
                self.scanned += blocks.len() * BLOCK;
            } else if !self.is_at_end {
                self.fill();
            } else if self.scanned < self.end {
                // Less than a block is left.
                let mut block = [0; BLOCK];
                let rest = &self.buffer[self.scanned..self.end];
                block[..rest.len()].copy_from_slice(rest);
                self.found.scan(&[block], self.scanned);
                self.scanned = self.end;
            } else {
                return false;
            }
        }

        true
    }

    /// Reads more of the file, and makes room for it.
    fn fill(&mut self) {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.found.shift(self.start as u32);
            self.scanned -= self.start;
            self.end -= self.start;
            self.start = 0;
        }

        if self.end == self.buffer.len() {
            // At most twice the longest record: the caller stops there.
            self.buffer.resize(self.buffer.len() * 2, 0);
        }

        let is_first = self.bytes == 0;
        while self.end < self.buffer.len() {
            match self.input.read(&mut self.buffer[self.end..]) {
                Ok(0) => self.is_at_end = true,
                Ok(count) => {
                    self.end += count;
                    self.bytes += count as u64;
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    self.failure = Some(error);
                    self.is_at_end = true;
                }
            }

            break;
        }

        if is_first && self.buffer[..self.end].starts_with(BYTE_ORDER_MARK) {
            (self.start, self.scanned) = (BYTE_ORDER_MARK.len(), BYTE_ORDER_MARK.len());
        }

        let is_open = self.end > self.start && self.buffer[self.end - 1] != b'\n';
        if self.is_at_end && self.failure.is_none() && is_open && self.end < self.buffer.len() {
            // The last line needs no line feed.
            self.is_unterminated = true;
            self.buffer[self.end] = b'\n';
            self.end += 1;
        }
    }

    /// Reads the record at `start` byte by byte.
    fn next_strictly(&mut self) -> Next<'_> {
        self.resume(self.start);
        let outcome = loop {
            let limit = self.end.min(self.start + RECORD_MAX);
            let outcome = strict::read(&self.buffer[..limit], self.start, &mut self.strict_marks);
            if outcome != Outcome::Open || limit < self.end || self.is_at_end {
                break outcome;
            }
            self.fill();
        };

        let start = self.start;
        let line = self.line;
        let sample = &self.buffer[start..self.end.min(start + SAMPLE)];

        self.sample.clear();
        self.sample
            .extend(sample.iter().take_while(|byte| **byte != b'\n'));

        let broken = match (outcome, self.strict_marks.last()) {
            (Outcome::Complete, Some(end)) => {
                self.resume(*end as usize + 1);
                let found = self.strict_marks.len();
                let expected = if self.expected == 0 {
                    found
                } else {
                    self.expected
                };

                self.expected = expected;
                if found == expected {
                    return Next::Record(Record {
                        buffer: &self.buffer,
                        start,
                        marks: &self.strict_marks,
                        line,
                    });
                }

                let is_cut = self.is_unterminated && self.start == self.end;
                if is_cut {
                    Broken::Cut
                } else {
                    Broken::Fields { found, expected }
                }
            }
            (Outcome::Stray, _) => {
                self.skip_line();
                Broken::Quote
            }
            _ => {
                self.unclosed += 1;
                self.skip_line();

                let is_last = self.is_at_end && self.start == self.end;
                if is_last {
                    Broken::Cut
                } else {
                    Broken::TooLong
                }
            }
        };

        Next::Broken(line, broken, &self.sample)
    }

    /// Goes behind the next line feed.
    fn skip_line(&mut self) {
        loop {
            let rest = &self.buffer[self.start..self.end];
            if let Some(at) = rest.iter().position(|byte| *byte == b'\n') {
                return self.resume(self.start + at + 1);
            }
            if self.is_at_end {
                return self.resume(self.end);
            }

            // A line longer than a record may be: it goes as it comes.
            (self.start, self.scanned) = (self.end, self.end);
            self.fill();
        }
    }

    /// Continues at `place`, outside quotes.
    fn resume(&mut self, place: usize) {
        let passed = &self.buffer[self.start..place];
        self.line += passed.iter().filter(|byte| **byte == b'\n').count() as u64;
        self.start = place;
        self.scanned = place;
        self.found.clear();
        (self.next_mark, self.next_end, self.passed) = (0, 0, 0);
    }
}

#[cfg(test)]
mod tests;
