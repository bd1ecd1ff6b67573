//! Counters of a model server's answers, and their latencies.

use serde::{Deserialize, Serialize};

/// Upper bounds of the latency histogram's buckets except the last, milliseconds: powers of two.
pub const LATENCY_BOUNDS_MS: [u64; 15] = [
    1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024, 2_048, 4_096, 8_192, 16_384,
];

/// Buckets of the latency histogram; the last is unbounded.
pub const LATENCY_BUCKETS: usize = LATENCY_BOUNDS_MS.len() + 1;

/// What was served, as counters that only grow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Served {
    /// Inferences answered.
    pub answered: u64,
    /// Inferences that ended in an error of the server.
    pub errors: u64,
    /// Probes answered: synthetic requests, for thin traffic.
    pub probes: u64,
    /// Inferences answered by latency, see [`LATENCY_BOUNDS_MS`].
    pub latency: [u64; LATENCY_BUCKETS],
}

impl Served {
    /// Inferences, answered or not.
    pub fn requests(&self) -> u64 {
        self.answered.saturating_add(self.errors)
    }

    /// What was added since `before`. A counter that decreased restarted with its process.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let has_restarted = self.answered < before.answered
            || self.errors < before.errors
            || self.probes < before.probes;
        if has_restarted {
            return *self;
        }

        let mut latency = self.latency;
        latency
            .iter_mut()
            .zip(before.latency)
            .for_each(|(now, before)| *now = now.saturating_sub(before));

        Self {
            answered: self.answered - before.answered,
            errors: self.errors - before.errors,
            probes: self.probes - before.probes,
            latency,
        }
    }

    /// The sum of both.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        let mut latency = self.latency;
        latency
            .iter_mut()
            .zip(other.latency)
            .for_each(|(own, other)| *own = own.saturating_add(other));

        Self {
            answered: self.answered.saturating_add(other.answered),
            errors: self.errors.saturating_add(other.errors),
            probes: self.probes.saturating_add(other.probes),
            latency,
        }
    }

    /// The index of the bucket for an answer that took `ms`.
    pub fn bucket(ms: f64) -> usize {
        LATENCY_BOUNDS_MS
            .iter()
            .position(|bound| ms <= *bound as f64)
            .unwrap_or(LATENCY_BUCKETS - 1)
    }
}
