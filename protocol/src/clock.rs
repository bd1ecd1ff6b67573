//! Hybrid logical clocks: wall-clock time that never runs backwards across the mesh.
//!
//! Kulkarni et al. 2014, "Logical Physical Clocks". Callers pass in the wall time; nothing here
//! reads a clock.

use serde::{Deserialize, Serialize};
use std::fmt;

/// How far a peer's time may be ahead of our own clock before we ignore it, milliseconds. Without a
/// bound one agent with a broken clock would drag every clock of the mesh into the future.
pub(crate) const MAX_SKEW_MS: u64 = 5 * 60 * 1000;

/// A point in hybrid logical time; ordered by wall time, then by the logical counter.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct HybridTime {
    /// The largest clock seen, Unix milliseconds.
    pub wall_ms: u64,
    /// Orders events within one millisecond.
    pub counter: u32,
}

impl HybridTime {
    /// The next time for a local event; later than `self` and not before `now_ms`.
    #[must_use]
    pub fn next(self, now_ms: u64) -> Self {
        if now_ms > self.wall_ms {
            Self {
                wall_ms: now_ms,
                counter: 0,
            }
        } else if let Some(counter) = self.counter.checked_add(1) {
            Self {
                wall_ms: self.wall_ms,
                counter,
            }
        } else {
            Self {
                wall_ms: self.wall_ms + 1,
                counter: 0,
            }
        }
    }

    /// The clock after receiving `seen`: the later of both, unless `seen` is more than
    /// [`MAX_SKEW_MS`] ahead of `now_ms`.
    #[must_use]
    pub fn observe(self, seen: Self, now_ms: u64) -> Self {
        if seen.wall_ms > now_ms.saturating_add(MAX_SKEW_MS) {
            self
        } else {
            self.max(seen)
        }
    }
}

impl fmt::Display for HybridTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:015}-{:010}", self.wall_ms, self.counter)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
