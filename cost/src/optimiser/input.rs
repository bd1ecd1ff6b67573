use super::outcome::PlacementError;
use crate::money::{Amount, Currency, Money};
use regionmesh_protocol::{identity::RegionName, models::manifest::ModelName};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

/// Most regions of a placement.
pub const REGIONS_MAX: usize = 64;
/// Most models of a placement.
pub const MODELS_MAX: usize = 1_000;
/// Most origins of a placement.
const ORIGINS_MAX: usize = 256;
/// Largest number of nodes, requests per second, bytes or milliseconds that is taken for meant.
const NUMBER_MAX: f64 = 1e12;

/// The input of a placement. All prices must be in one currency.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlacementInput {
    /// The regions, each name once.
    pub regions: Vec<RegionOffer>,
    /// The models, each name once.
    pub models: Vec<ModelDemand>,
    /// Measured round trips, milliseconds, by origin and region. A pair that is missing is not
    /// used, except that an origin with the name of a region is 0 ms from it.
    pub round_trips_ms: BTreeMap<String, BTreeMap<RegionName, f64>>,
    /// Price of a gigabyte (10^9 bytes) of answers, by region and origin. An origin with the name
    /// of the region is free where it is missing. For any other missing pair the highest price
    /// given is taken, and the placement says so.
    pub egress_per_gb: BTreeMap<RegionName, BTreeMap<String, Money>>,
    /// The limits to keep.
    #[serde(default)]
    pub rules: PlacementRules,
}

/// A region and what its nodes cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RegionOffer {
    /// The region in the mesh.
    pub name: RegionName,
    /// The cloud it is in: `aws`.
    pub cloud: String,
    /// Its agents' endpoint, for display.
    #[serde(default)]
    pub endpoint: String,
    /// Nodes at the usual price.
    pub on_demand: NodeOffer,
    /// Nodes that the cloud may take back.
    #[serde(default)]
    pub spot: Option<SpotOffer>,
    /// Nodes that are committed to.
    #[serde(default)]
    pub committed: Option<CommittedOffer>,
    /// Fixed hourly cost of a region in use: agents, control plane, load balancer.
    #[serde(default)]
    pub fixed_per_hour: Option<Money>,
}

/// Nodes for sale.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeOffer {
    /// Price of a node for an hour.
    pub price: Money,
    /// Most nodes that may be had: the quota.
    pub nodes_max: u32,
}

/// Spot nodes for sale.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SpotOffer {
    /// Price of a node for an hour.
    pub price: Money,
    /// Most nodes that may be had.
    pub nodes_max: u32,
    /// Probability that a node is taken back within an hour, 0 to 1.
    pub loss_per_hour: f64,
}

/// Commitments: those that run, and those for sale.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CommittedOffer {
    /// Price of a node for an hour, whether it is used or not.
    pub price: Money,
    /// Most nodes that may be committed to beyond those that are: the steady base that the evidence
    /// supports.
    pub new_nodes_max: u32,
    /// Nodes that are paid for already. Using them costs nothing more; their price counts in any
    /// case.
    pub paid_nodes: u32,
}

/// A model and who asks for it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelDemand {
    pub name: ModelName,
    /// Work of one request, node-seconds: a node serves 1 / this many requests per second.
    pub node_seconds_per_request: f64,
    /// Time from a request's arrival in a region to its answer, milliseconds.
    pub service_ms: f64,
    /// Size of an answer, bytes.
    pub bytes_per_answer: f64,
    /// The share of one node's memory that a loaded copy takes, 0 to 1. A region in use holds one
    /// copy of each model that it may serve, and one more for each further node that is busy with
    /// it.
    pub memory_share: f64,
    /// The share of the capacity that serves this model in a region that may be spot, 0 to 1.
    #[serde(default = "default_spot_share")]
    pub spot_share_max: f64,
    /// Requests by origin.
    pub demand: BTreeMap<String, OriginDemand>,
}

fn default_spot_share() -> f64 {
    0.5
}

/// Requests of one origin for one model.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct OriginDemand {
    /// On average, requests per second: what egress is paid for.
    pub mean_rps: f64,
    /// At the peak, requests per second: what nodes are sized for.
    pub peak_rps: f64,
}

/// The limits that a placement must satisfy.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PlacementRules {
    /// Round trip and service time must be within this, milliseconds.
    pub latency_ms: f64,
    /// Capacity is at least this many times the peak load while all regions serve, 1 to 10.
    pub headroom: f64,
    /// How many regions may fail while the others serve the whole peak load within the latency
    /// bound: 0 or 1.
    pub survive: u8,
    /// Time until a lost spot node is replaced, minutes, at most 60.
    pub spot_replacement_minutes: f64,
    /// Whether to compute a placement in whole nodes too.
    pub whole_nodes: bool,
}

impl Default for PlacementRules {
    fn default() -> Self {
        Self {
            latency_ms: 150.0,
            headroom: 1.1,
            survive: 1,
            spot_replacement_minutes: 10.0,
            whole_nodes: true,
        }
    }
}

