//! What the platform spends: billing rows (FOCUS) become day cells, cells become reports, forecasts, anomalies, budgets and
//! recommendations. No IO, clock or randomness: readers, days and times are arguments.

mod budget;
mod cells;
mod forecast;
mod money;

pub use budget::{
    Budget, BudgetAction, BudgetError, BudgetLedger, BudgetPeriod, BudgetProblem, BudgetScope, BudgetState,
    BudgetWindow, Crossing, CrossingKind, check_budgets, evaluate_budget,
};
pub use cells::{
    CellKey, Cells, CellsBuilder, CellsError, ChargeKind, Dimension, Metric, Period, PeriodError, PricingClass, Sums,
    day_number, day_of,
};
pub use forecast::{
    BAND_COVERAGE, DailyCosts, Estimate, Forecast, ForecastDay, ForecastError, HORIZON_DAYS_MAX, INCOMPLETE_DAYS,
    Method, MonthEnd, forecast, month_end,
};
pub use money::{Amount, AmountError, Currency, CurrencyError, Money, ONE, SCALE, Totals};
