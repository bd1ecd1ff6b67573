//! Canary analysis: whether a region on the ramp saw enough requests, and does no worse than the
//! regions that serve.
//!
//! Errors are compared by a one-sided Poisson test against the control regions' rate, latency by
//! the buckets of a coarse histogram. Both err on the side of the users: a false alarm costs one
//! more hold.

use regionmesh_protocol::status::served::{LATENCY_BOUNDS_MS, Served};

/// Probes count only after this many times a step's hold without enough user requests: otherwise a
/// region that fails 2 % of a hundred requests a second would pass its first step half the time.
pub const HOLDS_MAX: u64 = 4;
/// A region's error rate may be this many times the control's before the difference counts.
const ERRORS_FACTOR: f64 = 1.5;
/// How unlikely the number of errors must be at the control's rate: for the repeated looks while a
/// step is held ...
const UNLIKELY_EARLY: f64 = 0.001;
/// ... and for the last look, when the step is about to end.
const UNLIKELY_AT_END: f64 = 0.02;

/// What was served since a step of the ramp began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CanaryComparison {
    /// The step's index.
    pub step: usize,
    /// When the step began, Unix milliseconds; with `step` it identifies the step.
    pub since_ms: u64,
    /// By the region on the ramp.
    pub own: Served,
    /// By the regions that serve, together; none if there are none.
    pub control: Option<Served>,
}

/// Measurements of a region's service while it ramps.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Evidence {
    /// Not measured here (another server serves the models): the ramp goes by the verdict and the
    /// clock.
    #[default]
    NotMeasured,
    /// Due, but missing: the ramp holds.
    Missing,
    Measured(Box<CanaryComparison>),
}

impl CanaryComparison {
    /// Whether it saw enough requests for a step that was held for `held_ms` of `hold_ms`. Probes
    /// count as requests if traffic is thin: no requests at all, or too few in [`HOLDS_MAX`] times
    /// the hold.
    pub(crate) fn is_enough(&self, min_requests: u64, held_ms: u64, hold_ms: u64) -> bool {
        let is_thin = self.own.requests() == 0 || held_ms >= hold_ms.saturating_mul(HOLDS_MAX);
        let seen = if is_thin {
            self.seen()
        } else {
            self.own.requests()
        };

        seen >= min_requests
    }

    /// Requests and probes seen.
    pub fn seen(&self) -> u64 {
        self.own.requests().saturating_add(self.own.probes)
    }

    /// In what the region does worse than the control; none if it does not. `floor_bp`: error rates
    /// below this count as this, basis points. `is_end`: the step would end now, so this is its
    /// last look.
    pub(crate) fn regression(&self, floor_bp: u16, is_end: bool) -> Option<String> {
        let control = self.control.filter(|control| control.requests() > 0)?;
        self.more_errors(&control, floor_bp, is_end)
            .or_else(|| self.slower(&control))
    }

    fn more_errors(&self, control: &Served, floor_bp: u16, is_end: bool) -> Option<String> {
        let requests = self.own.requests();
        let errors = self.own.errors;
        let control_rate = control.errors as f64 / control.requests().max(1) as f64;
        let tolerated = (control_rate * ERRORS_FACTOR).max(f64::from(floor_bp) / 10_000.0);
        let unlikely = if is_end {
            UNLIKELY_AT_END
        } else {
            UNLIKELY_EARLY
        };
        let is_worse = errors > 0 && poisson_tail(errors, requests as f64 * tolerated) < unlikely;

        is_worse.then(|| {
            format!(
                "{errors} errors in {requests} requests, the regions that serve have {:.2} %",
                control_rate * 100.0
            )
        })
    }

    /// Two buckets apart: at least twice as slow, wherever in their buckets both are.
    fn slower(&self, control: &Served) -> Option<String> {
        let own = p99_bucket(&self.own)?;
        let other = p99_bucket(control)?;
        (own >= other + 2).then(|| {
            format!(
                "99 % of its answers take up to {}, {} in the regions that serve",
                bound(own),
                bound(other)
            )
        })
    }
}

/// Fewer answers than this have no 99th percentile worth comparing.
const LATENCY_ANSWERS_MIN: u64 = 100;

/// The bucket that 99 % of the answers do not exceed; none with too few of them.
fn p99_bucket(served: &Served) -> Option<usize> {
    let counts = served.latency.iter();
    let total = counts.fold(0u64, |sum, count| sum.saturating_add(*count));
    if total < LATENCY_ANSWERS_MIN {
        return None;
    }

    let wanted = total - total / 100;
    let mut seen = 0u64;
    served.latency.iter().position(|count| {
        seen = seen.saturating_add(*count);
        seen >= wanted
    })
}

/// A bucket's upper bound in words.
fn bound(bucket: usize) -> String {
    LATENCY_BOUNDS_MS.get(bucket).map_or_else(
        || "more than 16384 ms".into(),
        |bound| format!("{bound} ms"),
    )
}

/// Probability of `count` or more events where `mean` are expected.
fn poisson_tail(count: u64, mean: f64) -> f64 {
    // Far above the mean the probability is 0, at or below it 1. Between, 1 less the sum of the
    // terms below `count`.
    if count == 0 || mean <= 0.0 {
        return if count == 0 { 1.0 } else { 0.0 };
    }
    if count as f64 <= mean {
        return 1.0;
    }

    if count > 100_000 {
        // Normal approximation's bound (Chernoff): e^(count - mean) (mean / count)^count.
        let count = count as f64;
        return (count - mean + count * (mean / count).ln()).exp();
    }

    let mut log_term = -mean;
    let mut below = (-mean).exp();
    for k in 1..count {
        log_term += (mean / k as f64).ln();
        below += log_term.exp();
    }

    (1.0 - below).max(0.0)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;
