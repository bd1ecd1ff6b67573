//! Gray failure: an endpoint that answers, but too often wrongly or too late, though never badly
//! enough in a row for [`crate::health::probe`] to call it failed.
//!
//! The last probes are kept in a window. Their rate of errors and a quantile of their times are
//! compared with thresholds; what was concluded is given up only well below them, so that an
//! endpoint at the edge does not flap. Gray failure only ever makes a conclusion worse.

use regionmesh_protocol::status::condition::Condition;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// When an endpoint that answers is not good enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GrayPolicy {
    /// Probes that are looked back on; nothing is concluded from less than half of them. 60: half a
    /// minute.
    pub window: u16,
    /// This many of them failed: gray, percent; 0: never. 30: three failures in ten pass unnoticed
    /// as failures in a row more often than not, and no user accepts them.
    pub error_percent: u8,
    /// The quantile of the times of successful probes is above this: gray, milliseconds; 0: never.
    /// What is slow depends on where observers are and what is served, so there is no default.
    pub latency_ms: u64,
    /// Which quantile, percent.
    pub quantile_percent: u8,
    /// What was concluded is given up at this part of the threshold, percent.
    pub clear_percent: u8,
    /// What is concluded: `suspect` (share cut, reversibly) or `failed` (taken out).
    pub conclude: GrayConclusion,
}

/// What gray failure is taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GrayConclusion {
    /// The share is cut until it is over.
    Suspect,
    /// No traffic; back by gate and ramp.
    Failed,
}

impl Default for GrayPolicy {
    fn default() -> Self {
        Self {
            window: 60,
            error_percent: 30,
            latency_ms: 0,
            quantile_percent: 95,
            clear_percent: 50,
            conclude: GrayConclusion::Suspect,
        }
    }
}

/// Most probes that a window keeps, whatever is configured.
pub const WINDOW_MAX: u16 = 1_000;

/// The last probes of one endpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GrayWindow {
    /// Time of a success, microseconds; none for a failure.
    probes: VecDeque<Option<u64>>,
    has_errors: bool,
    is_slow: bool,
}

impl GrayWindow {
    /// Takes in one probe: how long its success took, microseconds, or none if it failed.
    pub fn record(&mut self, success_us: Option<u64>, policy: &GrayPolicy) {
        let window = usize::from(policy.window.clamp(1, WINDOW_MAX));
        self.probes.push_back(success_us);
        while self.probes.len() > window {
            self.probes.pop_front();
        }
        if self.probes.len() * 2 < window {
            return;
        }

        let clear = u64::from(policy.clear_percent.min(100));
        let errors_bp = u64::from(self.error_bp().unwrap_or(0));
        self.has_errors = beyond(
            self.has_errors,
            errors_bp,
            u64::from(policy.error_percent) * 100,
            clear,
        );

        let quantile_us = self.quantile_us(policy.quantile_percent);
        // Without one success there is no time to judge by; the errors say it all.
        self.is_slow = quantile_us.is_some_and(|us| {
            beyond(
                self.is_slow,
                us,
                policy.latency_ms.saturating_mul(1_000),
                clear,
            )
        });
    }

    /// The conclusion: `Healthy` if nothing is wrong, else what the policy takes gray failure for.
    pub fn condition(&self, policy: &GrayPolicy) -> Condition {
        match (self.has_errors || self.is_slow, policy.conclude) {
            (false, _) => Condition::Healthy,
            (true, GrayConclusion::Suspect) => Condition::Suspect,
            (true, GrayConclusion::Failed) => Condition::Failed,
        }
    }

    /// Why it is gray; none if it is not.
    pub fn reason(&self, policy: &GrayPolicy) -> Option<String> {
        let errors = self.has_errors.then(|| {
            let percent = self.error_bp().unwrap_or(0) / 100;
            format!(
                "{percent} % of the last {} probes failed, {} are allowed",
                self.probes.len(),
                policy.error_percent
            )
        });

        let slow = self.is_slow.then(|| {
            let ms = self.quantile_us(policy.quantile_percent).unwrap_or(0) / 1_000;
            format!(
                "{} % of probes take up to {ms} ms, {} are allowed",
                policy.quantile_percent, policy.latency_ms
            )
        });
        let said: Vec<String> = errors.into_iter().chain(slow).collect();

        (!said.is_empty()).then(|| said.join("; "))
    }

    /// Part of the probes that failed, basis points; none before the first.
    pub fn error_bp(&self) -> Option<u16> {
        let failed = self.probes.iter().filter(|probe| probe.is_none()).count();
        let bp = (failed * 10_000).checked_div(self.probes.len())?;
        u16::try_from(bp).ok()
    }

