//! The plan: which region gets which share of traffic, and why.

use crate::{identity::RegionName, ramp::RecoveryPolicy, register::Stamp, verdict::Condition};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, net::IpAddr};

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

/// The plan that follows from `inputs`, if it differs from `current`.
pub fn next_plan(current: Option<&Plan>, inputs: &PlanInputs, now_ms: u64) -> Option<Plan> {
    let regions: BTreeMap<_, _> = inputs
        .regions
        .iter()
        .map(|(name, input)| {
            let is_out = matches!(input.condition, Condition::Failed | Condition::Draining);
            let standing = if is_out { Standing::Out { since_ms: 0 } } else { Standing::Serving };
            let weight_bp = if is_out { 0 } else { input.weight_bp };
            (name.clone(), RegionPlan { weight_bp, standing, addresses: input.addresses.clone(), flaps: 0 })
        })
        .collect();
    if current.is_some_and(|current| current.regions == regions) {
        return None;
    }
    Some(Plan { regions, reason: "conditions changed".into(), made_ms: now_ms })
}
