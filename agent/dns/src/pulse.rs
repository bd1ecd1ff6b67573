//! Detects that the process was stopped: a stalled machine, a debugger, SIGSTOP. Until the plan is
//! received again nothing is answered, since the last known plan may be outdated; resolvers ask
//! another of the mesh's name servers meanwhile.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// How often the pulse beats.
pub(super) const BEAT: Duration = Duration::from_millis(100);
/// A gap of this length between beats is a stall: far longer than a busy machine delays a task, and
/// no longer than the mesh waits before it moves the traffic of a stalled region.
const GAP: Duration = Duration::from_secs(2);
/// No beat yet: stalls are not watched for.
const NEVER: u64 = u64::MAX;

/// The pulse of this process. Read by the workers for each batch of packets, without a lock.
#[derive(Debug)]
pub(super) struct Pulse {
    started: Instant,
    last_ms: AtomicU64,
    is_waiting: AtomicBool,
}

impl Default for Pulse {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            last_ms: AtomicU64::new(NEVER),
            is_waiting: AtomicBool::new(false),
        }
    }
}

impl Pulse {
    /// Whether the current plan may be answered from.
    pub(super) fn is_steady(&self) -> bool {
        !self.is_waiting.load(Ordering::Acquire) && self.gap() <= GAP
    }

    /// The plan is current again.
    pub(super) fn resume(&self) {
        self.is_waiting.store(false, Ordering::Release);
    }

    fn gap(&self) -> Duration {
        match self.last_ms.load(Ordering::Acquire) {
            NEVER => Duration::ZERO,
            last_ms => Duration::from_millis(self.now_ms().saturating_sub(last_ms)),
        }
    }

    /// One beat. Returns how long the process was stalled before it, if it was.
    pub(super) fn beat(&self) -> Option<Duration> {
        let gap = self.gap();
        let stood_still = (gap > GAP).then_some(gap);
        if stood_still.is_some() {
            self.is_waiting.store(true, Ordering::Release);
        }
        self.last_ms.store(self.now_ms(), Ordering::Release);
        stood_still
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(NEVER - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_stood_still_waits_until_it_resumes_and_a_pulse_that_never_beat_is_steady() {
        let pulse = Pulse::default();
        assert!(pulse.is_steady());

        let started = Instant::now().checked_sub(Duration::from_secs(60));
        let pulse = Pulse {
            started: started.unwrap_or_else(Instant::now),
            ..Pulse::default()
        };

        assert_eq!(pulse.beat(), None);
        assert!(pulse.is_steady());
        pulse
            .last_ms
            .store(pulse.now_ms().saturating_sub(5_000), Ordering::Release);
        assert!(!pulse.is_steady());
        assert!(pulse.beat().is_some() && !pulse.is_steady());
        pulse.resume();
        assert!(pulse.is_steady() && pulse.beat().is_none());
    }
}
