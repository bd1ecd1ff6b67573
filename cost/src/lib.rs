//! What the platform spends: billing rows (FOCUS) become day cells, cells become reports, forecasts, anomalies, budgets and
//! recommendations. No IO, clock or randomness: readers, days and times are arguments.

mod anomaly;
mod cells;
mod money;

pub use anomaly::{
    Anomaly, AnomalyKind, BilledSeries, BilledSettings, Contributor, Detector, DetectorError, LiveAnomalies,
    LiveChange, Plane, Reading, Scope, StreamKind, billed_anomalies, billed_series,
};
pub use cells::{
    CellKey, Cells, CellsBuilder, CellsError, ChargeKind, Dimension, Metric, Period, PeriodError, PricingClass, Sums,
    day_number, day_of,
};
pub use money::{Amount, AmountError, Currency, CurrencyError, Money, ONE, SCALE, Totals};
