//! The monotonic clock of the health part, and the wall-clock times that it publishes.

use super::verdict::RegionVerdict;
use crate::now::{Now, millis};
use regionmesh_protocol::{
    plan::{SHIFT_MIN_MS, difference, moved},
    status::condition::Observation,
};
use std::time::Instant;

/// Unix milliseconds that ignore steps of the system clock: a jump must not look like silence.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    started: Now,
}

impl Clock {
    pub(super) fn start(now: Now) -> Self {
        Self { started: now }
    }

    pub(super) fn ms(&self, at: Instant) -> u64 {
        let elapsed = at.saturating_duration_since(self.started.monotonic);
        self.started.unix_ms.saturating_add(millis(elapsed))
    }
}

/// How far the wall clock, which dates what this agent publishes, is ahead of a [`Clock`].
#[derive(Debug, Default)]
pub(super) struct WallShift {
    ahead_ms: i64,
}

impl WallShift {
    /// Compares the clocks; returns by how much published times must move if the wall clock was
    /// set.
    pub(super) fn update(&mut self, clock_ms: u64, wall_ms: u64) -> Option<i64> {
        let ahead_ms = difference(wall_ms, clock_ms);
        if ahead_ms.abs_diff(self.ahead_ms) <= SHIFT_MIN_MS {
            return None;
        }

        let by_ms = ahead_ms.saturating_sub(self.ahead_ms);
        self.ahead_ms = ahead_ms;
        Some(by_ms)
    }

    /// What the wall clock shows when the [`Clock`] shows this.
    pub(super) fn wall_ms(&self, clock_ms: u64) -> u64 {
        moved(clock_ms, self.ahead_ms)
    }

    /// An observation by the wall clock.
    pub(super) fn by_wall_clock(&self, mut observation: Observation) -> Observation {
        observation.since_ms = self.wall_ms(observation.since_ms);
        for address in &mut observation.addresses {
            address.since_ms = self.wall_ms(address.since_ms);
            address.probed_ms = self.wall_ms(address.probed_ms);
        }

        observation
    }
}

/// Moves the points in time of a verdict.
pub(super) fn shift(verdict: &mut RegionVerdict, by_ms: i64) {
    verdict.since_ms = moved(verdict.since_ms, by_ms);
    for address in &mut verdict.addresses {
        address.since_ms = moved(address.since_ms, by_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_MS: u64 = 3_600_000;

    #[test]
    fn published_times_move_with_a_clock_that_is_set_but_not_with_drift() {
        let mut shift = WallShift::default();
        let start_ms = 2 * HOUR_MS;
        assert_eq!(shift.update(start_ms, start_ms + SHIFT_MIN_MS), None);
        assert_eq!(shift.wall_ms(start_ms), start_ms);

        // The agent was started an hour ahead.
        assert_eq!(shift.update(start_ms, start_ms - HOUR_MS), Some(-3_600_000));
        assert_eq!(shift.update(start_ms + 500, start_ms + 500 - HOUR_MS), None);
        assert_eq!((shift.wall_ms(start_ms), shift.wall_ms(0)), (HOUR_MS, 0));
        assert_eq!(shift.update(start_ms, start_ms), Some(3_600_000));
    }
}