impl PlacementInput {
    /// Checks every number and name; the one currency.
    pub(super) fn check(&self) -> Result<Currency, PlacementError> {
        let counts = [
            ("regions", self.regions.len(), REGIONS_MAX),
            ("models", self.models.len(), MODELS_MAX),
            ("round_trips_ms", self.round_trips_ms.len(), ORIGINS_MAX),
        ];

        for (what, count, most) in counts {
            if count > most {
                return invalid(
                    what,
                    format!("{count} entries; at most {most} are supported"),
                );
            }
        }

        if self.regions.is_empty() {
            return invalid(
                "regions",
                "none given; name at least one region with its prices".to_owned(),
            );
        }

        unique("regions", self.regions.iter().map(|region| &region.name))?;
        unique("models", self.models.iter().map(|model| &model.name))?;

        let origins: BTreeSet<&String> = self
            .models
            .iter()
            .flat_map(|model| model.demand.keys())
            .collect();

        if origins.len() > ORIGINS_MAX {
            return invalid(
                "models",
                format!(
                    "{} origins; at most {ORIGINS_MAX} are supported",
                    origins.len()
                ),
            );
        }

        self.rules.check()?;
        self.models.iter().try_for_each(ModelDemand::check)?;
        for (origin, trips) in &self.round_trips_ms {
            for (region, trip_ms) in trips {
                number(
                    &format!("round_trips_ms.{origin}.{region}"),
                    *trip_ms,
                    0.0,
                    NUMBER_MAX,
                )?;
            }
        }

        for region in &self.regions {
            if let Some(spot) = &region.spot {
                number(
                    &format!("regions.{}.spot.loss_per_hour", region.name),
                    spot.loss_per_hour,
                    0.0,
                    1.0,
                )?;
            }
        }

        self.check_prices()
    }

    /// All prices are positive or zero, and of one currency.
    fn check_prices(&self) -> Result<Currency, PlacementError> {
        let first = &self.regions[0];
        let currency = first.on_demand.price.currency;
        let check = |what: String, price: Money| {
            if price.currency != currency {
                let is = price.currency;
                let was = currency;
                let why = format!(
                    "the price is in {is}, that of region {} in {was}; convert all prices to one",
                    first.name
                );

                return invalid(&what, why);
            }

            if price.amount < Amount::ZERO || price.amount.to_f64() > 1e9 {
                return invalid(
                    &what,
                    format!("a price of {price}; expected 0 to 1,000,000,000"),
                );
            }

            Ok(())
        };

        for region in &self.regions {
            let name = &region.name;
            check(
                format!("regions.{name}.on_demand.price"),
                region.on_demand.price,
            )?;

            region
                .spot
                .iter()
                .try_for_each(|spot| check(format!("regions.{name}.spot.price"), spot.price))?;

            let mut committed = region.committed.iter();
            committed.try_for_each(|offer| {
                check(format!("regions.{name}.committed.price"), offer.price)
            })?;

            let mut fixed = region.fixed_per_hour.iter();
            fixed.try_for_each(|price| check(format!("regions.{name}.fixed_per_hour"), *price))?;
        }

        for (region, prices) in &self.egress_per_gb {
            for (origin, price) in prices {
                check(format!("egress_per_gb.{region}.{origin}"), *price)?;
            }
        }

        Ok(currency)
    }
}

impl PlacementRules {
    fn check(&self) -> Result<(), PlacementError> {
        number("rules.latency_ms", self.latency_ms, 0.0, NUMBER_MAX)?;
        number("rules.headroom", self.headroom, 1.0, 10.0)?;
        number("rules.survive", f64::from(self.survive), 0.0, 1.0)?;
        number(
            "rules.spot_replacement_minutes",
            self.spot_replacement_minutes,
            0.0,
            60.0,
        )
    }
}

impl ModelDemand {
    fn check(&self) -> Result<(), PlacementError> {
        let name = &self.name;
        number(
            &format!("models.{name}.node_seconds_per_request"),
            self.node_seconds_per_request,
            0.0,
            1e6,
        )?;

        number(
            &format!("models.{name}.service_ms"),
            self.service_ms,
            0.0,
            NUMBER_MAX,
        )?;

        number(
            &format!("models.{name}.bytes_per_answer"),
            self.bytes_per_answer,
            0.0,
            NUMBER_MAX,
        )?;

        number(
            &format!("models.{name}.memory_share"),
            self.memory_share,
            0.0,
            1.0,
        )?;

        number(
            &format!("models.{name}.spot_share_max"),
            self.spot_share_max,
            0.0,
            1.0,
        )?;

        for (origin, demand) in &self.demand {
            number(
                &format!("models.{name}.demand.{origin}.peak_rps"),
                demand.peak_rps,
                0.0,
                1e9,
            )?;

            number(
                &format!("models.{name}.demand.{origin}.mean_rps"),
                demand.mean_rps,
                0.0,
                demand.peak_rps,
            )?;
        }

        Ok(())
    }
}

fn number(what: &str, value: f64, least: f64, most: f64) -> Result<(), PlacementError> {
    if value >= least && value <= most {
        return Ok(());
    }
    invalid(
        what,
        format!("{value} is out of range; expected {least} to {most}"),
    )
}

fn unique<T: Ord + fmt::Display>(
    field: &str,
    names: impl Iterator<Item = T>,
) -> Result<(), PlacementError> {
    let mut seen = BTreeSet::new();
    for name in names {
        let field = format!("{field}.{name}");
        if !seen.insert(name) {
            return invalid(&field, "given twice; keep one entry".to_owned());
        }
    }

    Ok(())
}

fn invalid<T>(what: &str, why: String) -> Result<T, PlacementError> {
    Err(PlacementError::Invalid {
        what: what.to_owned(),
        why,
    })
}
