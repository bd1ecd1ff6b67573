//! Notices that the process stood still: a stalled machine, a debugger, SIGSTOP. Until the plan was
//! heard again nothing is answered, since the last one known may be long overtaken; resolvers ask
//! another of the mesh's name servers meanwhile.

use super::server::Shared;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::watch;

/// How often the pulse beats.
const BEAT: Duration = Duration::from_millis(100);
/// Without a beat for longer than this the process stood still: far longer than a busy machine
/// delays a task, and no longer than a region that stands still is given before its traffic moves.
const GAP: Duration = Duration::from_secs(2);
/// No beat yet: nobody watches.
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
    /// Whether the plan that is answered from may be trusted.
    pub(super) fn is_steady(&self) -> bool {
        !self.is_waiting.load(Ordering::Acquire) && self.gap() <= GAP
    }

    /// The plan was heard again.
    pub(super) fn resume(&self) {
        self.is_waiting.store(false, Ordering::Release);
    }

    fn gap(&self) -> Duration {
        match self.last_ms.load(Ordering::Acquire) {
            NEVER => Duration::ZERO,
            last_ms => Duration::from_millis(self.now_ms().saturating_sub(last_ms)),
        }
    }

    /// One beat; how long the process stood still before it, if it did.
    fn beat(&self) -> Option<Duration> {
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

/// Beats; where the process stood still it says so, and that the plan must be heard again.
pub(super) async fn keep(
    shared: Arc<Shared>,
    resumed: watch::Sender<Option<Instant>>,
    is_current: watch::Sender<bool>,
) {
    loop {
        if let Some(gap) = shared.pulse.beat() {
            tracing::warn!(
                ?gap,
                "this process stood still: DNS answers again once another region's plan is heard"
            );

            shared.metrics.stalls.inc();
            resumed.send_replace(Some(Instant::now()));
            is_current.send_replace(false);
        }

        tokio::time::sleep(BEAT).await;
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
