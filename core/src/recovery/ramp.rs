//! The ramp: how a recovered region takes its traffic back.
//!
//! First a cool-down, during which the region must stay healthy and which is longer for a region
//! that fails often; then steps, each a share of its normal weight, held for some time and until
//! enough requests were seen; worse errors or latency than in the regions that serve cost a step
//! and double its hold. Settings may change while a region is on the ramp, so every function here
//! is total: a step that no longer exists counts as the last one.

use serde::{Deserialize, Serialize};

/// One step of a ramp.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RampStep {
    /// Share of the region's normal weight, percent.
    #[schemars(range(min = 1, max = 100))]
    pub percent: u8,
    /// Shortest duration of the step, milliseconds.
    pub hold_ms: u64,
}

/// The return of a failed region: a cool-down, then a ramp. With the defaults it takes 5 + 35
/// minutes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RecoveryPolicy {
    /// Cool-down: how long a region must be healthy before its ramp begins, milliseconds. Doubles
    /// with each recent failure after the first.
    pub cool_down_ms: u64,
    /// Longest cool-down, milliseconds.
    pub cool_down_max_ms: u64,
    /// Time without a failure after which earlier failures are forgotten, milliseconds.
    pub forget_flaps_ms: u64,
    /// Steps of the ramp, with rising percents; the full share follows the last one.
    pub steps: Vec<RampStep>,
    /// A step lasts at least this many times `dns.ttl_s`: until then some resolvers still answer
    /// with the old weights. 5 covers the long tail of caches.
    pub ttl_multiple: u32,
    /// Requests that a region must have served before the next step. Thin traffic delays a ramp but
    /// does not stop it, since probes count eventually. 500 show an error rate of 2 % with more
    /// than 99 % certainty.
    pub min_requests: u64,
    /// Lower error rates count as this one when regions are compared, basis points: a single error
    /// is no trend.
    #[schemars(range(max = 10_000))]
    pub errors_floor_bp: u16,
}

/// Most doublings of a step's hold: 64 times the hold leaves time for an operator to act.
const DOUBLINGS_MAX: u8 = 6;

impl Default for RecoveryPolicy {
    fn default() -> Self {
        const MINUTE: u64 = 60_000;

        let step = |percent, minutes| RampStep {
            percent,
            hold_ms: minutes * MINUTE,
        };

        Self {
            cool_down_ms: 5 * MINUTE,
            cool_down_max_ms: 60 * MINUTE,
            forget_flaps_ms: 24 * 60 * MINUTE,
            steps: vec![
                step(1, 2),
                step(5, 3),
                step(10, 5),
                step(25, 5),
                step(50, 10),
                step(75, 10),
            ],
            ttl_multiple: 5,
            min_requests: 500,
            errors_floor_bp: 10,
        }
    }
}

/// What to do with a region on the ramp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RampMove {
    /// Stay on the step.
    Hold,
    /// Go to this step.
    Step(usize),
    /// The ramp is done: the full share.
    Full,
}

impl RecoveryPolicy {
    /// How long a region with `flaps` recent failures must be healthy before its ramp begins,
    /// milliseconds.
    ///
    /// `cool_down_ms × 2^(flaps - 1)`, at most `cool_down_max_ms`; a region without failures
    /// (drained, or new) waits `cool_down_ms`.
    pub fn cool_down_for(&self, flaps: u32) -> u64 {
        let doublings = flaps.saturating_sub(1);
        let factor = 1u64.checked_shl(doublings).unwrap_or(u64::MAX);
        self.cool_down_ms
            .saturating_mul(factor)
            .min(self.cool_down_max_ms)
    }

    /// Where a region goes when its cool-down ends, if it has `percent` of its share already: to
    /// the first step that takes nothing from it.
    pub(crate) fn enter(&self, percent: u8) -> RampMove {
        match self.steps.iter().position(|step| step.percent >= percent) {
            Some(step) => RampMove::Step(step),
            None => RampMove::Full,
        }
    }

    /// Shortest hold of `step`, milliseconds, with a DNS time to live of `ttl_ms`.
    pub(crate) fn hold_for(&self, step: usize, doublings: u8, ttl_ms: u64) -> u64 {
        let Some(last) = self.steps.len().checked_sub(1) else {
            return 0;
        };
        let configured_ms = self
            .steps
            .get(step.min(last))
            .map_or(0, |step| step.hold_ms);
        let hold_ms = configured_ms.max(ttl_ms.saturating_mul(u64::from(self.ttl_multiple)));

        hold_ms.saturating_mul(1 << doublings.min(DOUBLINGS_MAX))
    }

    /// The doublings after one more.
    pub(crate) fn doubled(&self, doublings: u8) -> u8 {
        doublings.saturating_add(1).min(DOUBLINGS_MAX)
    }

    /// Where a healthy region goes after `held_ms` of `hold_ms` on `step`. One step at a time,
    /// however long.
    pub(crate) fn advance(&self, step: usize, held_ms: u64, hold_ms: u64) -> RampMove {
        let Some(last) = self.steps.len().checked_sub(1) else {
            return RampMove::Full;
        };
        if held_ms < hold_ms {
            RampMove::Hold
        } else if step >= last {
            RampMove::Full
        } else {
            RampMove::Step(step + 1)
        }
    }

    /// The furthest that a healthy region comes from `entered` within `left_ms`, by the shortest
    /// holds.
    pub(crate) fn furthest(&self, entered: RampMove, mut left_ms: u64, ttl_ms: u64) -> RampMove {
        let mut reached = entered;
        while let RampMove::Step(step) = reached {
            let hold_ms = self.hold_for(step, 0, ttl_ms);
            match left_ms.checked_sub(hold_ms) {
                Some(rest_ms) => left_ms = rest_ms,
                None => break,
            }
            reached = self.advance(step, hold_ms, hold_ms);
        }
        reached
    }

    /// The step that a region falls back to from `step`.
    pub(crate) fn back(&self, step: usize) -> usize {
        step.min(self.steps.len().saturating_sub(1))
            .saturating_sub(1)
    }

    /// Share of the normal weight on `step`, percent, 1 to 100.
    pub fn percent_at(&self, step: usize) -> u8 {
        self.steps
            .get(step)
            .or(self.steps.last())
            .map_or(100, |step| step.percent.clamp(1, 100))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;
