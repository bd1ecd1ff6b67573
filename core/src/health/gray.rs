//! Gray failure: an endpoint that answers, but too often wrongly or too late, though never badly
//! enough in a row for [`crate::health::probe`] to conclude that it failed.
//!
//! The last probes are kept in a window. Their error rate and a quantile of their times are
//! compared with thresholds; a conclusion is withdrawn only well below them, so that an endpoint at
//! the edge does not flap. Gray failure only ever makes a condition worse.

use regionmesh_protocol::status::condition::Condition;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// When an endpoint that answers counts as gray.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GrayPolicy {
    /// Number of recent probes that are judged; at least half of them are needed. 60 probes are
    /// half a minute.
    #[schemars(range(min = 2, max = WINDOW_MAX))]
    pub window: u16,
    /// Gray if this percentage of the probes failed; 0: off. 30: three failures in ten rarely come
    /// in a row, and no user accepts them.
    #[schemars(range(max = 100))]
    pub error_percent: u8,
    /// Gray if the quantile of the successful probes' durations reaches this, milliseconds; 0: off.
    /// Set it above the longest round trip plus answer time.
    pub latency_ms: u64,
    /// The quantile that `latency_ms` applies to, percent.
    #[schemars(range(min = 1, max = 100))]
    pub quantile_percent: u8,
    /// The endpoint recovers below this percentage of either threshold.
    #[schemars(range(max = 100))]
    pub clear_percent: u8,
    /// What a gray endpoint counts as.
    pub conclude: GrayConclusion,
}

/// The conclusion from gray failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum GrayConclusion {
    /// The share is cut until the endpoint recovers.
    Suspect,
    /// Traffic stops; the region returns by cool-down and ramp.
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

/// Largest window, probes.
const WINDOW_MAX: u16 = 1_000;

/// The last probes of one endpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct GrayWindow {
    /// Time of a success, microseconds; none for a failure.
    probes: VecDeque<Option<u64>>,
    has_errors: bool,
    is_slow: bool,
}

impl GrayWindow {
    /// Takes in one probe: how long its success took, microseconds, or none if it failed.
    pub(crate) fn record(&mut self, success_us: Option<u64>, policy: &GrayPolicy) {
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

        if policy.latency_ms == 0 {
            self.is_slow = false;
            return;
        }

        let quantile_us = self.quantile_us(policy.quantile_percent);
        // Without a success there is no time to judge; the errors suffice.
        self.is_slow = quantile_us.is_some_and(|us| {
            beyond(
                self.is_slow,
                us,
                policy.latency_ms.saturating_mul(1_000),
                clear,
            )
        });
    }

    /// `Healthy` if nothing is wrong, else the policy's conclusion from gray failure.
    pub(crate) fn condition(&self, policy: &GrayPolicy) -> Condition {
        match (self.has_errors || self.is_slow, policy.conclude) {
            (false, _) => Condition::Healthy,
            (true, GrayConclusion::Suspect) => Condition::Suspect,
            (true, GrayConclusion::Failed) => Condition::Failed,
        }
    }

    /// Why it is gray; none if it is not.
    pub(crate) fn reason(&self, policy: &GrayPolicy) -> Option<String> {
        let errors = self.has_errors.then(|| {
            let percent = self.error_bp().unwrap_or(0) / 100;
            format!(
                "{percent} % of the last {} probes failed, the limit is {} %",
                self.probes.len(),
                policy.error_percent
            )
        });

        let slow = self.is_slow.then(|| {
            let ms = self.quantile_us(policy.quantile_percent).unwrap_or(0) / 1_000;
            format!(
                "{} % of probes take up to {ms} ms, the limit is {} ms",
                policy.quantile_percent, policy.latency_ms
            )
        });
        let reasons: Vec<String> = errors.into_iter().chain(slow).collect();

        (!reasons.is_empty()).then(|| reasons.join("; "))
    }

    /// Part of the probes that failed, basis points; none before the first.
    pub(crate) fn error_bp(&self) -> Option<u16> {
        let failed = self.probes.iter().filter(|probe| probe.is_none()).count();
        let bp = (failed * 10_000).checked_div(self.probes.len())?;
        u16::try_from(bp).ok()
    }

    /// A quantile of the times of successful probes (nearest rank), microseconds; none without a
    /// success.
    pub(crate) fn quantile_us(&self, percent: u8) -> Option<u64> {
        let mut times: Vec<u64> = self.probes.iter().copied().flatten().collect();
        times.sort_unstable();

        let rank = (times.len() * usize::from(percent.min(100)))
            .div_ceil(100)
            .max(1);
        times.get(rank - 1).copied()
    }
}

/// Hysteresis: at the threshold or above, or still above the part of it at which the conclusion is
/// withdrawn. A threshold of 0 means none.
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
mod tests;
