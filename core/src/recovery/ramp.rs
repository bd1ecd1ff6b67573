//! The ramp: how a region that came back takes its traffic again.
//!
//! First a gate, which the region must pass in good health and which is longer for a region that
//! fails often; then steps, each a share of its normal weight held for a while and until enough
//! requests were seen; worse errors or latency than in the regions that serve cost a step and
//! double its hold. Settings may change while a region is on the ramp, so every answer here is
//! total: a step that is no longer there counts as the last one.

use serde::{Deserialize, Serialize};

/// One step of a ramp.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RampStep {
    /// Share of the region's normal weight, percent.
    pub percent: u8,
    /// How long the step is held at least, milliseconds.
    pub hold_ms: u64,
}

/// How a region comes back. Defaults: the schedule of the design, a full return takes 35 minutes
/// after the gate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RecoveryPolicy {
    /// How long a region must be healthy before its ramp begins, milliseconds; doubled with each
    /// recent failure.
    pub gate_ms: u64,
    /// The longest gate, milliseconds.
    pub gate_max_ms: u64,
    /// After this long without a failure a region's failures are forgotten, milliseconds.
    pub forget_flaps_ms: u64,
    /// The steps; after the last, the full share.
    pub steps: Vec<RampStep>,
    /// Each step is held for at least this many times the time to live of DNS answers: before, not
    /// all resolvers know of it. 5: the long-lived tail of caches has followed.
    pub ttl_multiple: u32,
    /// Each step is held until the region saw this many requests; probes count in the end, so that
    /// thin traffic delays and does not stop a ramp. 500: 2 % of errors show with more than 99 %
    /// certainty.
    pub min_requests: u64,
    /// Error rates below this count as this when regions are compared, basis points: a single error
    /// is no trend.
    pub errors_floor_bp: u16,
}

/// Most doublings of a step's hold: 64 times is as good as an operator's attention.
const DOUBLINGS_MAX: u8 = 6;

