//! The ramp: how a region that came back takes its traffic again.

use serde::{Deserialize, Serialize};

/// One step of a ramp.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RampStep {
    /// Share of the region's normal weight, percent.
    pub percent: u8,
    /// How long the step is held at least, milliseconds.
    pub hold_ms: u64,
}
