//! Compares this agent's clock with those of its peers, and converts the plan's times to it.
//!
//! Gossip reports the clocks of peers; the dns-leader actor reports plans and evaluates the clocks
//! a few times a second. The rules are in [`PlanTime`] and [`PeerClocks`].

use parking_lot::Mutex;
use regionmesh_core::gossip::skew::{ClockReading, OwnClock, PeerClocks};
use regionmesh_protocol::{
    identity::AgentId,
    plan::{Plan, PlanTime, SHIFT_MIN_MS, difference},
};
use regionmesh_runtime::time::unix_ms;
use std::{
    borrow::Cow,
    sync::Arc,
    time::{Duration, Instant},
};

/// The state of clocks. Cheap to clone; clones share it.
#[derive(Debug, Clone)]
pub struct Clocks {
    started: Instant,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    plan: PlanTime,
    peers: PeerClocks,
    own: OwnClock,
    /// Both of our clocks at the last evaluation.
    last: Moment,
}

/// Our clocks at one time.
#[derive(Debug, Clone, Copy)]
struct Moment {
    steady_ms: u64,
    wall_ms: u64,
}

/// The result of an evaluation of the clocks.
#[derive(Debug, Clone, Default)]
pub struct Evaluation {
    /// Our clock compared with the others'.
    pub own: OwnClock,
    /// By how much our clock was set since the last evaluation, milliseconds; negative: back.
    pub set_by_ms: Option<i64>,
}

impl Default for Clocks {
    fn default() -> Self {
        let last = Moment {
            steady_ms: 0,
            wall_ms: unix_ms(),
        };
        let state = State {
            plan: PlanTime::default(),
            peers: PeerClocks::default(),
            own: OwnClock::default(),
            last,
        };

        Self {
            started: Instant::now(),
            state: Arc::new(Mutex::new(state)),
        }
    }
}

impl Clocks {
    fn now(&self) -> Moment {
        Moment {
            steady_ms: millis(self.started.elapsed()),
            wall_ms: unix_ms(),
        }
    }

    /// The reading of our clocks, for a peer.
    pub fn reading(&self) -> ClockReading {
        let now = self.now();
        ClockReading {
            unix_ms: now.wall_ms,
            plan: self.state.lock().plan.age(now.steady_ms),
        }
    }

    /// Takes in a peer's clocks as of its request; its time in transit is unknown.
    pub fn received(&self, reading: &ClockReading) {
        let now = self.now();
        if let Some(age) = reading.plan {
            self.state
                .lock()
                .plan
                .measured_by_peer(age, now.steady_ms, now.wall_ms);
        }
    }

    /// Takes in a peer's clocks as of its answer, and when it was asked and answered.
    pub fn compared(
        &self,
        peer: &AgentId,
        reading: &ClockReading,
        (asked, answered): (Instant, Instant),
    ) {
        let now = self.now();
        let round_trip = answered.saturating_duration_since(asked);

        // The age of the answer is half of the round trip, plus the time since it arrived.
        let age = answered.elapsed() + round_trip / 2;
        let then_ms = now.wall_ms.saturating_sub(millis(age));
        let offset_ms = difference(reading.unix_ms, then_ms);
        let mut state = self.state.lock();

        state
            .peers
            .measured(peer, offset_ms, millis(round_trip), now.steady_ms);
        if let Some(plan_age) = reading.plan {
            state
                .plan
                .measured_by_peer(plan_age, now.steady_ms, now.wall_ms);
        }
    }

    /// Takes in a plan; `age` is the time since it was made, if this agent made it.
    pub fn learned(&self, plan: &Plan, age: Option<Duration>) {
        let now = self.now();
        self.state
            .lock()
            .plan
            .learned(plan.made_ms, age.map(millis), now.steady_ms, now.wall_ms);
    }

    /// Evaluates all clocks. `may_lead`: whether a peer could lead instead of us.
    pub fn evaluate(&self, may_lead: impl Fn(&AgentId) -> bool) -> Evaluation {
        let now = self.now();
        let mut state = self.state.lock();
        let passed_ms = now.steady_ms.saturating_sub(state.last.steady_ms);
        let expected_ms = state.last.wall_ms.saturating_add(passed_ms);
        let is_set = now.wall_ms.abs_diff(expected_ms) > SHIFT_MIN_MS;
        let set_by_ms = is_set.then(|| difference(now.wall_ms, expected_ms));

        if is_set {
            state.peers.own_clock_set();
        }
        state.last = now;
        state.own = state.peers.judge(may_lead, now.steady_ms);
        Evaluation {
            own: state.own.clone(),
            set_by_ms,
        }
    }

    /// Whether our clock was too far off to lead at the last evaluation.
    pub fn is_off(&self) -> bool {
        self.state.lock().own.is_off
    }

    /// The plan with its times converted to our clock as it is now: it may just have been set.
    pub fn by_own_clock<'a>(&self, plan: &'a Plan) -> Cow<'a, Plan> {
        let now = self.now();
        let mut state = self.state.lock();
        if let Some(shift_ms) = state.plan.compare(now.steady_ms, now.wall_ms) {
            tracing::info!(
                shift_ms,
                "the plan's times are shifted by this much to match our clock"
            );
        }

        match state.plan.shift_ms(plan.made_ms) {
            0 => Cow::Borrowed(plan),
            shift_ms => Cow::Owned(plan.shifted(shift_ms)),
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
