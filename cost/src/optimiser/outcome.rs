//! Placements, and the reasons why there is none.

use crate::money::{Amount, Currency};
use regionmesh_protocol::{identity::RegionName, models::manifest::ModelName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt};

/// Nodes of a region, fractions allowed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Nodes {
    /// At the usual price.
    pub on_demand: f64,
    /// Capacity that the cloud may reclaim.
    pub spot: f64,
    /// Committed to, those already paid for included. None of them count in a region that is not
    /// used.
    pub committed: f64,
}

impl Nodes {
    pub fn total(self) -> f64 {
        self.on_demand + self.spot + self.committed
    }
}

/// Whole nodes of a region.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NodeCounts {
    /// At the usual price.
    pub on_demand: u32,
    /// Capacity that the cloud may reclaim.
    pub spot: u32,
    /// Committed to.
    pub committed: u32,
}

impl NodeCounts {
    pub fn total(self) -> u32 {
        self.on_demand
            .saturating_add(self.spot)
            .saturating_add(self.committed)
    }
}

/// The share of an origin's requests for a model that a region answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Flow {
    pub model: ModelName,
    /// The origin of the requests.
    pub origin: String,
    /// The answering region.
    pub region: RegionName,
    /// Above 0, at most 1; the shares of a model and origin sum to 1.
    pub share: f64,
}

/// Cost of a month of 730 hours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MonthlyCost {
    /// Nodes, with all commitments that are paid for, used or not.
    pub compute: Amount,
    /// Fixed cost of used regions.
    pub fixed: Amount,
    /// Answers to other places.
    pub egress: Amount,
}

impl MonthlyCost {
    /// All of it.
    pub fn total(self) -> Amount {
        self.compute + self.fixed + self.egress
    }
}

/// A limit without which the placement would be cheaper.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "limit")]
pub enum Binding {
    /// All on-demand nodes of the region are used.
    OnDemandQuota { region: RegionName },
    /// All spot nodes of the region are used.
    SpotQuota { region: RegionName },
    /// All commitments that may be made are made.
    CommitmentLimit { region: RegionName },
    /// No more of the region's capacity may be spot.
    SpotShare { region: RegionName },
    /// Models fill the region's memory.
    Memory { region: RegionName },
    /// Capacity that is there for the loss of a region.
    RegionLoss {
        /// The region that may be lost.
        lost: RegionName,
        /// The regions that must be able to take over together.
        remaining: Vec<RegionName>,
    },
    /// Capacity that is there for the loss of a region's spot nodes.
    SpotLoss {
        /// The region whose spot nodes may be lost.
        region: RegionName,
        /// The regions that must be able to take over together.
        remaining: Vec<RegionName>,
    },
    /// A cheaper region is too far away.
    Latency {
        model: ModelName,
        /// The origin of the requests.
        origin: String,
        /// The region that would be cheaper.
        region: RegionName,
    },
}

/// Nodes, traffic and cost of a mesh.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Placement {
    pub currency: Currency,
    pub nodes: BTreeMap<RegionName, Nodes>,
    /// Traffic by model, origin and region.
    pub flows: Vec<Flow>,
    pub monthly: MonthlyCost,
    /// The placement in whole nodes, if requested and possible.
    pub whole: Option<WholePlacement>,
    /// The limits that bind, in order.
    pub binding: Vec<Binding>,
    /// Assumptions made for missing inputs, in words.
    pub assumptions: Vec<String>,
}

/// A placement in whole nodes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WholePlacement {
    pub nodes: BTreeMap<RegionName, NodeCounts>,
    /// Traffic by model, origin and region.
    pub flows: Vec<Flow>,
    /// Cost; compute and fixed cost are exact.
    pub monthly: MonthlyCost,
}

/// A loss that a placement survives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Loss {
    Region {
        region: RegionName,
    },
    /// All spot nodes of a region.
    Spot {
        region: RegionName,
    },
}

/// A reason why demand can't be placed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "reason")]
pub enum Infeasibility {
    /// No region is near enough.
    NoRegion {
        model: ModelName,
        /// The origin of the requests.
        origin: String,
        /// The region that comes nearest to the bound, with round trip and service time in
        /// milliseconds; `None` if no round trip is known.
        nearest: Option<(RegionName, f64)>,
        /// The bound, milliseconds.
        latency_ms: f64,
    },
    /// One region is near enough, and it may be lost.
    OnlyRegion {
        model: ModelName,
        /// The origin of the requests.
        origin: String,
        region: RegionName,
        /// The bound, milliseconds.
        latency_ms: f64,
    },
    /// Too few nodes are available.
    Capacity {
        /// The loss in this case.
        lost: Option<Loss>,
        /// The regions that the demand can go to.
        regions: Vec<RegionName>,
        /// Nodes that the demand needs there.
        needed: f64,
        /// Nodes available there.
        available: f64,
    },
    /// The limits can't all be met together.
    Together,
}

impl fmt::Display for Infeasibility {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRegion {
                model,
                origin,
                nearest: Some((region, took_ms)),
                latency_ms,
            } => write!(
                f,
                "model {model} from {origin}: no region answers within {latency_ms:.0} ms; the \
                 nearest, {region}, takes \
                 {took_ms:.0} ms"
            ),
            Self::NoRegion {
                model,
                origin,
                nearest: None,
                ..
            } => {
                write!(
                    f,
                    "model {model} from {origin}: no round trip to any region has been \
                    measured"
                )
            }
            Self::OnlyRegion {
                model,
                origin,
                region,
                latency_ms,
            } => write!(
                f,
                "model {model} from {origin}: only {region} answers within {latency_ms:.0} ms, so \
                    its loss can't be survived"
            ),
            Self::Capacity {
                lost,
                regions,
                needed,
                available,
            } => {
                let names: Vec<&str> = regions.iter().map(RegionName::as_str).collect();
                let names = if names.is_empty() {
                    "no region".to_owned()
                } else {
                    names.join(", ")
                };

                write!(
                    f,
                    "capacity is short: {names} can have {available:.2} nodes, and {needed:.2} are \
                        needed there"
                )?;

                match lost {
                    None => Ok(()),
                    Some(Loss::Region { region }) => write!(f, " when {region} is lost"),
                    Some(Loss::Spot { region }) => write!(
                        f,
                        " when the spot nodes of {region} are \
                        lost"
                    ),
                }
            }
            Self::Together => f.write_str(
                "spot shares, memory and quotas can't all be met; raise a quota or lower \
                    headroom or spot shares",
            ),
        }
    }
}

/// Why there is no placement.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PlacementError {
    /// The input can't be right.
    #[error("{what}: {why}")]
    Invalid { what: String, why: String },
    /// The limits can't be kept; at least one reason.
    #[error("no placement meets the limits: \
        {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Infeasible(Vec<Infeasibility>),
    /// The solver gave up on the numbers.
    #[error(
        "the linear program could not be solved: {0}; check for numbers that are many orders of \
            magnitude apart"
    )]
    Solver(String),
}