impl Default for RecoveryPolicy {
    fn default() -> Self {
        const MINUTE: u64 = 60_000;

        let step = |percent, minutes| RampStep {
            percent,
            hold_ms: minutes * MINUTE,
        };

        Self {
            gate_ms: 5 * MINUTE,
            gate_max_ms: 60 * MINUTE,
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
pub enum RampMove {
    /// Stay on the step.
    Hold,
    /// Go on this step.
    Step(usize),
    /// The ramp is done: the full share.
    Full,
}

impl RecoveryPolicy {
    /// How long a region with so many recent failures must be healthy before its ramp begins,
    /// milliseconds.
    ///
    /// `gate_ms × 2^(flaps - 1)`, at most `gate_max_ms`; a region without failures (drained, or
    /// new) waits `gate_ms`.
    pub fn gate_for(&self, flaps: u32) -> u64 {
        let doublings = flaps.saturating_sub(1);
        let factor = 1u64.checked_shl(doublings).unwrap_or(u64::MAX);
        self.gate_ms.saturating_mul(factor).min(self.gate_max_ms)
    }

    /// Where a region goes whose gate opens and that has `percent` of its share already: to the
    /// first step that takes nothing from it.
    pub fn enter(&self, percent: u8) -> RampMove {
        match self.steps.iter().position(|step| step.percent >= percent) {
            Some(step) => RampMove::Step(step),
            None => RampMove::Full,
        }
    }

    /// How long `step` is held at least, milliseconds, with answers that live for `ttl_ms`.
    pub fn hold_for(&self, step: usize, doublings: u8, ttl_ms: u64) -> u64 {
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
    pub fn doubled(&self, doublings: u8) -> u8 {
        doublings.saturating_add(1).min(DOUBLINGS_MAX)
    }

    /// Where a healthy region goes that has been on `step` for `held_ms` of `hold_ms`. One step at
    /// a time, however long.
    pub fn advance(&self, step: usize, held_ms: u64, hold_ms: u64) -> RampMove {
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

    /// The step that a region falls back to from `step`.
    pub fn back(&self, step: usize) -> usize {
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
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn policy() -> impl Strategy<Value = RecoveryPolicy> {
        let steps = prop::collection::vec((any::<u8>(), 0u64..100_000), 0..8);
        (0u64..1 << 40, 0u64..1 << 40, steps).prop_map(|(gate_ms, gate_max_ms, steps)| {
            RecoveryPolicy {
                gate_ms,
                gate_max_ms,
                forget_flaps_ms: 0,
                steps: steps
                    .into_iter()
                    .map(|(percent, hold_ms)| RampStep { percent, hold_ms })
                    .collect(),
                ..RecoveryPolicy::default()
            }
        })
    }

    proptest! {
        #[test]
        fn a_gate_grows_with_failures_up_to_its_cap(policy in policy(), flaps in 0u32..200) {
            prop_assert!(policy.gate_for(flaps) <= policy.gate_for(flaps + 1));
            prop_assert!(policy.gate_for(flaps) <= policy.gate_max_ms);
        }

        #[test]
        fn every_step_is_passed_in_order_and_held(
            policy in policy(),
            tick_ms in 1u64..200_000,
            ttl_ms in 0u64..60_000,
        ) {
            let mut now_ms = 0;
            let mut since_ms = 0;
            let mut passed = Vec::new();
            let mut at = policy.enter(0);

            while let RampMove::Step(step) = at {
                passed.push(step);
                now_ms += tick_ms;
                match policy.advance(step, now_ms - since_ms, policy.hold_for(step, 0, ttl_ms)) {
                    RampMove::Hold => {
                        passed.pop();
                    }
                    next => {
                        prop_assert!(now_ms - since_ms >= policy.steps[step].hold_ms);
                        prop_assert!(now_ms - since_ms >= 5 * ttl_ms);
                        since_ms = now_ms;
                        at = next;
                    }
                }
            }

            prop_assert_eq!(passed, (0..policy.steps.len()).collect::<Vec<_>>());
        }

        #[test]
        fn a_hold_doubles_up_to_its_cap(
            policy in policy(),
            step in 0usize..10,
            doublings in 0u8..DOUBLINGS_MAX,
            ttl_ms in 0u64..60_000,
        ) {
            let hold_ms = policy.hold_for(step, doublings, ttl_ms);
            prop_assert_eq!(
                policy.hold_for(step, policy.doubled(doublings), ttl_ms),
                hold_ms * 2
            );

            prop_assert_eq!(policy.doubled(DOUBLINGS_MAX), DOUBLINGS_MAX);
        }

        #[test]
        fn whoever_has_a_share_already_loses_none_of_it_by_entering(
            mut policy in policy(),
            percent in 0u8..=100,
        ) {
            policy.steps.sort_by_key(|step| step.percent);
            match policy.enter(percent) {
                RampMove::Step(step) => prop_assert!(policy.steps[step].percent >= percent),
                other => prop_assert_eq!(other, RampMove::Full),
            }
        }

        #[test]
        fn any_step_is_answered_for(
            policy in policy(),
            step: usize,
            held_ms: u64,
            doublings: u8,
            ttl_ms: u64,
        ) {
            prop_assert!((1..=100).contains(&policy.percent_at(step)));
            prop_assert!(policy.back(step) <= step && policy.back(step) <= policy.steps.len());
            if let RampMove::Step(next) =
                policy.advance(step, held_ms, policy.hold_for(step, doublings, ttl_ms))
            {
                prop_assert!(next == step + 1 && next < policy.steps.len());
            }
        }
    }

    #[test]
    fn the_default_gate_is_five_minutes_doubled_up_to_an_hour() {
        let gates: Vec<u64> = (0..7)
            .map(|flaps| RecoveryPolicy::default().gate_for(flaps) / 60_000)
            .collect();
        assert_eq!(gates, [5, 5, 10, 20, 40, 60, 60]);
    }

    #[test]
    fn the_default_ramp_takes_thirty_five_minutes() {
        let policy = RecoveryPolicy::default();
        assert_eq!(
            policy.steps.iter().map(|step| step.hold_ms).sum::<u64>(),
            35 * 60_000
        );

        assert!(
            (0..policy.steps.len())
                .map(|step| policy.percent_at(step))
                .is_sorted()
        );
    }
}
