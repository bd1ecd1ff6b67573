//! From the state of the regions to the next plan.
//!
//! [`next_plan`] is the whole policy in one pure function: the current plan, the inputs and the
//! time → the next plan. A leader calls it on every change and about twice a second, and commits
//! the result. Operators' orders go through [`plan_order`] into the same plan, so that they outlive
//! the leader that accepted them.
//!
//! `next` goes from one plan to the next; `yielding` decides which orders give way to survival;
//! `traffic_state` moves one region; `weights` shares traffic out, within declared capacity;
//! `order` applies operators' orders, `membership` those about the register's members; `explain`
//! says why a region is where it is; `judging` decides whether another leader's plan has a reason;
//! `cost` moves traffic to cheaper regions; `inputs` reads the board.

mod addresses;
pub mod capacity;
mod cost;
mod explain;
mod forecast;
pub mod freeze;
pub(crate) mod inputs;
pub mod judging;
pub(crate) mod load;
mod membership;
mod next;
mod order;
mod overrides;
pub mod servability;
mod settings;
#[cfg(test)]
mod tests;
mod traffic_state;
mod weights;
mod words;
mod yielding;

use crate::recovery::{canary::Evidence, ramp::RecoveryPolicy};
pub use addresses::{is_among, unknown_addresses};
pub use cost::CostTarget;
pub use explain::{Explanation, explain};
pub use forecast::{Forecast, forecast};
pub use membership::{MemberStep, MemberView, check_membership, plan_membership};
pub use next::{next_plan, what_if};
pub use order::plan_order;
use regionmesh_protocol::{identity::RegionName, plan::SHIFT_MIN_MS, status::condition::Condition};
use serde::{Deserialize, Serialize};
pub use settings::{PlanSettings, RegionSettings};
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
    /// Most regions that automation may have out. A further one that fails keeps the share of a
    /// suspect region: a fault that all observers share must not pile all users onto the last
    /// region.
    pub max_out: u16,
    /// Time to live of DNS answers, milliseconds: steps of the ramp are held for a multiple of it.
    pub ttl_ms: u64,
    /// Traffic to move to cheaper regions; none: keep the present factors.
    pub cost: Option<CostTarget>,
}

/// One region's state when a plan is made.
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
    /// When the verdict was reached, Unix milliseconds: one suspicion costs a ramping region one
    /// step, not more.
    pub since_ms: u64,
    /// The verdict's reason, for the plan's reason.
    pub reason: String,
    /// Whether it holds everything that the mesh has published; its cool-down does not end while
    /// false.
    pub is_complete: bool,
    /// Whether its models are loaded; its cool-down does not end while false. True if another
    /// server serves its models.
    pub is_loaded: bool,
    /// Whether a synthetic inference passes there, as most observers last saw; its cool-down does
    /// not end while it fails. None if none is configured: readiness decides then.
    pub inference_passes: Option<bool>,
    /// Its capacity, requests per second: declared, or measured if `traffic.measured_capacity` is
    /// on.
    pub capacity_rps: Option<u32>,
    /// Its measured capacity, requests per second, whether or not that counts.
    pub measured_capacity_rps: Option<u32>,
    /// Its load, requests per second, if measured.
    pub load_rps: Option<u32>,
    /// How it does on its present ramp step, compared with the regions that serve.
    pub evidence: Evidence,
}

impl RegionInput {
    /// Whether it lacks nothing that serving needs, whatever the verdict on it.
    pub(crate) fn is_fit(&self) -> bool {
        self.is_complete && self.is_loaded && self.inference_passes != Some(false)
    }

    /// When its verdict was reached; 0 (unknown) if that lies in the future: the clock was set back
    /// since.
    fn judged_ms(&self, now_ms: u64) -> u64 {
        if self.since_ms > now_ms.saturating_add(SHIFT_MIN_MS) {
            0
        } else {
            self.since_ms
        }
    }
}

/// How traffic is shared between healthy regions.
// The plan of `Latency` is that of `Weighted`; DNS decides by the network of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// By `weight_bp`.
    Weighted,
    /// All to the healthy region with the lowest `priority`.
    ActivePassive,
    /// By the client's network where `networks` lists it, otherwise by `weight_bp`.
    Latency,
}

impl PlanInputs {
    /// Inputs under which automation changes nothing: no verdict is known, and no cost target.
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
