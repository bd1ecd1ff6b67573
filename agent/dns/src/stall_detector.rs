//! Detects that the process was stopped: a stalled machine, a debugger, SIGSTOP. Nothing is
//! answered until the plan is received again, since the last known plan may be outdated; resolvers
//! then ask the mesh's other name servers.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// Interval between ticks.
pub(super) const TICK: Duration = Duration::from_millis(100);
/// A gap of this length between ticks is a stall: far longer than a busy machine delays a task, and
/// no longer than the mesh waits before it moves the traffic of a stalled region.
const STALL_MIN: Duration = Duration::from_secs(2);
/// No tick yet: stalls are not detected.
const NO_TICK: u64 = u64::MAX;

/// Detects stalls of this process. Read by the workers for each batch of packets, without a lock.
#[derive(Debug)]
pub(super) struct StallDetector {
    started: Instant,
    last_ms: AtomicU64,
    is_waiting: AtomicBool,
}

impl Default for StallDetector {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            last_ms: AtomicU64::new(NO_TICK),
            is_waiting: AtomicBool::new(false),
        }
    }
}

impl StallDetector {
    /// Whether queries may be answered from the current plan.
    pub(super) fn may_answer(&self) -> bool {
        !self.is_waiting.load(Ordering::Acquire) && self.since_last_tick() <= STALL_MIN
    }

    /// Resumes answering: the plan is current again.
    pub(super) fn resume(&self) {
        self.is_waiting.store(false, Ordering::Release);
    }

    fn since_last_tick(&self) -> Duration {
        match self.last_ms.load(Ordering::Acquire) {
            NO_TICK => Duration::ZERO,
            last_ms => Duration::from_millis(self.now_ms().saturating_sub(last_ms)),
        }
    }

    /// Records a tick. Returns the length of the stall before it, if any.
    pub(super) fn tick(&self) -> Option<Duration> {
        let since_last_tick = self.since_last_tick();
        let stall = (since_last_tick > STALL_MIN).then_some(since_last_tick);
        if stall.is_some() {
            self.is_waiting.store(true, Ordering::Release);
        }
        self.last_ms.store(self.now_ms(), Ordering::Release);
        stall
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(NO_TICK - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stalled_process_stops_answering_until_it_resumes() {
        let stall_detector = StallDetector::default();
        assert!(stall_detector.may_answer());

        let started = Instant::now().checked_sub(Duration::from_secs(60));
        let stall_detector = StallDetector {
            started: started.unwrap_or_else(Instant::now),
            ..StallDetector::default()
        };

        assert_eq!(stall_detector.tick(), None);
        assert!(stall_detector.may_answer());
        stall_detector.last_ms.store(
            stall_detector.now_ms().saturating_sub(5_000),
            Ordering::Release,
        );
        assert!(!stall_detector.may_answer());
        assert!(stall_detector.tick().is_some() && !stall_detector.may_answer());
        stall_detector.resume();
        assert!(stall_detector.may_answer() && stall_detector.tick().is_none());
    }
}
