//! What the platform spends: billing rows (FOCUS) become day cells, cells become reports, forecasts, anomalies, budgets and
//! recommendations. No IO, clock or randomness: readers, days and times are arguments.

mod cells;
mod money;
mod optimiser;
mod shift;

pub use cells::{
    CellKey, Cells, CellsBuilder, CellsError, ChargeKind, Dimension, Metric, Period, PeriodError, PricingClass, Sums,
    day_number, day_of,
};
pub use money::{Amount, AmountError, Currency, CurrencyError, Money, ONE, SCALE, Totals};
pub use optimiser::{
    Baseline, BaselineName, BillWindow, Binding, CommittedOffer, Comparison, CurrentState, Evidence, Flow,
    HOURS_PER_MONTH, IdleModel, Infeasibility, Loss, MODELS_MAX, ModelCopy, ModelDemand, MonthlyCost, NodeChange,
    NodeCounts, NodeOffer, Nodes, ORIGINS_MAX, OriginDemand, Placement, PlacementError, PlacementInput, PlacementRules,
    Proposal, REGIONS_MAX, RecommendError, RecommendInput, Recommendation, RecommendationKind, Recommendations,
    RegionOffer, ReplicationChange, ReplicationFinding, Risk, RiskLevel, Saving, SpotOffer, Utilisation, Verdict,
    Verification, WeightChange, WholePlacement, placement, recommend, verify,
};
pub use shift::{
    FACTOR_MAX_BP, FACTOR_MIN_BP, MOVED_MAX_BP, STEP_INTERVAL_MS, STEP_MAX_BP, ShiftInput, ShiftOutcome, ShiftRegion,
    next_factors, weighted_bp,
};
