//! What the platform spends: billing rows (FOCUS) become day cells, cells become reports, forecasts, anomalies, budgets and
//! recommendations. No IO, clock or randomness: readers, days and times are arguments.

mod cells;
mod egress;
mod live;
mod money;
mod optimiser;
mod prices;
mod regions;

pub use cells::{
    CellKey, Cells, CellsBuilder, CellsError, ChargeKind, Dimension, Metric, Period, PeriodError, PricingClass, Sums,
    day_number, day_of,
};
pub use egress::{
    Cause, CauseError, EgressLine, EgressReport, EgressUsage, FanOut, FanOutLimits, Hop, ReplicationSource,
    egress_report, fan_out, order_sources, price_per_gb,
};
pub use live::{
    Counters, DailyTotals, EgressCounter, HourlyRate, LiveMeter, LiveModel, LiveRegion, LiveStateError, LiveWindow,
    ModelCounters, NodeGroup, Pricing, Reconciliation, RegionCapacity, SourceCounters, StoredBytes, hourly_rate,
    reconcile,
};
pub use money::{Amount, AmountError, Currency, CurrencyError, Money, ONE, SCALE, Totals};
pub use optimiser::{
    Binding, CommittedOffer, Flow, HOURS_PER_MONTH, Infeasibility, Loss, MODELS_MAX, ModelDemand, MonthlyCost, NodeCounts, NodeOffer, Nodes,
    ORIGINS_MAX, OriginDemand, Placement, PlacementError, PlacementInput, PlacementRules, REGIONS_MAX, RegionOffer, SpotOffer,
    WholePlacement, placement,
};
pub use prices::{
    AppliedPrices, Destination, NoPrice, Price, PriceDefaults, PriceFile, PriceFileError, PriceItem, PriceTable,
    PriceTableError, Prices, RejectReason, RejectedPrice, Tier, Unit, read_prices,
};
pub use regions::{CloudRegion, CloudRegionError, MeshRegion, RegionMap, RegionProblem, cloud_of};
