//! This agent's clocks, and what passes between gossip and the dns-leader actor about them.
//!
//! Gossip hears the clocks of peers; the dns-leader part judges them and says how to read the times
//! of the plan.

use parking_lot::Mutex;
use regionmesh_core::{
    gossip::skew::ClockReading,
    leader::{PeerClock, PlanClock},
    now::Now,
};
use regionmesh_protocol::{identity::AgentId, plan::Plan};
use regionmesh_runtime::time::unix_ms;
use std::{borrow::Cow, collections::VecDeque, sync::Arc, time::Instant};

/// Most clocks of peers that wait for the dns-leader actor; the oldest are dropped.
const HEARD_MAX: usize = 1_024;

/// Both clocks of this machine.
pub(crate) fn now() -> Now {
    Now {
        monotonic: Instant::now(),
        unix_ms: unix_ms(),
    }
}

/// The state of clocks. Cheap to clone; clones share it.
#[derive(Debug, Clone)]
pub struct Clocks {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    plan: PlanClock,
    heard: VecDeque<PeerClock>,
}

impl Default for Clocks {
    fn default() -> Self {
        let state = State {
            plan: PlanClock::new(Instant::now()),
            heard: VecDeque::new(),
        };

        Self {
            state: Arc::new(Mutex::new(state)),
        }
    }
}

impl Clocks {
    /// The reading of our clocks, for a peer.
    pub fn reading(&self) -> ClockReading {
        let now = now();
        ClockReading {
            unix_ms: now.unix_ms,
            plan: self.plan().age(now),
        }
    }

    /// Takes in a peer's clocks as of its request; its time in transit is unknown.
    pub fn received(&self, reading: &ClockReading) {
        self.heard(PeerClock {
            reading: *reading,
            received: Instant::now(),
            asked: None,
        });
    }

    /// Takes in a peer's clocks as of its answer, and when it was asked and answered.
    pub fn compared(
        &self,
        peer: &AgentId,
        reading: &ClockReading,
        (asked, answered): (Instant, Instant),
    ) {
        self.heard(PeerClock {
            reading: *reading,
            received: answered,
            asked: Some((peer.clone(), asked)),
        });
    }

    fn heard(&self, peer: PeerClock) {
        let heard = &mut self.state.lock().heard;
        if heard.len() >= HEARD_MAX {
            heard.pop_front();
        }
        heard.push_back(peer);
    }

    /// The clocks of peers that were heard since the last call.
    pub(crate) fn take_heard(&self) -> VecDeque<PeerClock> {
        std::mem::take(&mut self.state.lock().heard)
    }

    /// How to read the times of the plan.
    pub(crate) fn plan(&self) -> PlanClock {
        self.state.lock().plan
    }

    pub(crate) fn set_plan(&self, plan: PlanClock) {
        self.state.lock().plan = plan;
    }

    /// The plan with its times converted to our clock as it is now: it may just have been set.
    pub fn by_own_clock<'a>(&self, plan: &'a Plan) -> Cow<'a, Plan> {
        self.plan().by_own_clock(plan, now())
    }
}
