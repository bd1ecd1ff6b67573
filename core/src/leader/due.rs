//! When the leader part must be ticked next.

use super::state::Leader;
use crate::{agent::intervals::LEADER_TICK, now::Now};
use std::time::{Duration, Instant};

impl Leader {
    /// When to give it the next [`super::Input::Tick`] at the latest, if nothing else happens
    /// before; none: nothing is under way.
    pub(crate) fn next_tick(&self, now: Now) -> Option<Instant> {
        if self.is_busy(now) {
            return Some(now.monotonic + LEADER_TICK);
        }

        let due_ms = self.proposer.next_ms()?;
        Some(self.started + Duration::from_millis(due_ms))
    }

    /// Whether something is under way whose timeouts are short.
    fn is_busy(&self, now: Now) -> bool {
        let leader = self.published.leader.as_ref();
        let is_led = leader.is_some_and(|leader| leader.ballot.is_some());
        let trust = &self.trust;
        let is_reading = trust.is_due || trust.round.is_some();
        let has_orders = !self.orders.is_empty() || self.ordered.is_some();

        !is_led
            || is_reading
            || has_orders
            || self.plan.is_none()
            || self.change.is_some()
            || self.pause.is_waiting()
            || trust.is_withdrawing(now.monotonic)
            || self.election.is_campaigning()
            || self.proposer.is_busy()
            || !self.seen.contact.is_current
            || !self.published.entries.is_empty()
    }
}
