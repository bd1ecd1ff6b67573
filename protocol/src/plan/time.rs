//! The time of a plan: its times come from its leader's wall clock, but clocks differ and are set.
//!
//! So a plan's times are never used alone. Each agent measures, by its monotonic clock, how long it
//! has known the plan: that is the plan's age. A plan time of `t` is then `t - made_ms` after a
//! moment that is `age` ago by the agent's own clock, whatever that clock shows. While the clocks
//! agree this changes nothing; if they differ, or the agent's clock is set, [`Plan::shifted`]
//! converts the plan to the agent's clock, and orders, cool-downs and ramps last as long as
//! intended.

use super::{Plan, RegionPlan, TrafficState};
use serde::{Deserialize, Serialize};

/// Clocks that differ by no more than this count as equal, milliseconds.
pub const SHIFT_MIN_MS: u64 = 1_000;
/// A peer's age of the plan counts only if it puts the present no more than this ahead of our own
/// clock, milliseconds: a peer must not be able to end orders by a false claim.
pub(crate) const PEER_AHEAD_MAX_MS: u64 = 10_000;

/// How old a plan is, as one agent measured it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanAge {
    /// Which plan: when it was made, its leader's clock.
    pub made_ms: u64,
    /// How long ago that is.
    pub age_ms: u64,
}

/// What an agent knows about the time of the current plan. `steady_ms` is a monotonic clock;
/// `wall_ms` is the wall clock.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PlanTime {
    known: Option<Known>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Known {
    made_ms: u64,
    /// Its age at `at_ms`, steady clock.
    age_ms: u64,
    at_ms: u64,
    /// Whether the age was measured; else it follows from the wall clock.
    is_measured: bool,
    shift_ms: i64,
}

impl Known {
    fn age_at(&self, steady_ms: u64) -> u64 {
        self.age_ms
            .saturating_add(steady_ms.saturating_sub(self.at_ms))
    }

    /// What the plan's clock shows now.
    fn plan_ms(&self, steady_ms: u64) -> u64 {
        self.made_ms.saturating_add(self.age_at(steady_ms))
    }
}

impl PlanTime {
    /// A plan was learned that was made at `made_ms` by its leader's clock; `age_ms` ago, if this
    /// agent made it. A plan from others counts as new; the same plan, perhaps committed again by
    /// another leader, only gets older. The first plan of a process may be much older: only the
    /// wall clock is known, until a peer has measured it.
    pub fn learned(&mut self, made_ms: u64, age_ms: Option<u64>, steady_ms: u64, wall_ms: u64) {
        let is_first = match &self.known {
            Some(known) if known.made_ms == made_ms => return,
            known => known.is_none(),
        };
        let is_estimate = is_first && age_ms.is_none();
        let age_ms = if is_estimate {
            wall_ms.saturating_sub(made_ms)
        } else {
            age_ms.unwrap_or(0)
        };

        self.known = Some(Known {
            made_ms,
            age_ms,
            at_ms: steady_ms,
            is_measured: !is_estimate,
            shift_ms: 0,
        });

        self.compare(steady_ms, wall_ms);
    }

    /// A peer measured the plan's age. The agent that has known the plan longest is closest to the
    /// truth.
    pub fn measured_by_peer(&mut self, measured: PlanAge, steady_ms: u64, wall_ms: u64) {
        let Some(known) = self
            .known
            .as_mut()
            .filter(|known| known.made_ms == measured.made_ms)
        else {
            return;
        };
        let is_older = measured.age_ms > known.age_at(steady_ms);

        // The wall clock can't judge a plan from the future.
        let is_from_future = !known.is_measured && wall_ms < measured.made_ms;
        let is_credible = is_from_future
            || measured.made_ms.saturating_add(measured.age_ms)
                <= wall_ms.saturating_add(PEER_AHEAD_MAX_MS);

        if (is_older && is_credible) || (!is_older && !known.is_measured) {
            (known.age_ms, known.at_ms, known.is_measured) = (measured.age_ms, steady_ms, true);
        }
    }

    /// Compares the plan's clock with our own. Call it regularly; returns the shift if it changed.
    pub fn compare(&mut self, steady_ms: u64, wall_ms: u64) -> Option<i64> {
        let known = self.known.as_mut()?;
        let ahead_ms = difference(wall_ms, known.plan_ms(steady_ms));
        if ahead_ms.abs_diff(known.shift_ms) <= SHIFT_MIN_MS {
            return None;
        }

        // While the clocks agree, the plan is used as it is.
        known.shift_ms = if ahead_ms.unsigned_abs() <= SHIFT_MIN_MS {
            0
        } else {
            ahead_ms
        };

        Some(known.shift_ms)
    }

    /// By how much to shift the times of the plan made at `made_ms` to convert them to our own
    /// clock.
    pub fn shift_ms(&self, made_ms: u64) -> i64 {
        self.known
            .filter(|known| known.made_ms == made_ms)
            .map_or(0, |known| known.shift_ms)
    }

    /// The plan's age, for peers; none while it is only estimated.
    pub fn age(&self, steady_ms: u64) -> Option<PlanAge> {
        let known = self.known.filter(|known| known.is_measured)?;
        Some(PlanAge {
            made_ms: known.made_ms,
            age_ms: known.age_at(steady_ms),
        })
    }
}

/// `ms` moved by `by_ms`. A time of 0 means never and stays.
pub fn moved(ms: u64, by_ms: i64) -> u64 {
    if ms == 0 {
        0
    } else {
        ms.saturating_add_signed(by_ms).max(1)
    }
}

/// `a - b`, saturating.
pub fn difference(a: u64, b: u64) -> i64 {
    let size = i64::try_from(a.abs_diff(b)).unwrap_or(i64::MAX);
    if a >= b { size } else { -size }
}

impl Plan {
    /// The plan with every time moved by `by_ms`. A time of 0 means never and stays.
    #[must_use]
    pub fn shifted(&self, by_ms: i64) -> Self {
        let moved = |ms: u64| moved(ms, by_ms);
        let mut plan = self.clone();
        plan.made_ms = moved(plan.made_ms);
        for region in plan.regions.values_mut() {
            shift_region(region, moved);
        }
        for order in &mut plan.overrides {
            order.set_ms = moved(order.set_ms);
            order.expires_ms = moved(order.expires_ms);
        }

        plan.all_failed_ms = plan.all_failed_ms.map(moved);
        plan.cost.changed_ms = moved(plan.cost.changed_ms);
        for yielded in &mut plan.yielded {
            yielded.since_ms = moved(yielded.since_ms);
        }
        if let Some(load) = &mut plan.load {
            load.measured_ms = moved(load.measured_ms);
        }

        plan
    }
}

fn shift_region(region: &mut RegionPlan, moved: impl Fn(u64) -> u64) {
    region.failed_ms = moved(region.failed_ms);
    match &mut region.traffic_state {
        TrafficState::Serving | TrafficState::Reduced => {}
        TrafficState::Limited {
            since_ms,
            healthy_ms,
        } => {
            *since_ms = moved(*since_ms);
            *healthy_ms = healthy_ms.map(&moved);
        }
        TrafficState::Out { since_ms }
        | TrafficState::CoolingDown { since_ms }
        | TrafficState::Ramping { since_ms, .. } => {
            *since_ms = moved(*since_ms);
        }
    }
}
