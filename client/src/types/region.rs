//! Regions, and what observers see of them.

use regionmesh_protocol::{identity::RegionName, status::condition::Condition};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// One region.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RegionStatus {
    pub region: RegionName,
    pub cloud: String,
    /// Where its agents are reached.
    pub endpoint: String,
    /// Where its models are served.
    pub serving_url: String,
    /// The verdict on it.
    pub verdict: Condition,
    /// Since when.
    pub verdict_since_ms: u64,
    pub verdict_reason: String,
    /// What each observing region says.
    pub votes: Vec<VoteStatus>,
    /// What each observing agent saw last.
    #[serde(default)]
    pub observations: Vec<ObservationStatus>,
    /// Its weight in the plan, basis points.
    pub weight_bp: u16,
    /// Its share of the traffic, 0 to 1.
    pub share: f64,
    /// Where it stands in the plan: serving, reduced, out, cooling-down, ramping; unplanned before
    /// the first plan.
    pub traffic_state: String,
    /// While ramping: the step's percentage.
    pub ramp_percent: Option<u8>,
    /// While it cools down: when its ramp begins at the earliest, Unix milliseconds.
    #[serde(default)]
    pub ramp_starts_ms: Option<u64>,
    /// On its way back: when it has its full share at the earliest, Unix milliseconds.
    #[serde(default)]
    pub full_share_ms: Option<u64>,
    /// What DNS answers for it.
    pub addresses: Vec<IpAddr>,
    /// The verdict on each of its addresses; empty where its endpoint is probed as a whole.
    #[serde(default)]
    pub address_verdicts: Vec<AddressStatus>,
    /// How often it failed lately.
    pub flaps: u32,
    /// What it serves, requests per second; none where nobody measures.
    #[serde(default)]
    pub load_rps: Option<u32>,
    /// What it can serve at most, requests per second, as the capacity guard reckons: declared, or
    /// measured where `traffic.measured_capacity` is on; none: nothing known.
    #[serde(default)]
    pub capacity_rps: Option<u32>,
    /// What it can serve at most by measurement, requests per second.
    #[serde(default)]
    pub measured_capacity_rps: Option<u32>,
}

/// One address of a region.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AddressStatus {
    pub address: IpAddr,
    /// The verdict on it.
    pub verdict: Condition,
    /// Since when.
    pub since_ms: u64,
    pub reason: String,
    /// Whether DNS answers it.
    pub answered: bool,
}

/// What one observing agent saw of one address.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AddressSeen {
    /// The address; none where the endpoint is probed by its name.
    pub address: Option<IpAddr>,
    /// What the observer concludes.
    pub condition: Condition,
    /// Its last probe in words, and why it is gray if it is.
    pub evidence: String,
    /// Since when it concludes so, its clock.
    pub since_ms: u64,
    /// When it probed last, its clock; 0 if never.
    pub probed_ms: u64,
    /// Time of its last successful probe, microseconds.
    pub round_trip_us: Option<u64>,
    /// The quantile of recent probes that the thresholds speak of, microseconds.
    pub quantile_us: Option<u64>,
    /// Part of recent probes that failed, basis points.
    pub error_bp: Option<u16>,
    /// Whether the last synthetic inference passed; none if there was none.
    pub inference: Option<bool>,
}

/// What one observing region says.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct VoteStatus {
    /// The observing region.
    pub region: RegionName,
    /// What it concludes.
    pub condition: Condition,
}

/// What one observing agent saw of a region's endpoint.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ObservationStatus {
    pub observer: String,
    /// What it concludes.
    pub condition: Condition,
    /// Its last probe in words.
    pub evidence: String,
    /// Since when it concludes so, its clock.
    pub since_ms: u64,
    /// Time of its last successful probe, microseconds.
    pub round_trip_us: Option<u64>,
    /// What it saw of each address; empty while it abstains.
    #[serde(default)]
    pub addresses: Vec<AddressSeen>,
    /// How long ago the answering agent heard it.
    pub age_ms: u64,
}

/// `GET /v1/regions`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Regions {
    /// Every region.
    pub regions: Vec<RegionStatus>,
}
