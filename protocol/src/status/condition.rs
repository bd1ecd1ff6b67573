//! What an observer concludes about an endpoint.

use crate::identity::RegionName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use strum::{Display, EnumString, IntoStaticStr, VariantArray};

/// What one observer concludes about one region's endpoint.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
#[derive(Display, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "kebab-case")]
pub enum Condition {
    /// Nothing known yet, or the observer abstains (it can't reach its canaries).
    Unknown,
    /// Answers correctly.
    Healthy,
    /// Silent for 2 s: its weight is cut, reversibly.
    Suspect,
    /// Does not serve: three definite failures in a row, or silence for 8 s.
    Failed,
    /// Its own agents ask to drain it.
    Draining,
}

impl Condition {
    /// Every condition, mildest first.
    pub const ALL: &'static [Self] = Self::VARIANTS;

    /// The word for it, as in JSON and in metric labels.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// What one observer saw of one region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    /// The region whose endpoint was probed.
    pub region: RegionName,
    /// What the observer concludes.
    pub condition: Condition,
    /// Whether it failed by definite failures, not by silence alone.
    pub is_definite: bool,
    /// Evidence for the condition: `200 in 1.3 ms`, `connection refused 3 times in a row`.
    pub evidence: String,
    /// When the condition was reached, observer's clock, Unix milliseconds.
    pub since_ms: u64,
    /// Time of the last successful probe, microseconds; none if there was none.
    pub round_trip_us: Option<u64>,
    /// What it saw of each of the region's addresses; empty if the endpoint is probed as a whole.
    pub addresses: Vec<AddressObservation>,
}

/// What one observer saw of one address of a region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressObservation {
    /// The address; none if the endpoint is probed by its name.
    pub address: Option<IpAddr>,
    /// What the observer concludes.
    pub condition: Condition,
    /// Evidence for the condition, and the last probe's outcome if it differs.
    pub evidence: String,
    /// When the condition was reached, observer's clock, Unix milliseconds.
    pub since_ms: u64,
    /// When it was probed last, observer's clock, Unix milliseconds; 0 if never.
    pub probed_ms: u64,
    /// Time of the last successful probe, microseconds.
    pub round_trip_us: Option<u64>,
    /// The quantile of recent successful probes that is compared with the threshold, microseconds.
    pub quantile_us: Option<u64>,
    /// Part of recent probes that failed, basis points.
    pub error_bp: Option<u16>,
    /// Whether the last synthetic inference passed; none if there was none.
    pub inference: Option<bool>,
}
