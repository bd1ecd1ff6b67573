//! From what is known of the regions to the next plan.
//!
//! [`next_plan`] is the whole policy in one pure function: the plan in force, what is known, what
//! time it is → the plan that follows. A leader calls it on every change and about twice a second,
//! and commits its answer. What an operator orders goes through [`plan_order`] into the same plan,
//! so that it outlives the leader that took it.
//!
//! `next` goes from one plan to the next; `yielding` decides which orders give way to survival;
//! `standing` moves one region; `weights` shares traffic out, within declared capacity; `order`
//! applies what operators order, `membership` what they order of the register's members; `explain`
//! says why a region stands where it does; `cost` moves traffic to cheaper regions.

pub mod capacity;
mod cost;
mod explain;
mod forecast;
pub mod freeze;
pub mod load;
mod membership;
mod next;
mod order;
mod overrides;
pub mod servability;
mod standing;
#[cfg(test)]
mod tests;
mod weights;
mod words;
mod yielding;

use crate::recovery::{ramp::RecoveryPolicy, trial::Evidence};
pub use cost::CostTarget;
pub use explain::{Explanation, explain};
pub use forecast::{Forecast, forecast};
pub use membership::{MemberSight, MemberStep, check_membership, plan_membership};
pub use next::{next_plan, what_if};
pub use order::plan_order;
use regionmesh_protocol::{identity::RegionName, plan::SHIFT_MIN_MS, status::condition::Condition};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, net::IpAddr};

/// Everything that decides about the next plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanInputs {
    /// Every region of the mesh.
    pub regions: BTreeMap<RegionName, RegionInput>,
    /// How traffic is shared.
    pub strategy: Strategy,
    /// Share that a suspect region keeps, percent of its normal weight.
    pub suspect_percent: u8,
    /// How a region comes back.
    pub recovery: RecoveryPolicy,
    /// Regions that automation may have out at once. A further one that fails keeps the share of a
    /// suspect region: a fault that all observers share must not pile all users onto the last
    /// region.
    pub max_out: u16,
    /// Time to live of DNS answers, milliseconds: steps of the ramp are held for a multiple of it.
    pub ttl_ms: u64,
    /// What traffic is to be moved to cheaper regions; none: as before.
    pub cost: Option<CostTarget>,
}

/// What is known of one region when a plan is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegionInput {
    /// Its normal weight, basis points.
    pub weight_bp: u16,
    /// Its place in the order of an active-passive mesh; the lowest serves.
    pub priority: u16,
    /// What DNS answers for it.
    pub addresses: Vec<IpAddr>,
    /// The verdict on it.
    pub condition: Condition,
    /// Since when the verdict stands, Unix milliseconds: one suspicion costs a ramping region one
    /// step, not more.
    pub since_ms: u64,
    /// The verdict's reason, for the plan's reason.
    pub reason: String,
    /// Whether it lacks nothing that the mesh has published; holds the ramp's gate shut while
    /// false.
    pub is_complete: bool,
    /// Whether its models are loaded; holds the ramp's gate shut while false. True where others
    /// serve its models.
    pub is_loaded: bool,
    /// Whether a synthetic inference passes there, as most observers saw last; holds the ramp's
    /// gate shut while it does not. None where none is configured: readiness decides then.
    pub inference_passes: Option<bool>,
    /// What it can serve at most, requests per second, if that was declared, or measured where that
    /// counts.
    pub capacity_rps: Option<u32>,
    /// What it can serve at most by measurement, requests per second, whether or not that counts.
    pub measured_capacity_rps: Option<u32>,
    /// What it serves, requests per second, where that is measured.
    pub load_rps: Option<u32>,
    /// How it does on its present step of the ramp, beside the regions that serve.
    pub evidence: Evidence,
}

impl RegionInput {
    /// Whether it lacks nothing that serving needs, whatever the verdict on it.
    pub(crate) fn is_fit(&self) -> bool {
        self.is_complete && self.is_loaded && self.inference_passes != Some(false)
    }

    /// Since when its verdict holds; 0, not known, if that lies in the future: it was told by a
    /// clock that was set since.
    fn judged_ms(&self, now_ms: u64) -> u64 {
        if self.since_ms > now_ms.saturating_add(SHIFT_MIN_MS) {
            0
        } else {
            self.since_ms
        }
    }
}

/// How traffic is shared between healthy regions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// By `weight_bp`.
    Weighted,
    /// All to the healthy region with the lowest `priority`.
    ActivePassive,
    /// By the client's network, as far as a table of networks knows it, else by `weight_bp`. The
    /// plan is that of `Weighted`; who asks from where is DNS's business.
    Latency,
}

impl PlanInputs {
    /// The same as automation may act on it where it must not: no verdict is known, so that
    /// everything stays.
    pub fn held(&self) -> Self {
        let held = |(name, input): (&RegionName, &RegionInput)| {
            (
                name.clone(),
                RegionInput {
                    condition: Condition::Unknown,
                    ..input.clone()
                },
            )
        };

        Self {
            regions: self.regions.iter().map(held).collect(),
            cost: None,
            ..self.clone()
        }
    }
}
