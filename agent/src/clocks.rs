//! This agent's clocks, and how to read the times of the plan by them.

use parking_lot::Mutex;
use regionmesh_core::{leader::PlanClock, now::Now};
use regionmesh_protocol::plan::Plan;
use regionmesh_runtime::time::unix_ms;
use std::{borrow::Cow, sync::Arc};

/// Both clocks of this machine; the monotonic one is virtual under paused tokio time.
pub(crate) fn now() -> Now {
    Now {
        monotonic: tokio::time::Instant::now().into_std(),
        unix_ms: unix_ms(),
    }
}

/// How to read the times of the plan. Cheap to clone; clones share it.
#[derive(Debug, Clone)]
pub struct Clocks {
    plan: Arc<Mutex<PlanClock>>,
}

impl Default for Clocks {
    fn default() -> Self {
        Self {
            plan: Arc::new(Mutex::new(PlanClock::new(now().monotonic))),
        }
    }
}

impl Clocks {
    pub(crate) fn set_plan(&self, plan: PlanClock) {
        *self.plan.lock() = plan;
    }

    /// The plan with its times converted to our clock as it is now: it may just have been set.
    pub fn by_own_clock<'a>(&self, plan: &'a Plan) -> Cow<'a, Plan> {
        let clock = *self.plan.lock();
        clock.by_own_clock(plan, now())
    }
}
