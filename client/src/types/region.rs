//! Regions, and what observers see of them.

use regionmesh_protocol::{identity::RegionName, status::condition::Condition};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// A region.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct RegionStatus {
    pub region: RegionName,
    pub cloud: String,
    /// `host:port` at which its agents are reached.
    pub endpoint: String,
    /// Where its models are served; what observers probe.
    pub serving_url: String,
    /// The verdict on it.
    pub verdict: Condition,
    /// Since when, Unix milliseconds; 0 while nothing is known.
    pub verdict_since_ms: u64,
    pub verdict_reason: String,
    /// What each observing region concludes.
    pub votes: Vec<VoteStatus>,
    /// What each observing agent saw last.
    #[serde(default)]
    pub observations: Vec<ObservationStatus>,
    /// Its weight in the plan, basis points of a full share.
    pub weight_bp: u16,
    /// Its share of the traffic, 0 to 1.
    pub share: f64,
    /// `serving`, `reduced`, `limited`, `out`, `cooling-down` or `ramping`; `unplanned` before the
    /// first plan; `not a member` of the register.
    pub traffic_state: String,
    /// The step's percentage; null unless it is ramping.
    pub ramp_percent: Option<u8>,
    /// When its ramp begins at the earliest, Unix milliseconds; null unless it is cooling down.
    #[serde(default)]
    pub ramp_starts_ms: Option<u64>,
    /// When it has its full share at the earliest, Unix milliseconds; null unless it is recovering.
    #[serde(default)]
    pub full_share_ms: Option<u64>,
    /// The addresses that DNS answers for it.
    pub addresses: Vec<IpAddr>,
    /// The verdict on each of its addresses; empty where its endpoint is probed as a whole.
    #[serde(default)]
    pub address_verdicts: Vec<AddressStatus>,
    /// How often it failed recently.
    pub flaps: u32,
    /// The load that it serves, requests per second; null if it is not measured.
    #[serde(default)]
    pub load_rps: Option<u32>,
    /// The capacity that plans assume, requests per second: declared, or measured if
    /// `traffic.measured_capacity` is on; null if it is unknown.
    #[serde(default)]
    pub capacity_rps: Option<u32>,
    /// Its measured capacity, requests per second, whether or not plans use it; null if unknown.
    #[serde(default)]
    pub measured_capacity_rps: Option<u32>,
}

/// The verdict on one address of a region.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct AddressStatus {
    pub address: IpAddr,
    /// The verdict on it.
    pub verdict: Condition,
    /// Since when, Unix milliseconds.
    pub since_ms: u64,
    pub reason: String,
    /// Whether DNS answers with it.
    pub answered: bool,
}

/// What an observing agent saw of one address of a region.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct AddressSeen {
    /// The address; null where the endpoint is probed by its name.
    pub address: Option<IpAddr>,
    /// What the observer concludes.
    pub condition: Condition,
    /// Its last probe in words, and why the address is gray if it is.
    pub evidence: String,
    /// Since when it concludes so, by its clock, Unix milliseconds.
    pub since_ms: u64,
    /// When it probed last, by its clock, Unix milliseconds; 0 if never.
    pub probed_ms: u64,
    /// Duration of its last successful probe, microseconds; null if there was none.
    pub round_trip_us: Option<u64>,
    /// `health.gray.quantile_percent` of recent probes took at most this, microseconds.
    pub quantile_us: Option<u64>,
    /// The part of recent probes that failed, basis points.
    pub error_bp: Option<u16>,
    /// Whether the last synthetic inference passed; null if there was none.
    pub inference: Option<bool>,
}

/// The vote of an observing region.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct VoteStatus {
    /// The observing region.
    pub region: RegionName,
    /// What it concludes.
    pub condition: Condition,
}

/// What an observing agent saw of a region's endpoint.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ObservationStatus {
    /// The observing agent: `region/name`.
    pub observer: String,
    /// What it concludes.
    pub condition: Condition,
    /// Its last probe in words.
    pub evidence: String,
    /// Since when it concludes so, by its clock, Unix milliseconds.
    pub since_ms: u64,
    /// Duration of its last successful probe, microseconds; null if there was none.
    pub round_trip_us: Option<u64>,
    /// What it saw of each address; empty while it abstains.
    #[serde(default)]
    pub addresses: Vec<AddressSeen>,
    /// How long ago the answering agent heard it, milliseconds.
    pub age_ms: u64,
}

/// Every region.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Regions {
    /// Every region of the configuration.
    pub regions: Vec<RegionStatus>,
}
