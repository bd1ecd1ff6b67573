//! The time, as an argument.

use std::time::{Duration, Instant};

/// The time of one input, by both clocks of this agent's machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// The monotonic clock: timeouts, pauses, ages.
    pub monotonic: Instant,
    /// The system clock, Unix milliseconds: times that other agents or people read. It may be wrong
    /// and may be set.
    pub unix_ms: u64,
}

/// Whole milliseconds.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
