//! The cheapest placement of models over regions and pricing classes.

mod cover;
mod input;
mod linear;
mod outcome;
mod placement;
mod prepared;
mod whole;

pub use input::{
    CommittedOffer, MODELS_MAX, ModelDemand, NodeOffer, ORIGINS_MAX, OriginDemand, PlacementInput, PlacementRules,
    REGIONS_MAX, RegionOffer, SpotOffer,
};
pub use outcome::{Binding, Flow, Infeasibility, Loss, MonthlyCost, NodeCounts, Nodes, Placement, PlacementError, WholePlacement};
pub use placement::placement;

/// Hours of a month, as the clouds' price lists count them.
pub const HOURS_PER_MONTH: u32 = 730;

#[cfg(test)]
mod fixtures;
