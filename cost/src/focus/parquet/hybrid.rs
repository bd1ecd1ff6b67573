//! Numbers of a few bits, in runs of equal ones and in packed ones: how Parquet writes levels and
//! codes of dictionaries (<https://parquet.apache.org/docs/file-format/data-pages/encodings/>,
//! "RLE/Bit-Packing Hybrid").

use bytes::Bytes;

/// The widest number, bits.
const WIDTH_MAX: u8 = 32;
/// Numbers that are unpacked together.
const UNPACKED: usize = 256;

/// Numbers that are read from front to back.
#[derive(Debug)]
pub(super) struct Hybrid {
    bytes: Bytes,
    /// Start of the next run.
    at: usize,
    /// Bits of a number.
    width: usize,
    run: Run,
}

/// Numbers one behind the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Run {
    /// One number, repeated.
    Equal { value: u32, count: usize },
    /// Packed numbers from this bit on.
    Packed { bit: usize, count: usize },
}

impl Hybrid {
    /// Numbers of `width` bits; `None` if they are wider than a dictionary's codes.
    pub(super) fn new(bytes: Bytes, width: u8) -> Option<Self> {
        let run = Run::Equal { value: 0, count: 0 };
        (width <= WIDTH_MAX).then(|| Self {
            bytes,
            at: 0,
            width: usize::from(width),
            run,
        })
    }

    /// Flags without runs, eight to a byte, the first one in its lowest bit.
    pub(super) fn flags(bytes: Bytes) -> Self {
        let count = bytes.len() * 8;
        Self {
            at: bytes.len(),
            bytes,
            width: 1,
            run: Run::Packed { bit: 0, count },
        }
    }

    /// The next numbers, at least one and at most `limit`; none at the end.
    #[inline]
    pub(super) fn take(&mut self, limit: usize) -> Option<Run> {
        loop {
            match &mut self.run {
                Run::Equal { count: 0, .. } | Run::Packed { count: 0, .. } => {
                    self.run = self.next_run()?
                }
                Run::Equal { value, count } => {
                    let taken = limit.min(*count);
                    *count -= taken;
                    return Some(Run::Equal {
                        value: *value,
                        count: taken,
                    });
                }
                Run::Packed { bit, count } => {
                    let taken = limit.min(*count);
                    let from = *bit;
                    *count -= taken;
                    *bit += taken * self.width;
                    return Some(Run::Packed {
                        bit: from,
                        count: taken,
                    });
                }
            }
        }
    }

    /// Reads indices into a table of values; `None` if there are too few, or one is beyond the
    /// table.
    #[inline]
    pub(super) fn look_up<T: Copy>(&mut self, table: &[T], mut out: &mut [T]) -> Option<()> {
        let mut codes = [0; UNPACKED];
        while !out.is_empty() {
            match self.take(out.len())? {
                Run::Equal { value, count } => {
                    let (now, rest) = out.split_at_mut(count);
                    now.fill(*table.get(value as usize)?);
                    out = rest;
                }
                Run::Packed { mut bit, count } => {
                    let (now, rest) = out.split_at_mut(count);
                    for chunk in now.chunks_mut(UNPACKED) {
                        self.unpack(bit, &mut codes[..chunk.len()]);
                        bit += chunk.len() * self.width;
                        for (to, code) in chunk.iter_mut().zip(&codes) {
                            *to = *table.get(*code as usize)?;
                        }
                    }

                    out = rest;
                }
            }
        }

        Some(())
    }

    /// The packed numbers from a bit on.
    #[inline]
    pub(super) fn unpack(&self, bit: usize, out: &mut [u32]) {
        let groups = if bit.is_multiple_of(8) {
            self.unpack_groups(bit / 8, out)
        } else {
            0
        };

        self.unpack_each(bit + groups * 8 * self.width, &mut out[groups * 8..]);
    }

    /// Unpacks groups of eight, which begin and end with bytes; returns how many.
    #[inline]
    fn unpack_groups(&self, start: usize, out: &mut [u32]) -> usize {
        let bytes = self.bytes.get(start..).unwrap_or_default();
        match self.width {
            1 => groups::<1>(bytes, out),
            2 => groups::<2>(bytes, out),
            3 => groups::<3>(bytes, out),
            4 => groups::<4>(bytes, out),
            5 => groups::<5>(bytes, out),
            6 => groups::<6>(bytes, out),
            7 => groups::<7>(bytes, out),
            8 => groups::<8>(bytes, out),
            9 => groups::<9>(bytes, out),
            10 => groups::<10>(bytes, out),
            11 => groups::<11>(bytes, out),
            12 => groups::<12>(bytes, out),
            13 => groups::<13>(bytes, out),
            14 => groups::<14>(bytes, out),
            15 => groups::<15>(bytes, out),
            16 => groups::<16>(bytes, out),
            _ => 0,
        }
    }

    #[inline]
    fn unpack_each(&self, bit: usize, out: &mut [u32]) {
        let bytes = self.bytes.as_ref();
        let mask = (1u64 << self.width) - 1;
        for (index, to) in out.iter_mut().enumerate() {
            let bit = bit + index * self.width;
            let rest = bytes.get(bit / 8..).unwrap_or_default();
            let word = match rest.first_chunk::<8>() {
                Some(word) => u64::from_le_bytes(*word),
                None => little_endian(rest),
            };

            *to = (word >> (bit % 8) & mask) as u32;
        }
    }

    /// `None` at the end and if the rest is not a run.
    fn next_run(&mut self) -> Option<Run> {
        let header = self.header()?;
        let rest = self.bytes.get(self.at..)?;
        let count = usize::try_from(header >> 1).ok()?;

        if header & 1 == 0 {
            let value = rest.get(..self.width.div_ceil(8))?;
            self.at += value.len();
            return Some(Run::Equal {
                value: little_endian(value) as u32,
                count,
            });
        }

        let count = count.checked_mul(8)?;
        if self.width == 0 {
            return Some(Run::Equal { value: 0, count });
        }

        // Some writers leave out what fills the last group.
        let count = count.min(rest.len() * 8 / self.width);
        let bit = self.at * 8;

        self.at = self
            .bytes
            .len()
            .min(self.at + (count * self.width).div_ceil(8));

        Some(Run::Packed { bit, count })
    }

    /// Seven bits a byte, the lowest first.
    fn header(&mut self) -> Option<u64> {
        let mut header = 0;
        for shift in (0..35).step_by(7) {
            let byte = *self.bytes.get(self.at)?;
            self.at += 1;
            header |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(header);
            }
        }

        None
    }
}

/// Unpacks groups of eight numbers of `W` bits, at most 16: all shifts are constants. Returns how
/// many groups.
fn groups<const W: usize>(bytes: &[u8], out: &mut [u32]) -> usize {
    let (packed, _) = bytes.as_chunks::<W>();
    let (groups, _) = out.as_chunks_mut::<8>();
    let count = packed.len().min(groups.len());
    let mask = (1u64 << W) - 1;

    for (group, packed) in groups.iter_mut().zip(packed) {
        let mut words = [0; 16];
        words[..W].copy_from_slice(packed);

        let words = u128::from_le_bytes(words);
        // Four numbers fit a word.
        let low = words as u64;
        let high = (words >> (4 * W)) as u64;

        for at in 0..4 {
            group[at] = (low >> (at * W) & mask) as u32;
            group[at + 4] = (high >> (at * W) & mask) as u32;
        }
    }

    count
}

/// The number that at most eight bytes write.
fn little_endian(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .rev()
        .fold(0, |word, byte| word << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests;
