//! What the replay assumes: regions, models, prices, the spot market and the rules of operation.

use super::{ReplayError, spot::SpotProcess};
use regionmesh_cost::{
    CloudRegion, MeshRegion, Money, NoPrice, Prices, PricingClass, RegionMap, price_per_gb,
};
use time::{Date, Month};

/// Origins are the regions that callers run in.
pub(super) const ORIGINS: usize = REGIONS.len();
/// Large, mid and small.
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

/// A model. Every node holds all three.
pub(super) struct Model {
    pub(super) name: &'static str,
    /// Until the first token, milliseconds.
    pub(super) service_ms: f64,
    /// Of one version: what is replicated.
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
/// Round trip and time to the first token stay within this, milliseconds. At 150 ms none of the
/// three regions could take over for another: they are 133 to 209 ms apart.
pub(super) const LATENCY_MS: f64 = 300.0;
/// Capacity over the forecast.
pub(super) const HEADROOM: f64 = 1.1;
/// From the order of a node until it serves, minutes.
pub(super) const START_MINUTES: u32 = 5;
/// From the notice of a spot node's end to its end, minutes.
pub(super) const NOTICE_MINUTES: u32 = 2;
/// From the start of an overload until its requests are sent to other regions, seconds.
pub(super) const DETECTION_SECONDS: f64 = 10.0;
/// Bins that the forecast looks back on, the one that runs included.
pub(super) const LOOK_BACK_BINS: usize = 3;
/// Bins that it looks ahead on: those of yesterday and of a week ago that came after the same time.
pub(super) const LOOK_AHEAD_BINS: usize = 3;
/// How long a lost spot node is missed, minutes: what the placement is told.
pub(super) const SPOT_REPLACEMENT_MINUTES: f64 = 5.0;
/// Load balancer, NAT gateway and monitoring of a region that has nodes, per hour: an estimate. AWS
/// asks some 0.02 and 0.05 for the first two.
pub(super) const FIXED_PER_HOUR: &str = "0.10";
/// Most nodes of a region and pricing class.
pub(super) const QUOTA: u32 = 2_000;

/// Where the callers run, which decides what their answers cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Callers {
    /// In the three cloud regions: answers within a region are free, others are egress.
    InRegions,
    /// On the Internet: every answer is egress, wherever it comes from.
    OnInternet,
}

/// What the replay assumes and a reader may doubt; `default()` is the documented case.
#[derive(Debug, Clone, PartialEq)]
pub struct Assumptions {
    /// Days that are replayed first and not counted: forecasts and commitments need a past.
    pub warm_up_days: usize,
    /// Factor on the recorded rates.
    pub load_factor: f64,
    /// Work of a request to the large, mid and small model: seconds of one node.
    pub node_seconds: [f64; MODELS],
    /// Instance types in us-west-2, europe-west1 and centralindia. Nodes of all types count the
    /// same.
    pub node_types: [&'static str; REGIONS.len()],
    /// Where callers run.
    pub callers: Callers,
    /// Whether each origin's day follows its local time.
    pub is_shifted: bool,
    /// The largest share of a region's nodes that may be spot.
    pub spot_share_max: f64,
    /// Whether nodes may be committed to for a year.
    pub has_commitments: bool,
    /// The spot market.
    pub spot: SpotProcess,
    /// Capacity over the peak of the strategies that are sized for it.
    pub peak_headroom: f64,
    /// Capacity over the forecast that is left after the loss of a region that is to be survived. A
    /// placement's own headroom is not there then, and the forecast is no better.
    pub loss_headroom: f64,
}

impl Default for Assumptions {
    fn default() -> Self {
        Self {
            warm_up_days: 2,
            load_factor: 1.0,
            node_seconds: [0.1, 0.02, 0.01],
            node_types: ["m5.xlarge", "n2d-standard-4", "D4s_v5"],
            callers: Callers::InRegions,
            is_shifted: true,
            spot_share_max: 0.5,
            has_commitments: true,
            spot: SpotProcess::default(),
            peak_headroom: HEADROOM,
            loss_headroom: HEADROOM,
        }
    }
}

/// Measured round trips between the regions, milliseconds.
#[derive(Debug, Clone, PartialEq)]
pub struct RoundTrips(pub(super) [[f64; REGIONS.len()]; REGIONS.len()]);

impl Default for RoundTrips {
    /// As skyplane measured them between virtual machines (2022, premium tier).
    fn default() -> Self {
        Self([
            [0.0, 158.5, 208.9],
            [158.5, 0.0, 133.4],
            [208.9, 133.4, 0.0],
        ])
    }
}

impl RoundTrips {
    /// The same, with averages from skyplane's table of latencies where it has them: columns
    /// `src_region`, `src_tier`, `dst_region`, `dst_tier` and `avg_rtt`, zones as
    /// `gcp:europe-west1-b`. Rows that can't be used are left out.
    pub fn read(text: &str) -> Self {
        let mut trips = Self::default();
        let mut lines = text.lines();
        let header: Vec<&str> = lines.next().unwrap_or_default().split(',').collect();
        let wanted = [
            "src_region",
            "src_tier",
            "dst_region",
            "dst_tier",
            "avg_rtt",
        ];

        let places: Vec<usize> = wanted
            .iter()
            .filter_map(|name| header.iter().position(|column| column == name))
            .collect();
        let &[from, from_tier, to, to_tier, trip] = places.as_slice() else {
            return trips;
        };
        let index_of = |text: &str| {
            let at: CloudRegion = text.parse().ok()?;
            REGIONS
                .iter()
                .position(|region| region.cloud == at.cloud() && region.name == at.region())
        };

        for line in lines {
            let cells: Vec<&str> = line.split(',').collect();
            let cell = |place: usize| cells.get(place).copied().unwrap_or_default();
            let is_premium = cell(from_tier) == "PREMIUM" && cell(to_tier) == "PREMIUM";
            let trip_ms = cell(trip)
                .parse::<f64>()
                .ok()
                .filter(|trip_ms| *trip_ms > 0.0 && trip_ms.is_finite());

            if let (true, Some(from), Some(to), Some(trip_ms)) = (
                is_premium,
                index_of(cell(from)),
                index_of(cell(to)),
                trip_ms,
            ) {
                (trips.0[from][to], trips.0[to][from]) = (trip_ms, trip_ms);
            }
        }

        trips
    }

