//! What the platform spends: billing rows (FOCUS) become day cells, cells become reports, forecasts, anomalies, budgets and
//! recommendations. No IO, clock or randomness: readers, days and times are arguments.

mod cells;
mod focus;
mod money;

pub use cells::{
    CellKey, Cells, CellsBuilder, CellsError, ChargeKind, Dimension, Metric, Period, PeriodError, PricingClass, Sums,
    day_number, day_of,
};
pub use focus::{
    BadReason, BadRow, ExportProblem, ExportSet, Exports, FileError, FileFormat, FileReport, Import, ImportOptions,
    ImportReport, ImportedPart, Importer, StoredFile, Warning, export_manifests, find_exports,
};
pub use money::{Amount, AmountError, Currency, CurrencyError, Money, ONE, SCALE, Totals};
