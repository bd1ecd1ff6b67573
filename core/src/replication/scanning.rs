//! When to read the region's store.

use super::effect::Effect;
use std::time::{Duration, Instant};

#[derive(Debug)]
pub(super) struct Scanning {
    pub(super) is_running: bool,
    /// Whether another scan was requested while one runs.
    is_stale: bool,
    began: Instant,
}

impl Scanning {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            is_running: false,
            is_stale: false,
            began: now,
        }
    }

    pub(super) fn begin(&mut self, now: Instant, out: &mut Vec<Effect>) {
        if self.is_running {
            self.is_stale = true;
            return;
        }

        *self = Self {
            is_running: true,
            ..Self::new(now)
        };
        out.push(Effect::Scan);
    }

    pub(super) fn begin_if_due(&mut self, interval: Duration, now: Instant, out: &mut Vec<Effect>) {
        if now.saturating_duration_since(self.began) >= interval {
            self.begin(now, out);
        }
    }

    /// A scan may have missed a change that came while it ran: then the next one begins.
    pub(super) fn repeat_if_stale(&mut self, now: Instant, out: &mut Vec<Effect>) {
        if self.is_stale {
            self.begin(now, out);
        }
    }
}
