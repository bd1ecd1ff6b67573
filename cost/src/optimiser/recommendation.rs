//! The schema of `recommendations.json`.

use super::{
    outcome::NodeCounts,
    state::{BaselineName, ModelCopy},
};
use crate::{
    date::iso_date,
    money::{Amount, Currency},
};
use regionmesh_protocol::{
    identity::RegionName,
    models::manifest::{ModelName, VersionName},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use strum::{Display, IntoStaticStr};
use time::Date;

/// What kind of change is recommended.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
#[derive(Display, IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum RecommendationKind {
    /// Buy capacity in another way: spot or commitments.
    Purchase,
    /// Serve demand in a cheaper region.
    Region,
    /// Move traffic between regions that serve.
    Shift,
    /// Run fewer nodes, or let them follow the load.
    Scale,
    /// Replicate models to regions for less, or not at all.
    Replication,
    /// Delete unused models.
    Idle,
}

impl RecommendationKind {
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// The baseline of a saving.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Baseline {
    pub name: BaselineName,
    /// What it costs in a month.
    pub monthly_cost: Amount,
}

/// A saving per month.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Saving {
    /// At today's prices and load.
    pub expected: Amount,
    /// With adverse prices and load.
    pub low: Amount,
    /// With favourable prices and load.
    pub high: Amount,
}

/// Nodes of a region before and after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NodeChange {
    pub region: RegionName,
    pub from: NodeCounts,
    pub to: NodeCounts,
}

/// The weight that a region should have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WeightChange {
    pub region: RegionName,
    /// Now, basis points; null if it is not known.
    pub from_bp: Option<u16>,
    /// Then, basis points.
    pub to_bp: u16,
}

/// The proposed change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "change")]
pub enum Proposal {
    /// Nodes and weights of regions.
    Fleet {
        /// Regions whose nodes change.
        nodes: Vec<NodeChange>,
        /// Regions whose weights change.
        weights: Vec<WeightChange>,
    },
    /// Let on-demand nodes follow the load.
    Autoscale {
        /// Regions, with the fewest nodes that are then on demand (`to`) and the most (`from`).
        nodes: Vec<NodeChange>,
    },
    /// Delete copies of a version.
    Delete {
        /// The copies that are deleted.
        copies: Vec<ModelCopy>,
    },
    /// Copy a version from another region.
    Relay {
        model: ModelName,
        version: VersionName,
        region: RegionName,
        via: RegionName,
    },
}

impl Proposal {
    /// The regions whose bill shows the change; empty: all.
    pub fn regions(&self) -> BTreeSet<&RegionName> {
        match self {
            Self::Fleet { nodes, .. } | Self::Autoscale { nodes } => {
                nodes.iter().map(|change| &change.region).collect()
            }
            Self::Delete { copies } => copies.iter().map(|copy| &copy.region).collect(),
            Self::Relay { .. } => BTreeSet::new(),
        }
    }
}

/// The severity of a risk.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum RiskLevel {
    /// No effect on users.
    Low,
    /// Users are affected if something else fails too, or money is committed.
    Medium,
    /// Users may be affected.
    High,
}

/// The risk of a recommendation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Risk {
    pub level: RiskLevel,
    pub why: String,
}

/// The evidence for a recommendation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Evidence {
    /// Days that were looked at.
    pub window_days: u32,
    /// Rows of the bill, or samples of the counters.
    pub rows: u64,
    /// The day of the prices.
    #[schemars(with = "String")]
    #[serde(with = "iso_date")]
    pub price_date: Date,
}

/// One change that saves money.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Recommendation {
    /// Stable for the same change in the same regions.
    pub id: String,
    pub kind: RecommendationKind,
    /// One line; each percentage names its baseline.
    pub title: String,
    /// The baseline of the saving.
    pub baseline: Baseline,
    pub proposal: Proposal,
    /// Monthly saving once all earlier recommendations are applied.
    pub saving: Saving,
    pub evidence: Evidence,
    /// The limits that it keeps.
    pub constraints: Vec<String>,
    pub risk: Risk,
    /// How to roll back.
    pub reversibility: String,
    /// The command that applies it; lines that begin with `#` say what to edit before.
    pub command: String,
    /// The bill shows the result from this day on.
    #[schemars(with = "String")]
    #[serde(with = "iso_date")]
    pub verify_after: Date,
}

/// The proposal compared with a baseline, for serving only: without storage and replication of
/// models.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Comparison {
    /// The baseline and its cost.
    pub baseline: Baseline,
    /// What serving costs in a month with all recommendations applied.
    pub proposal_cost: Amount,
    /// The difference; negative where the proposal is dearer.
    pub saving: Amount,
    /// In words: `12.3 % less than standby (1000.00 USD a month)`.
    pub text: String,
}

/// All recommendations, in the order in which they are to be applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Recommendations {
    /// Creation time, RFC 3339.
    pub generated_at: String,
    /// The baseline of all savings.
    pub baseline: Baseline,
    pub currency: Currency,
    /// The sum of all savings.
    pub total_saving: Saving,
    /// What the baseline costs once all are applied: its cost less the sum.
    pub proposal_cost: Amount,
    pub recommendations: Vec<Recommendation>,
    /// The proposal compared with every baseline.
    pub comparisons: Vec<Comparison>,
    /// Broken limits and assumptions.
    pub notes: Vec<String>,
}
