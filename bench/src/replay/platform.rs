//! The replayed platform: regions, models and operational constants.

/// Number of origins: the regions that callers run in.
pub(super) const ORIGINS: usize = REGIONS.len();

/// Number of models: large, mid and small.
pub(super) const MODELS: usize = 3;

/// A region, and the callers in it.
pub(super) struct Region {
    pub(super) name: &'static str,
    pub(super) cloud: &'static str,
    /// The share of all requests that come from here.
    pub(super) demand_share: f64,
    /// Local time less UTC, in winter.
    pub(super) utc_offset_minutes: i64,
}

/// The three example regions of the platform.
pub(super) const REGIONS: [Region; 3] = [
    Region {
        name: "us-west-2",
        cloud: "aws",
        demand_share: 0.40,
        utc_offset_minutes: -8 * 60,
    },
    Region {
        name: "europe-west1",
        cloud: "gcp",
        demand_share: 0.35,
        utc_offset_minutes: 60,
    },
    Region {
        name: "centralindia",
        cloud: "azure",
        demand_share: 0.25,
        utc_offset_minutes: 5 * 60 + 30,
    },
];

/// A model. Every node has all three.
pub(super) struct Model {
    pub(super) name: &'static str,
    /// Time to the first token, milliseconds.
    pub(super) service_ms: f64,
    /// Size of a version.
    pub(super) bytes: u64,
}

pub(super) const MODEL_LIST: [Model; MODELS] = [
    Model {
        name: "large",
        service_ms: 80.0,
        bytes: 8_000_000_000,
    },
    Model {
        name: "mid",
        service_ms: 40.0,
        bytes: 4_000_000_000,
    },
    Model {
        name: "small",
        service_ms: 20.0,
        bytes: 1_000_000_000,
    },
];

/// Bytes of an answer: some 500 tokens of text.
pub(super) const ANSWER_BYTES: f64 = 2_000.0;

/// Limit on the round trip plus the time to the first token, milliseconds. At 150 ms no region
/// could take over for another: they are 133 to 209 ms apart.
pub(super) const LATENCY_MS: f64 = 300.0;

/// Planned capacity divided by the forecast.
pub(super) const CAPACITY_MARGIN: f64 = 1.1;

/// From ordering a node until it serves, minutes.
pub(super) const START_MINUTES: u32 = 5;

/// From the notice of an interruption until the spot node is gone, minutes.
pub(super) const NOTICE_MINUTES: u32 = 2;

/// From the start of an overload until its requests are sent to other regions, seconds.
pub(super) const DETECTION_SECONDS: f64 = 10.0;

/// Bins that the forecast looks back on, including the current one.
pub(super) const LOOK_BACK_BINS: usize = 3;

/// Bins after the same time yesterday and a week ago that the forecast uses.
pub(super) const LOOK_AHEAD_BINS: usize = 3;

/// Time to replace a lost spot node that the placement assumes, minutes.
pub(super) const SPOT_REPLACEMENT_MINUTES: f64 = 5.0;

/// Hourly cost of load balancer, NAT gateway and monitoring of a region with nodes: an estimate.
/// AWS charges about 0.02 and 0.05 for the first two.
pub(super) const FIXED_PER_HOUR: &str = "0.10";

/// Most nodes of a region and pricing class.
pub(super) const QUOTA: u32 = 2_000;
