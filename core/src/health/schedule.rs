//! When to probe one address of an endpoint, and with what.

use super::{
    probe::{FailureRun, ProbePolicy, ProbeResult},
    types::{FinishedProbe, Probe},
};
use regionmesh_protocol::identity::RegionName;
use std::time::{Duration, Instant};

/// The probing of one address.
#[derive(Debug, Clone)]
pub(super) struct Schedule {
    /// Run a synthetic inference on every n-th probe; none: never.
    every: Option<u32>,
    failures: FailureRun,
    /// Probes before the next inference. The first probe is an inference.
    until_inference: u32,
    /// Whether a probe was asked for and has not ended.
    is_pending: bool,
}

impl Schedule {
    pub(super) fn new(every: Option<u32>) -> Self {
        Self {
            every,
            failures: FailureRun::default(),
            until_inference: 0,
            is_pending: false,
        }
    }

    /// Begins to probe; returns the first probe, unless an earlier one has not ended.
    pub(super) fn begin(
        &mut self,
        region: &RegionName,
        index: usize,
        at: Instant,
        policy: &ProbePolicy,
    ) -> Option<Probe> {
        let was_pending = self.is_pending;
        *self = Self {
            is_pending: was_pending,
            ..Self::new(self.every)
        };
        (!was_pending).then(|| self.next(region, index, at, policy))
    }

    /// The next probe.
    pub(super) fn next(
        &mut self,
        region: &RegionName,
        index: usize,
        at: Instant,
        policy: &ProbePolicy,
    ) -> Probe {
        self.is_pending = true;
        Probe {
            region: region.clone(),
            index,
            is_inference: self.every.is_some() && self.until_inference == 0,
            is_confirmation: self.failures.is_confirming(policy),
            at,
        }
    }

    /// A probe ended after this agent ceased to observe, or has no result.
    pub(super) fn end(&mut self) {
        self.is_pending = false;
    }

    pub(super) fn is_pending(&self) -> bool {
        self.is_pending
    }

    /// Takes in a result; returns when to probe next. The regular pause counts from a probe's
    /// start, so that silence does not slow the probes down. The pause before a confirmation counts
    /// from the end, so that a slow endpoint is not probed without a break.
    pub(super) fn record(
        &mut self,
        probe: &FinishedProbe,
        ended_ms: u64,
        policy: &ProbePolicy,
    ) -> Instant {
        let has_passed = matches!(probe.result, ProbeResult::Success { .. });
        // After a failed inference the next probe is one too, or an endpoint that still answers
        // readiness probes would hide the failure.
        self.until_inference = match probe.is_inference {
            true if has_passed => self.every.unwrap_or(1).saturating_sub(1),
            true => 0,
            false => self.until_inference.saturating_sub(1),
        };
        self.failures.record(&probe.result, ended_ms);

        let from = if self.failures.is_confirming(policy) {
            probe.ended
        } else {
            probe.started
        };
        from + Duration::from_millis(self.failures.pause_ms(policy))
    }
}
