//! This agent's clocks, and what passes between gossip and the dns-leader actor about them.
//!
//! Gossip hears the clocks of peers; the dns-leader part judges them and says how to read the times
//! of the plan.

use parking_lot::Mutex;
use regionmesh_core::{gossip::skew::PeerClock, leader::PlanClock, now::Now};
use regionmesh_protocol::plan::Plan;
use regionmesh_runtime::time::unix_ms;
use std::{borrow::Cow, collections::VecDeque, sync::Arc};

/// Most clocks of peers that wait for the dns-leader actor; the oldest are dropped.
const HEARD_MAX: usize = 1_024;

/// Both clocks of this machine; the monotonic one is virtual under paused tokio time.
pub(crate) fn now() -> Now {
    Now {
        monotonic: tokio::time::Instant::now().into_std(),
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
            plan: PlanClock::new(now().monotonic),
            heard: VecDeque::new(),
        };

        Self {
            state: Arc::new(Mutex::new(state)),
        }
    }
}

impl Clocks {
    /// Takes in a peer's clocks.
    pub fn heard(&self, peer: PeerClock) {
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
