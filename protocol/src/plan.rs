//! The plan: which region gets which share of traffic, and why.
//!
//! [`next_plan`] is the whole policy in one pure function: what stands, what is known, what time it is → what shall
//! stand. A leader calls it on every change and about twice a second, and commits what it answers.

use crate::{identity::RegionName, ramp::RecoveryPolicy, register::Stamp, verdict::Condition};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, net::IpAddr};

mod next;
#[cfg(test)]
mod tests;

pub use next::next_plan;

/// A full share, basis points. Weights are relative; the strategy's weight of a healthy region is at most this.
pub const FULL_WEIGHT_BP: u16 = 10_000;

/// Where a region stands in the plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// Gets its share.
    Serving,
    /// Suspect: its share is cut until it answers again.
    Reduced,
    /// Failed or draining: gets nothing.
    Out {
        /// Since when, Unix milliseconds.
        since_ms: u64,
    },
    /// Answers again, and must stay healthy until the gate opens.
    Gated {
        /// Healthy since, Unix milliseconds.
        since_ms: u64,
    },
    /// Takes traffic back step by step.
    Ramping {
        /// Index into the ramp's steps.
        step: usize,
        /// When this step began, Unix milliseconds.
        since_ms: u64,
    },
}

/// One region's part of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegionPlan {
    /// Share of traffic relative to the other regions, basis points of a full share; 0 is none.
    pub weight_bp: u16,
    /// Where the region stands.
    pub standing: Standing,
    /// What DNS answers for the region; never empty in a committed plan.
    pub addresses: Vec<IpAddr>,
    /// How often the region failed lately; lengthens its gate.
    pub flaps: u32,
    /// When it last failed, leader's clock, Unix milliseconds; 0 if never. Tells when `flaps` is forgotten.
    pub failed_ms: u64,
}

/// Which region gets which share of traffic: the value that the register agrees on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Every region of the mesh.
    pub regions: BTreeMap<RegionName, RegionPlan>,
    /// Why this plan differs from the one before, for people.
    pub reason: String,
    /// When it was made, leader's clock, Unix milliseconds.
    pub made_ms: u64,
}

/// A plan that a majority of the acceptors accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommittedPlan {
    /// Its place in the order of plans; a later stamp outranks an earlier one.
    pub stamp: Stamp,
    /// The plan.
    pub plan: Plan,
}

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
    /// Since when the verdict stands, Unix milliseconds: one suspicion costs a ramping region one step, not more.
    pub since_ms: u64,
    /// The verdict's reason, for the plan's reason.
    pub reason: String,
    /// Whether it lacks nothing that the mesh has published; holds the ramp's gate shut while false.
    pub is_complete: bool,
}

/// How traffic is shared between healthy regions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// By `weight_bp`.
    Weighted,
    /// All to the healthy region with the lowest `priority`.
    ActivePassive,
}

impl Plan {
    /// Sum of all weights, basis points.
    pub fn total_weight_bp(&self) -> u32 {
        self.regions.values().map(|region| u32::from(region.weight_bp)).sum()
    }

    /// Each region's fraction of the traffic, 0 to 1; they add up to 1 unless every weight is 0.
    pub fn shares(&self) -> BTreeMap<RegionName, f64> {
        let total = f64::from(self.total_weight_bp().max(1));
        self.regions.iter().map(|(name, region)| (name.clone(), f64::from(region.weight_bp) / total)).collect()
    }

    /// The regions that get traffic now, with their weights and addresses.
    pub fn carrying(&self) -> impl Iterator<Item = (&RegionName, &RegionPlan)> {
        self.regions.iter().filter(|(_, region)| region.weight_bp > 0 && !region.addresses.is_empty())
    }
}
