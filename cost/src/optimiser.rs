//! The cheapest placement of models over regions and pricing classes, the recommendations that lead
//! there, and the check of a prediction against the bill.

mod baselines;
mod bill;
mod cover;
mod describe;
mod input;
mod ledger;
mod linear;
mod outcome;
mod placement;
mod prepared;
mod recommend;
mod recommendation;
mod stage;
mod state;
mod verify;
mod whole;

use crate::prices::HOURS_PER_MONTH;

pub use input::{
    CommittedOffer, MODELS_MAX, ModelDemand, NodeOffer, OriginDemand, PlacementInput,
    PlacementRules, REGIONS_MAX, RegionOffer, SpotOffer,
};
pub use outcome::{
    Binding, Flow, Infeasibility, Loss, MonthlyCost, NodeCounts, Nodes, Placement, PlacementError,
    WholePlacement,
};
pub use placement::placement;
pub use recommend::recommend;
pub use recommendation::{
    Baseline, Comparison, Evidence, NodeChange, Proposal, Recommendation, RecommendationKind,
    Recommendations, Risk, RiskLevel, Saving, WeightChange,
};
pub use state::{
    BaselineName, CurrentState, IdleModel, ModelCopy, RecommendError, RecommendInput,
    ReplicationChange, ReplicationFinding, Utilisation,
};
pub use verify::{BillWindow, Verdict, Verification, verify};

#[cfg(test)]
mod fixtures;
