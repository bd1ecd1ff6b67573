//! What the replay assumes: regions, models, prices, the spot market and the rules of operation.

use super::{
    error::{DAYS_MAX, ReplayError},
    platform::{CAPACITY_MARGIN, LATENCY_MS, MODEL_LIST, MODELS, REGIONS},
    spot::SpotProcess,
};
use regionmesh_cost::{
    CloudRegion, MeshRegion, Money, NoPrice, Prices, PricingClass, RegionMap, price_per_gb,
};
use time::{Date, Month};

/// Where callers run, which determines the egress cost of answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Callers {
    /// In the three cloud regions: answers within a region are free, others are egress.
    InRegions,
    /// On the Internet: every answer is egress, wherever it comes from.
    OnInternet,
}

/// Assumptions that a reader may question; `default()` is the documented case.
#[derive(Debug, Clone, PartialEq)]
pub struct Assumptions {
    /// Days that are replayed first and not counted, since forecasts and commitments need history.
    pub warm_up_days: usize,
    /// Factor on the recorded rates.
    pub load_factor: f64,
    /// Work of a request to the large, mid and small model: seconds of one node.
    pub node_seconds: [f64; MODELS],
    /// Instance types in us-west-2, europe-west1 and centralindia. All count as equally fast.
    pub node_types: [&'static str; REGIONS.len()],
    /// Where callers run.
    pub callers: Callers,
    /// Whether each origin's load follows its local time.
    pub is_shifted: bool,
    /// The largest share of a region's nodes that may be spot.
    pub spot_share_max: f64,
    /// Whether one-year commitments are available.
    pub has_commitments: bool,
    /// The spot market.
    pub spot: SpotProcess,
    /// Capacity divided by the peak, for strategies that are sized for the peak.
    pub peak_margin: f64,
    /// Remaining capacity divided by the forecast after the loss of a region, for strategies that
    /// survive one. The placement's own headroom is gone then, and forecasts are no better.
    pub loss_margin: f64,
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
            peak_margin: CAPACITY_MARGIN,
            loss_margin: CAPACITY_MARGIN,
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
    /// The default values, replaced by the averages in skyplane's table of latencies where it has
    /// them: columns `src_region`, `src_tier`, `dst_region`, `dst_tier` and `avg_rtt`, zones such
    /// as `gcp:europe-west1-b`. Unusable rows are ignored.
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

/// The date of a day of the replay, which begins with a month: tiers of egress prices are monthly.
pub(super) fn day(index: usize) -> Result<Date, ReplayError> {
    let first = Date::from_calendar_date(2026, Month::October, 1).ok();
    let date =
        first.and_then(|first| first.checked_add(time::Duration::days(i64::try_from(index).ok()?)));

    date.ok_or(ReplayError::Days {
        given: index,
        least: 1,
        most: DAYS_MAX,
    })
}

/// Prices per hour of a region's node on a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NodePrices {
    pub(super) on_demand: Money,
    pub(super) spot: Money,
    pub(super) committed: Money,
}

/// Prices by region.
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

    /// The price of answers per 10^9 bytes, before tiers; to the Internet if `to` is `None`.
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
