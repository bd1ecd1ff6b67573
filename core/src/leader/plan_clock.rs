//! The age of the plan, and its times by this agent's own clock.

use crate::now::{Now, millis};
use regionmesh_protocol::plan::{Plan, PlanAge, PlanTime};
use std::{
    borrow::Cow,
    time::{Duration, Instant},
};

/// What is known about the time of the plan; [`PlanTime`] has the rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlanClock {
    /// From when its monotonic milliseconds count.
    epoch: Instant,
    time: PlanTime,
}

impl PlanClock {
    /// No plan is known; `epoch` is any time in the past.
    pub fn new(epoch: Instant) -> Self {
        Self {
            epoch,
            time: PlanTime::default(),
        }
    }

    pub(super) fn steady_ms(&self, at: Instant) -> u64 {
        millis(at.saturating_duration_since(self.epoch))
    }

    /// The plan's age, for peers; none while it is only estimated.
    pub fn age(&self, now: Now) -> Option<PlanAge> {
        self.time.age(self.steady_ms(now.monotonic))
    }

    /// The plan with its times converted to our clock as it is now: it may just have been set.
    pub fn by_own_clock<'a>(&self, plan: &'a Plan, now: Now) -> Cow<'a, Plan> {
        let mut current = *self;
        current.compare(now);
        match current.time.shift_ms(plan.made_ms) {
            0 => Cow::Borrowed(plan),
            shift_ms => Cow::Owned(plan.shifted(shift_ms)),
        }
    }

    /// Takes in a plan; `age` is the time since it was made, if this agent made it.
    pub(super) fn learned(&mut self, plan: &Plan, age: Option<Duration>, now: Now) {
        let steady_ms = self.steady_ms(now.monotonic);
        self.time
            .learned(plan.made_ms, age.map(millis), steady_ms, now.unix_ms);
    }

    pub(super) fn measured_by_peer(&mut self, age: PlanAge, now: Now) {
        let steady_ms = self.steady_ms(now.monotonic);
        self.time.measured_by_peer(age, steady_ms, now.unix_ms);
    }

    /// Compares the plan's clock with our own; returns the shift, milliseconds, if it changed.
    pub(super) fn compare(&mut self, now: Now) -> Option<i64> {
        let steady_ms = self.steady_ms(now.monotonic);
        self.time.compare(steady_ms, now.unix_ms)
    }
}
