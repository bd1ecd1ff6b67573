//! How this agent's clock compares with those of its peers, and what the plan's points in time mean
//! by it.
//!
//! Gossip hands in what peers tell; the dns-leader actor hands in plans and looks a few times a
//! second. The rules are [`PlanTime`]'s and [`PeerClocks`]'.

use regionmesh_core::gossip::skew::{ClockReading, OwnClock, PeerClocks};
use regionmesh_protocol::{
    identity::AgentId,
    plan::{Plan, PlanTime, SHIFT_MIN_MS, difference},
};
use regionmesh_runtime::time::unix_ms;
use std::{
    borrow::Cow,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// What is known of clocks. Cheap to clone; all clones share it.
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
    /// What both clocks showed when they were last looked at.
    last: Moment,
}

/// What our clocks show at one time.
#[derive(Debug, Clone, Copy)]
struct Moment {
    steady_ms: u64,
    wall_ms: u64,
}

/// What a look at the clocks found.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// How our clock stands among the others'.
    pub own: OwnClock,
    /// By how much our clock was set since the last look, if it was; negative: back.
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
    fn state(&self) -> MutexGuard<'_, State> {
        // Plain numbers: a panic leaves nothing half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Moment {
        Moment {
            steady_ms: millis(self.started.elapsed()),
            wall_ms: unix_ms(),
        }
    }

    /// What our clocks show, for a peer.
    pub fn reading(&self) -> ClockReading {
        let now = self.now();
        ClockReading {
            unix_ms: now.wall_ms,
            plan: self.state().plan.age(now.steady_ms),
        }
    }

    /// What a peer's clocks showed when it asked us; how long that was under way is not known.
    pub fn told(&self, reading: &ClockReading) {
        let now = self.now();
        if let Some(age) = reading.plan {
            self.state().plan.told(age, now.steady_ms, now.wall_ms);
        }
    }

    /// What a peer's clocks showed when it answered us, and when it was asked and had answered.
    pub fn compared(
        &self,
        peer: &AgentId,
        reading: &ClockReading,
        (asked, answered): (Instant, Instant),
    ) {
        let now = self.now();
        let round_trip = answered.saturating_duration_since(asked);

        // The answer is as old as the way back, half of the round trip, and as the time since.
        let age = answered.elapsed() + round_trip / 2;
        let then_ms = now.wall_ms.saturating_sub(millis(age));
        let offset_ms = difference(reading.unix_ms, then_ms);
        let mut state = self.state();

        state
            .peers
            .measured(peer, offset_ms, millis(round_trip), now.steady_ms);
        if let Some(told) = reading.plan {
            state.plan.told(told, now.steady_ms, now.wall_ms);
        }
    }

    /// A plan was learned; this long after it was made, where we made it.
    pub fn learned(&self, plan: &Plan, age: Option<Duration>) {
        let now = self.now();
        self.state()
            .plan
            .learned(plan.made_ms, age.map(millis), now.steady_ms, now.wall_ms);
    }

    /// Looks at all clocks. `may_lead` says which peers could lead in our place.
    pub fn look(&self, may_lead: impl Fn(&AgentId) -> bool) -> Seen {
        let now = self.now();
        let mut state = self.state();
        let passed_ms = now.steady_ms.saturating_sub(state.last.steady_ms);
        let expected_ms = state.last.wall_ms.saturating_add(passed_ms);
        let is_set = now.wall_ms.abs_diff(expected_ms) > SHIFT_MIN_MS;
        let set_by_ms = is_set.then(|| difference(now.wall_ms, expected_ms));

        if is_set {
            state.peers.own_clock_set();
        }
        state.last = now;
        state.own = state.peers.judge(may_lead, now.steady_ms);
        Seen {
            own: state.own.clone(),
            set_by_ms,
        }
    }

    /// Whether our clock was too far off to lead at the last look.
    pub fn is_off(&self) -> bool {
        self.state().own.is_off
    }

    /// The plan, its points in time told by our own clock as it is now: it may just have been set.
    pub fn by_own_clock<'a>(&self, plan: &'a Plan) -> Cow<'a, Plan> {
        let now = self.now();
        let mut state = self.state();
        if let Some(shift_ms) = state.plan.follow(now.steady_ms, now.wall_ms) {
            tracing::info!(
                shift_ms,
                "the plan's points in time are moved by this much to be told by our clock"
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
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_that_is_an_hour_ahead_is_noticed_and_the_way_back_is_not_taken_for_skew() {
        let clocks = Clocks::default();
        let peer: AgentId = "a/x".parse().unwrap();
        let answered = Instant::now();
        let asked = answered.checked_sub(Duration::from_millis(200)).unwrap();
        let reading = ClockReading {
            unix_ms: unix_ms() + 3_600_000 - 100,
            plan: None,
        };

        clocks.compared(&peer, &reading, (asked, answered));
        let (of, ahead_ms) = clocks.look(|_| true).own.furthest.unwrap();
        assert!(
            of == peer && (3_599_900..3_600_200).contains(&ahead_ms),
            "{ahead_ms}"
        );

        assert_eq!(clocks.look(|_| true).set_by_ms, None);
    }
}
