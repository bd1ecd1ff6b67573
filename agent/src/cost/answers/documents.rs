//! Answers that are not reports, as tables.

mod anomalies;
mod budgets;
mod cells;
mod forecasts;
mod live;
mod prices;
mod recommendations;

pub(super) use anomalies::anomalies;
pub(super) use budgets::budgets;
pub(super) use forecasts::{GroupForecast, forecasts};
pub(super) use live::sources;
pub(super) use prices::{egress, prices};
pub(super) use recommendations::recommendations;
