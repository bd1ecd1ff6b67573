//! This agent's clock compared with those of its peers, and the time of the plan.

use super::plan_clock::PlanClock;
use crate::{
    gossip::skew::{OwnClock, PeerClock, PeerClocks},
    now::{Now, millis},
};
use regionmesh_protocol::{
    identity::AgentId,
    plan::{PlanAge, SHIFT_MIN_MS, difference},
};
use std::time::Instant;

/// The state of clocks.
#[derive(Debug)]
pub(super) struct Clocks {
    pub(super) plan: PlanClock,
    /// The plan's clock as other parts of the agent know it.
    pub(super) published: Option<PlanClock>,
    peers: PeerClocks,
    /// Our clock compared with the others', at the last evaluation.
    pub(super) own: OwnClock,
    /// Our clocks at the last evaluation.
    last: Now,
    /// When the state of our clock was last published.
    pub(super) judged: Option<Instant>,
}

impl Clocks {
    pub(super) fn new(plan: PlanClock, now: Now) -> Self {
        Self {
            plan,
            published: None,
            peers: PeerClocks::default(),
            own: OwnClock::default(),
            last: now,
            judged: None,
        }
    }

    pub(super) fn heard(&mut self, peer: &PeerClock, now: Now) {
        let PeerClock {
            reading,
            received,
            asked,
        } = peer;
        let since = now.monotonic.saturating_duration_since(*received);

        if let Some((agent, asked)) = asked {
            // The age of the answer is half of the round trip, plus the time since it arrived.
            let round_trip = received.saturating_duration_since(*asked);
            let then_ms = now.unix_ms.saturating_sub(millis(since + round_trip / 2));
            let offset_ms = difference(reading.unix_ms, then_ms);
            let steady_ms = self.plan.steady_ms(now.monotonic);

            self.peers
                .measured(agent, offset_ms, millis(round_trip), steady_ms);
        }

        if let Some(age) = reading.plan {
            let age = PlanAge {
                age_ms: age.age_ms.saturating_add(millis(since)),
                ..age
            };
            self.plan.measured_by_peer(age, now);
        }
    }

    /// Evaluates all clocks. `may_lead`: whether a peer could lead instead of us. Returns by how
    /// much our clock was set since the last evaluation, milliseconds; negative: back.
    pub(super) fn evaluate(
        &mut self,
        may_lead: impl Fn(&AgentId) -> bool,
        now: Now,
    ) -> Option<i64> {
        let passed = now.monotonic.saturating_duration_since(self.last.monotonic);
        let expected_ms = self.last.unix_ms.saturating_add(millis(passed));
        let is_set = now.unix_ms.abs_diff(expected_ms) > SHIFT_MIN_MS;

        if is_set {
            self.peers.own_clock_set();
        }
        self.last = now;
        self.own = self
            .peers
            .judge(may_lead, self.plan.steady_ms(now.monotonic));

        is_set.then(|| difference(now.unix_ms, expected_ms))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
