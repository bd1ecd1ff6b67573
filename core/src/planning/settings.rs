//! What the configuration says about plans.

use super::Strategy;
use crate::recovery::ramp::RecoveryPolicy;
use regionmesh_protocol::identity::RegionName;
use std::{collections::BTreeMap, net::IpAddr};

/// The configuration of plans.
#[derive(Debug, Clone)]
pub struct PlanSettings {
    /// Every configured region.
    pub regions: BTreeMap<RegionName, RegionSettings>,
    pub strategy: Strategy,
    /// Share that a suspect region keeps, percent of its normal weight.
    pub suspect_percent: u8,
    pub recovery: RecoveryPolicy,
    /// Most regions that automation may have out.
    pub max_out: u16,
    /// Time to live of DNS answers, milliseconds.
    pub ttl_ms: u64,
    /// Whether agents serve the models themselves, so that requests and loaded models are known.
    pub is_serving_embedded: bool,
    /// Whether each address of a region is judged on its own.
    pub judges_each_address: bool,
    /// Whether synthetic inferences are configured.
    pub has_inference_probes: bool,
    /// Whether a region without a declared capacity is limited to an estimate.
    pub measured_capacity: bool,
    /// Whether traffic may move to cheaper regions.
    pub shifts_for_cost: bool,
}

/// The configuration of one region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegionSettings {
    /// Its normal weight, basis points.
    pub weight_bp: u16,
    /// Its place in the order of an active-passive mesh.
    pub priority: u16,
    /// Its addresses in DNS answers.
    pub addresses: Vec<IpAddr>,
    /// Its declared capacity, requests per second.
    pub capacity_rps: Option<u32>,
}