    /// Whether a region answers an origin's requests for a model in time.
    pub(super) fn is_near(&self, model: usize, origin: usize, region: usize) -> bool {
        self.0[origin][region] + MODEL_LIST[model].service_ms <= LATENCY_MS
    }
}

/// The first day of the replay: the first of a month, since tiers of egress prices count by month.
pub(super) fn day(index: usize) -> Result<Date, ReplayError> {
    let first = Date::from_calendar_date(2026, Month::October, 1).ok();
    let date =
        first.and_then(|first| first.checked_add(time::Duration::days(i64::try_from(index).ok()?)));

    date.ok_or(ReplayError::Days {
        given: index,
        least: 1,
        most: super::DAYS_MAX,
    })
}

/// Prices per hour of a region's node on a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NodePrices {
    pub(super) on_demand: Money,
    pub(super) spot: Money,
    pub(super) committed: Money,
}

/// Prices, and where to look them up.
pub(super) struct PriceList<'a> {
    pub(super) prices: &'a Prices,
    pub(super) regions: RegionMap,
    node_types: [&'static str; REGIONS.len()],
}

impl<'a> PriceList<'a> {
    pub(super) fn new(prices: &'a Prices, assumptions: &Assumptions) -> Self {
        let regions = REGIONS.iter().map(|region| MeshRegion {
            name: region.name.to_owned(),
            cloud: region.cloud.to_owned(),
            billing_region: Some(region.name.to_owned()),
        });

        Self {
            prices,
            regions: RegionMap::new(regions),
            node_types: assumptions.node_types,
        }
    }

    pub(super) fn nodes(&self, day: Date, region: usize) -> Result<NodePrices, NoPrice> {
        let at = CloudRegion::new(REGIONS[region].cloud, REGIONS[region].name);
        let price = |class| {
            Ok(self
                .prices
                .node(day, &at, self.node_types[region], class)?
                .first())
        };

        Ok(NodePrices {
            on_demand: price(PricingClass::OnDemand)?,
            spot: price(PricingClass::Spot)?,
            committed: price(PricingClass::Committed)?,
        })
    }

    /// The price of answers per 10^9 bytes, before tiers; `None` is the Internet.
    pub(super) fn egress(
        &self,
        day: Date,
        from: usize,
        to: Option<usize>,
    ) -> Result<Money, NoPrice> {
        price_per_gb(
            self.prices,
            &self.regions,
            day,
            REGIONS[from].name,
            to.map(|to| REGIONS[to].name),
        )
    }
}
