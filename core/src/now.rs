//! The time, as an argument.

use std::time::Instant;

/// The time of one input, by both clocks of this agent's machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// The monotonic clock: timeouts, pauses, ages.
    pub monotonic: Instant,
    /// The system clock, Unix milliseconds: times that other agents or people read. It may be wrong
    /// and may be set.
    pub unix_ms: u64,
}
