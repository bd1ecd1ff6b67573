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

/// How a region comes back. Defaults: the schedule of the design, a full return takes 35 minutes after the gate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RecoveryPolicy {
    /// How long a region must be healthy before its ramp begins, milliseconds; doubled with each recent failure.
    pub gate_ms: u64,
    /// The longest gate, milliseconds.
    pub gate_max_ms: u64,
    /// After this long without a failure a region's failures are forgotten, milliseconds.
    pub forget_flaps_ms: u64,
    /// The steps; after the last, the full share.
    pub steps: Vec<RampStep>,
}

impl Default for RecoveryPolicy {
    fn default() -> Self {
        const MINUTE: u64 = 60_000;
        let step = |percent, minutes| RampStep { percent, hold_ms: minutes * MINUTE };
        Self {
            gate_ms: 5 * MINUTE,
            gate_max_ms: 60 * MINUTE,
            forget_flaps_ms: 24 * 60 * MINUTE,
            steps: vec![step(1, 2), step(5, 3), step(10, 5), step(25, 5), step(50, 10), step(75, 10)],
        }
    }
}
