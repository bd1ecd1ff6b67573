//! How long a request that joins a queue will wait, judged by how long the ones before it took.
//!
//! A server that knows this immediately refuses what it would answer too late, and says when to
//! retry. A bound on the *number* of waiting requests can't do that: sixteen take 16 ms with a
//! model that takes 1 ms, and a minute with one that takes 4 s.

/// Weight of a new duration in the average: an eighth, as in TCP's round-trip estimate (RFC 6298).
const GAIN_SHIFT: u32 = 3;

/// A moving average of how long one place is taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QueueEstimate {
    service_us: Option<u64>,
}

impl QueueEstimate {
    /// A place was taken for `took_us`, microseconds.
    pub fn record(&mut self, took_us: u64) {
        self.service_us = Some(match self.service_us {
            None => took_us,
            Some(average) if took_us >= average => {
                average.saturating_add((took_us - average) >> GAIN_SHIFT)
            }
            Some(average) => average - ((average - took_us) >> GAIN_SHIFT),
        });
    }

    /// How long a request waits behind `ahead` others for one of `places`, all taken, microseconds.
    /// 0 until something was recorded: without an estimate nothing is refused.
    pub fn wait_us(&self, ahead: usize, places: usize) -> u64 {
        let service_us = u128::from(self.service_us.unwrap_or(0));
        let wait_us = service_us * (ahead as u128 + 1) / places.max(1) as u128;
        u64::try_from(wait_us).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;