    /// A quantile of the times of successful probes (nearest rank), microseconds; none without a
    /// success.
    pub fn quantile_us(&self, percent: u8) -> Option<u64> {
        let mut times: Vec<u64> = self.probes.iter().copied().flatten().collect();
        times.sort_unstable();

        let rank = (times.len() * usize::from(percent.min(100)))
            .div_ceil(100)
            .max(1);
        times.get(rank - 1).copied()
    }
}

/// Hysteresis: above the threshold, or still above the part of it at which it is given up. A
/// threshold of 0 is none.
fn beyond(was: bool, value: u64, threshold: u64, clear_percent: u64) -> bool {
    let limit = if was {
        threshold.saturating_mul(clear_percent) / 100
    } else {
        threshold
    };

    threshold > 0 && if was { value > limit } else { value >= limit }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const POLICY: GrayPolicy = GrayPolicy {
        window: 20,
        error_percent: 30,
        latency_ms: 100,
        quantile_percent: 95,
        clear_percent: 50,
        conclude: GrayConclusion::Suspect,
    };

    fn after(probes: &[Option<u64>]) -> GrayWindow {
        let mut window = GrayWindow::default();
        probes
            .iter()
            .for_each(|probe| window.record(*probe, &POLICY));
        window
    }

    fn probes() -> impl Strategy<Value = Vec<Option<u64>>> {
        prop::collection::vec(prop::option::weighted(0.7, 0u64..300_000), 0..80)
    }

    proptest! {
        #[test]
        fn any_probes_and_any_policy_are_answered_for(
            probes in probes(),
            window: u16,
            error_percent: u8,
            latency_ms: u64,
            quantile_percent: u8,
            clear_percent: u8,
        ) {
            let policy = GrayPolicy {
                window,
                error_percent,
                latency_ms,
                quantile_percent,
                clear_percent,
                ..POLICY
            };
            let mut gray = GrayWindow::default();

            for probe in probes {
                gray.record(probe, &policy);
                prop_assert_eq!(
                    gray.reason(&policy).is_some(),
                    gray.condition(&policy) != Condition::Healthy
                );
            }
        }

        #[test]
        fn good_probes_for_a_window_lift_it_and_bad_ones_for_a_window_raise_it(probes in probes()) {
            let mut gray = after(&probes);
            (0..20).for_each(|_| gray.record(Some(1_000), &POLICY));
            prop_assert_eq!(gray.condition(&POLICY), Condition::Healthy);
            (0..20).for_each(|_| gray.record(None, &POLICY));
            prop_assert_eq!(gray.condition(&POLICY), Condition::Suspect);
        }

        #[test]
        fn a_full_window_does_not_flap(probes in prop::collection::vec(any::<bool>(), 20..120)) {
            // Between both thresholds lie 3 of 20 probes: no two changes are nearer.
            let policy = GrayPolicy {
                latency_ms: 0,
                ..POLICY
            };
            let mut gray = GrayWindow::default();
            let mut changed = None;
            let mut condition = Condition::Healthy;

            for (index, is_good) in probes.into_iter().enumerate() {
                gray.record(is_good.then_some(1), &policy);
                if gray.condition(&policy) != condition {
                    condition = gray.condition(&policy);
                    prop_assert!(index < 20 || changed.is_none_or(|at| index - at >= 3));
                    changed = Some(index);
                }
            }
        }

        #[test]
        fn nothing_is_concluded_from_less_than_half_a_window(
            probes in prop::collection::vec(Just(None), 0..10),
        ) {
            prop_assert_eq!(after(&probes).condition(&POLICY), Condition::Healthy);
        }
    }

    #[test]
    fn two_errors_in_five_are_gray_though_never_three_in_a_row() {
        let probes: Vec<Option<u64>> = (0..20)
            .map(|index| (index % 5 > 1).then_some(900))
            .collect();
        let gray = after(&probes);

        assert_eq!(gray.condition(&POLICY), Condition::Suspect);
        assert_eq!(
            gray.reason(&POLICY).unwrap(),
            "40 % of the last 20 probes failed, 30 are allowed"
        );
    }

    #[test]
    fn a_slow_tail_is_gray_and_one_slow_probe_is_not() {
        let mut probes = vec![Some(900); 19];
        probes.push(Some(800_000));
        assert_eq!(after(&probes).condition(&POLICY), Condition::Healthy);
        probes.extend([Some(800_000)]);

        let gray = after(&probes);
        assert_eq!(
            gray.reason(&POLICY).unwrap(),
            "95 % of probes take up to 800 ms, 100 are allowed"
        );
    }

    #[test]
    fn a_threshold_of_zero_is_none() {
        let policy = GrayPolicy {
            error_percent: 0,
            latency_ms: 0,
            ..POLICY
        };
        let mut gray = GrayWindow::default();

        (0..40).for_each(|index| gray.record((index % 2 == 0).then_some(9_000_000), &policy));
        assert_eq!(gray.condition(&policy), Condition::Healthy);
    }
}
