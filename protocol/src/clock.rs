//! Hybrid logical clocks: wall-clock time that never runs backwards across the mesh.
//!
//! Kulkarni et al. 2014, "Logical Physical Clocks". Wall time is handed in; nothing here reads a
//! clock.

use serde::{Deserialize, Serialize};
use std::fmt;

/// How far ahead of our own clock a peer's time may be before we refuse to follow it, milliseconds.
/// Without a bound one agent with a broken clock would drag every clock of the mesh into the
/// future.
pub const MAX_SKEW_MS: u64 = 5 * 60 * 1000;

/// A point in hybrid logical time; ordered by wall time, then by the logical counter.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct HybridTime {
    /// Milliseconds since the Unix epoch, as the largest clock seen.
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

    /// The clock after hearing of `seen`: the later of both, unless `seen` is beyond
    /// [`MAX_SKEW_MS`] from `now_ms`.
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
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn time() -> impl Strategy<Value = HybridTime> {
        (0..1u64 << 45, any::<u32>()).prop_map(|(wall_ms, counter)| HybridTime { wall_ms, counter })
    }

    proptest! {
        #[test]
        fn next_is_later(time in time(), now_ms in 0..1u64 << 45) {
            let next = time.next(now_ms);
            prop_assert!(next > time && next.wall_ms >= now_ms);
        }

        #[test]
        fn observe_never_goes_back_nor_far_ahead(
            time in time(),
            seen in time(),
            now_ms in 0..1u64 << 45,
        ) {
            let after = time.observe(seen, now_ms);
            prop_assert!(after >= time && after.wall_ms <= time.wall_ms.max(now_ms + MAX_SKEW_MS));
        }

        #[test]
        fn text_sorts_as_time_does(a in time(), b in time()) {
            prop_assert_eq!(a.cmp(&b), a.to_string().cmp(&b.to_string()));
        }
    }
}
