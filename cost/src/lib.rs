//! What the platform spends: billing rows (FOCUS) become day cells, cells become reports, forecasts, anomalies, budgets and
//! recommendations. No IO, clock or randomness: readers, days and times are arguments.

mod allocation;
mod cells;
mod ledger;
mod money;
pub mod render;
mod report;

pub use allocation::{Allocation, Capacity, ModelCost, RegionCost, UsageDay, allocate};
pub use cells::{
    CellKey, Cells, CellsBuilder, CellsError, ChargeKind, Dimension, Metric, Period, PeriodError, PricingClass, Sums,
    day_number, day_of,
};
pub use ledger::{LATE_DAYS, Ledger, PartError, SourceState, StoredPart};
pub use money::{Amount, AmountError, Currency, CurrencyError, Money, ONE, SCALE, Totals};
pub use report::{
    Change, Compared, Filter, Group, GroupError, Interval, MODEL_TAG, Mover, PeriodToDate, Query, QueryError,
    REPORT_DAYS_MAX, RegionNames, Report, ReportRow, TrendPeriod, TrendPoint, TrendSeries, Trends, Warning,
    WarningKind, report, trends,
};
