//! From single probes to the verdict on a region.

use crate::identity::RegionName;
use serde::{Deserialize, Serialize};

/// What one observer concludes about one region's endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Condition {
    /// Nothing known yet, or the observer abstains (it can't reach its canaries).
    Unknown,
    /// Answers as it should.
    Healthy,
    /// Silent for 2 s: its weight is cut, reversibly.
    Suspect,
    /// Does not serve: positive evidence three times, or silence for 8 s.
    Failed,
    /// Its own agents ask for no traffic.
    Draining,
}

/// What one observer saw of one region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    /// The region whose endpoint was probed.
    pub region: RegionName,
    /// What the observer concludes.
    pub condition: Condition,
    /// The last probe's outcome in words: `200 in 1.3 ms`, `connection refused`, `no answer in 1 s`.
    pub evidence: String,
    /// When the condition was reached, observer's clock, Unix milliseconds.
    pub since_ms: u64,
    /// Time of the last successful probe, microseconds; none if there was none.
    pub round_trip_us: Option<u64>,
}

/// The verdict on one region, and the votes behind it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegionVerdict {
    /// The verdict.
    pub condition: Condition,
    /// Since when, Unix milliseconds of the agent that says so.
    pub since_ms: u64,
    /// What each observing region concludes; the region itself is not among them.
    pub votes: Vec<(RegionName, Condition)>,
    /// Why, in words.
    pub reason: String,
}
