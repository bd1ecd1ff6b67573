//! Platform cost: billing rows (FOCUS) become day cells, and cells become reports, forecasts,
//! anomalies, budgets and recommendations. No I/O, clock or randomness: readers, days and times are
//! arguments.

/// Makes serde read and write a type as its text.
macro_rules! serde_as_text {
    ($type:ty) => {
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <String as serde::Deserialize>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

mod allocation;
mod anomaly;
mod budget;
mod cells;
mod date;
mod egress;
mod focus;
mod forecast;
mod ledger;
mod live;
mod money;
mod notices;
mod optimiser;
mod prices;
mod regions;
pub mod render;
mod report;
mod shift;
mod spending;

pub use allocation::{Allocation, Capacity, ModelCost, RegionCost, UsageDay, allocate};
pub use anomaly::{
    Anomaly, AnomalyKind, BilledSeries, BilledSettings, Contributor, Detector, DetectorError,
    LiveAnomalies, LiveChange, Plane, Reading, Scope, StreamKind, billed_anomalies, billed_series,
};
pub use budget::{
    Budget, BudgetAction, BudgetError, BudgetPeriod, BudgetProblem, BudgetScope, BudgetState,
    BudgetWindow, Crossing, CrossingKind, check_budgets, evaluate_budget,
};
pub use cells::{
    CellKey, Cells, CellsBuilder, CellsError, ChargeKind, Dimension, Metric, Period, PeriodError,
    PricingClass, Sums,
};
pub use date::{date_at, day_number, day_of, end_of_day_ms, iso_date, parse_date};
pub use egress::{
    Cause, CauseError, EgressLine, EgressReport, EgressUsage, FanOut, FanOutLimits, Hop,
    ReplicationSource, egress_report, fan_out, price_per_gb, source_tiers,
};
pub use focus::{
    BadReason, BadRow, ExportProblem, ExportSet, Exports, FileError, FileFormat, FileReport,
    Import, ImportOptions, ImportReport, ImportedPart, Importer, StoredFile,
    Warning as ImportWarning, export_manifests, find_exports, has_same_content,
};
pub use forecast::{
    DailyCosts, Estimate, Forecast, ForecastDay, ForecastError, INCOMPLETE_DAYS, Method, MonthEnd,
    forecast, month_end,
};
pub use ledger::{BillEnds, Ledger, PartError, SourceState, StoredPart};
pub use live::{
    Counters, DailyTotals, EgressCounter, HourlyRate, LiveMeter, LiveModel, LiveRegion,
    LiveStateError, LiveWindow, ModelCounters, NodeGroup, Pricing, Reconciliation, RegionCapacity,
    SourceCounters, StoredBytes, hourly_rate, reconcile,
};
pub use money::{Amount, AmountError, Currency, CurrencyError, Money, ONE, Totals};
pub use notices::{
    anomaly_notice, budget_notices, export_notice, is_budget_over, is_of_export, late_notices,
};
pub use optimiser::{
    Baseline, BaselineName, BillWindow, Binding, CommittedOffer, Comparison, CurrentState,
    Evidence, Flow, IdleModel, Infeasibility, Loss, MODELS_MAX, ModelCopy, ModelDemand,
    MonthlyCost, NodeChange, NodeCounts, NodeOffer, Nodes, OriginDemand, Placement, PlacementError,
    PlacementInput, PlacementRules, Proposal, REGIONS_MAX, RecommendError, RecommendInput,
    Recommendation, RecommendationKind, Recommendations, RegionOffer, ReplicationChange,
    ReplicationFinding, Risk, RiskLevel, Saving, SpotOffer, Utilisation, Verdict, Verification,
    WeightChange, WholePlacement, placement, recommend, verify,
};
pub use prices::{
    AppliedPrices, Destination, NoPrice, Price, PriceDefaults, PriceFile, PriceFileError,
    PriceItem, PriceTable, PriceTableError, Prices, RejectReason, RejectedPrice, Tier, Unit,
    read_prices,
};
pub use regions::{CloudRegion, CloudRegionError, MeshRegion, RegionMap, RegionProblem};
pub use report::{
    Change, Compared, Filter, Group, GroupError, Interval, Mover, PeriodToDate, Query, QueryError,
    RegionNames, Report, ReportRow, TrendPeriod, TrendPoint, TrendSeries, Trends, Warning,
    WarningKind, report, trends,
};
pub use shift::{ShiftInput, ShiftOutcome, ShiftRegion, next_factors};
pub use spending::{BilledDays, MeshNodes, Outlook, expected_rest, outlook};
