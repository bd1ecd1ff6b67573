//! What recommendations are made from, beyond the placement's input.

use super::{
    input::PlacementInput,
    outcome::{Flow, NodeCounts, PlacementError},
};
use crate::money::Amount;
use regionmesh_protocol::{
    identity::RegionName,
    models::manifest::{ModelName, VersionName},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use strum::{Display, IntoStaticStr};
use time::{Date, OffsetDateTime};

/// The baseline of a saving.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
#[derive(Display, IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum BaselineName {
    /// What runs now.
    #[default]
    Current,
    /// The cheapest single region, on demand, sized for the peak.
    Peak,
    /// The same, its nodes following the load.
    Autoscaled,
    /// The two cheapest regions, on demand, each sized for the peak of all.
    Standby,
}

impl BaselineName {
    pub const ALL: [Self; 4] = [Self::Current, Self::Peak, Self::Autoscaled, Self::Standby];

    /// As it is written: `current`.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// How busy a region's nodes were, as shares of its nodes, 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Utilisation {
    /// At the lowest: what commitments may be made for.
    pub base: f64,
    /// On average.
    pub mean: f64,
    /// At the peak.
    pub peak: f64,
}

/// A version that no requests came for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdleModel {
    pub model: ModelName,
    pub version: VersionName,
    /// For how long, days.
    pub days_without_requests: u32,
}

/// A region's copy of a version, and what is paid for it in a month.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ModelCopy {
    pub model: ModelName,
    pub version: VersionName,
    pub region: RegionName,
    /// For storage.
    pub storage: Amount,
    /// For bringing it there.
    pub replication: Amount,
}

/// How a version may come to a region for less.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "change")]
pub enum ReplicationChange {
    /// From another region than now.
    Relay {
        /// The region to copy from.
        via: RegionName,
        /// What bringing it there would cost in a month.
        replication: Amount,
    },
    /// The region doesn't need the model.
    Unneeded,
}

/// A copy that costs more than it must.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicationFinding {
    pub model: ModelName,
    pub version: VersionName,
    pub region: RegionName,
    /// What to do.
    pub change: ReplicationChange,
}

/// What runs, how busy it is, and what was found.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct CurrentState {
    /// Nodes by region; a region that is missing has none. Committed nodes are all those paid for:
    /// they count instead of `paid_nodes` of the placement's input.
    pub nodes: BTreeMap<RegionName, NodeCounts>,
    /// Who answers whom, as measured. What is missing is taken to go to the nearest region with
    /// nodes.
    #[serde(default)]
    pub flows: Vec<Flow>,
    /// How busy nodes were in the window of the evidence, by region. The mesh's sum counts; without
    /// any nothing is committed to or autoscaled.
    #[serde(default)]
    pub utilisation: BTreeMap<RegionName, Utilisation>,
    /// Regions that are autoscaled already; `nodes` has their mean.
    #[serde(default)]
    pub autoscaled: BTreeSet<RegionName>,
    /// Normal weights, basis points, by region.
    #[serde(default)]
    pub weights_bp: BTreeMap<RegionName, u16>,
    /// All copies that are paid for.
    #[serde(default)]
    pub copies: Vec<ModelCopy>,
    /// Versions without requests.
    #[serde(default)]
    pub idle: Vec<IdleModel>,
    /// Copies that cost more than they must.
    #[serde(default)]
    pub replication: Vec<ReplicationFinding>,
}

/// What recommendations are made from.
#[derive(Debug, Clone, PartialEq)]
pub struct RecommendInput {
    /// Regions, models, prices and limits.
    pub placement: PlacementInput,
    /// What runs.
    pub state: CurrentState,
    /// The baseline of all savings.
    pub baseline: BaselineName,
    /// The environment of `scripts/deploy.sh`, for commands: a name of letters, digits and dashes.
    pub environment: String,
    /// Days of the bill and the counters that were looked at.
    pub window_days: u32,
    /// Rows of the bill, or samples of the counters.
    pub rows: u64,
    /// The day of the prices.
    pub price_date: Date,
    /// When the recommendations are made.
    pub generated_at: OffsetDateTime,
}

/// Why there are no recommendations.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RecommendError {
    /// The placement's input can't be right, or the solver failed.
    #[error(transparent)]
    Placement(#[from] PlacementError),
    /// The state can't be right.
    #[error("{what}: {why}")]
    Invalid { what: String, why: String },
}

impl RecommendInput {
    pub(super) fn check(&self) -> Result<(), RecommendError> {
        self.check_nodes()?;
        if let Some(flow) = self
            .state
            .flows
            .iter()
            .find(|flow| !(0.0..=1.0).contains(&flow.share))
        {
            let what = format!("flows.{}.{}.{}", flow.model, flow.origin, flow.region);
            return invalid(what, "the share is out of range; expected 0 to 1");
        }

        for (region, busy) in &self.state.utilisation {
            if !(0.0 <= busy.base
                && busy.base <= busy.mean
                && busy.mean <= busy.peak
                && busy.peak <= 1.0)
            {
                return invalid(
                    format!("utilisation.{region}"),
                    "expected 0 <= base <= mean <= peak <= 1",
                );
            }
        }

        for finding in &self.state.replication {
            let is_negative = match &finding.change {
                ReplicationChange::Relay { replication, .. } => *replication < Amount::ZERO,
                ReplicationChange::Unneeded => false,
            };

            if is_negative {
                let what = format!(
                    "replication.{}.{}.{}",
                    finding.model, finding.version, finding.region
                );
                return invalid(what, "a cost below zero; leave credits out");
            }
        }

        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        if self.environment.is_empty() || !self.environment.bytes().all(is_name) {
            return invalid(
                "environment".to_owned(),
                "expected letters, digits and dashes",
            );
        }

        Ok(())
    }

    fn check_nodes(&self) -> Result<(), RecommendError> {
        let known = |region: &RegionName| {
            self.placement
                .regions
                .iter()
                .find(|offer| offer.name == *region)
        };

        for (region, nodes) in &self.state.nodes {
            let Some(offer) = known(region) else {
                return invalid(
                    format!("nodes.{region}"),
                    "the placement's input has no such region; add its prices",
                );
            };

            if nodes.spot > 0 && offer.spot.is_none() {
                return invalid(
                    format!("nodes.{region}.spot"),
                    "spot nodes run there; add the region's spot price",
                );
            }

            if nodes.committed > 0 && offer.committed.is_none() {
                let why = "committed nodes run there; add the region's price of commitments";
                return invalid(format!("nodes.{region}.committed"), why);
            }
        }

        Ok(())
    }
}

fn invalid<T>(what: String, why: &str) -> Result<T, RecommendError> {
    Err(RecommendError::Invalid {
        what,
        why: why.to_owned(),
    })
}
