//! Answers that are not reports, as JSON.

use super::{documents::GroupForecast, verifications::Verified};
use crate::cost::budgets::BudgetProgress;
use regionmesh_cost::{
    Amount, Anomaly, BudgetScope, Crossing, Currency, EgressLine, Group, LiveRegion, Metric, Price,
    Recommendations, Reconciliation, SourceState, Totals,
};
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeMap;

/// What bytes cost that left a region.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct CostEgress {
    /// The first day, UTC.
    pub(super) start: String,
    /// The last day, included.
    pub(super) end: String,
    /// Sorted by sender, receiver and cause.
    pub(super) lines: Vec<EgressLine>,
    /// The sum of the lines, by currency.
    pub(super) totals: Totals,
    /// Prices that are missing.
    pub(super) missing: Vec<String>,
}

/// The forecast cost of each group.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct CostForecast {
    /// What the groups are kept apart by.
    pub(super) by: Vec<Group>,
    /// Each group.
    pub(super) forecasts: Vec<GroupForecast>,
    /// What to know before relying on the amounts.
    pub(super) warnings: Vec<String>,
}

/// Unusual spending.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct CostAnomalies {
    /// Open ones first, then those that ended.
    pub(super) anomalies: Vec<Anomaly>,
}

/// The use of the budgets.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct CostBudgets {
    /// In the order of the configuration.
    pub(super) budgets: Vec<CostBudget>,
}

/// A budget, and how much of it is used.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct CostBudget {
    name: String,
    /// `mesh`, `region NAME`, `model NAME` or `tag KEY=VALUE`.
    scope: String,
    /// Which cost.
    metric: Metric,
    /// What may be spent in a period.
    amount: Amount,
    currency: Currency,
    /// The first day of the period, UTC.
    start: String,
    /// The last day of the period, included.
    end: String,
    /// Spent so far.
    spent: Amount,
    /// The same as a part of the amount.
    ratio: f64,
    /// Forecast for the end of the period; null if there is no forecast yet.
    forecast: Option<Amount>,
    /// The same as a part of the amount.
    forecast_ratio: Option<f64>,
    /// Thresholds that are reached.
    crossed: Vec<Crossing>,
    /// What the amounts leave out; null if nothing.
    problem: Option<String>,
}

impl From<&BudgetProgress> for CostBudget {
    fn from(progress: &BudgetProgress) -> Self {
        let BudgetProgress {
            budget,
            window,
            state,
        } = progress;
        let scope = match &budget.scope {
            BudgetScope::Mesh => "mesh".to_owned(),
            BudgetScope::Region(name) => format!("region {name}"),
            BudgetScope::Model(name) => format!("model {name}"),
            BudgetScope::Tag { key, value } => format!("tag {key}={value}"),
        };

        Self {
            name: budget.name.clone(),
            scope,
            metric: budget.metric,
            amount: budget.amount.amount,
            currency: budget.amount.currency,
            start: window.first.to_string(),
            end: window.last.to_string(),
            spent: state.spent,
            ratio: state.ratio,
            forecast: state.forecast,
            forecast_ratio: state.forecast_ratio,
            crossed: state.crossed.clone(),
            problem: state.problem.as_ref().map(ToString::to_string),
        }
    }
}

/// Where cost comes from: bills, and the live cost of what runs.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct CostSources {
    /// The state of the bills, by source.
    pub(super) sources: BTreeMap<String, SourceState>,
    /// The live cost of each region.
    pub(super) live: Vec<LiveCost>,
    /// Live against billed cost, over the days that both cover.
    pub(super) reconciliation: Vec<Reconciliation>,
}

/// The live cost of a region; amounts by currency.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct LiveCost {
    region: String,
    /// Time since the last observation, milliseconds.
    age_ms: u64,
    /// What its capacity costs per hour.
    hourly: Totals,
    /// Since midnight UTC.
    today: Totals,
    /// Since the first of the month.
    month: Totals,
    /// The part of the month's cost that is egress.
    month_egress: Totals,
    /// The part of this month's capacity that was idle; null if it is unknown.
    idle_ratio: Option<f64>,
    /// Time of this month without observations, milliseconds.
    unknown_ms: u64,
    /// This month, by model.
    models: BTreeMap<String, LiveModelCost>,
    /// Prices that are missing.
    missing: Vec<String>,
}

/// The live cost of a model in a region, this month.
#[derive(Debug, Serialize, JsonSchema)]
struct LiveModelCost {
    /// Requests answered.
    requests: u64,
    /// Busy time, milliseconds.
    busy_ms: u64,
    cost: Totals,
    /// Cost per 1,000 requests.
    per_1000: Totals,
}

impl From<&LiveRegion> for LiveCost {
    fn from(region: &LiveRegion) -> Self {
        let month = &region.month;
        let models = month.models.iter().map(|(name, live)| {
            let model = LiveModelCost {
                requests: live.requests,
                busy_ms: live.busy_ms,
                cost: live.cost.clone(),
                per_1000: live.per_thousand(),
            };
            (name.clone(), model)
        });

        Self {
            region: region.region.clone(),
            age_ms: region.age_ms,
            hourly: region.hourly.clone(),
            today: region.today.total.clone(),
            month: month.total.clone(),
            month_egress: month.egress.clone(),
            idle_ratio: month.idle_ratio(),
            unknown_ms: month.unknown_ms,
            models: models.collect(),
            missing: region.missing.iter().map(ToString::to_string).collect(),
        }
    }
}

/// The prices of a day.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct CostPrices {
    /// The day, UTC.
    pub(super) day: String,
    /// Imported prices before built-in ones.
    pub(super) prices: Vec<CostPrice>,
}

/// A price.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct CostPrice {
    /// What is priced.
    item: String,
    /// The price of the first unit of a month.
    amount: Amount,
    currency: Currency,
    /// What is paid per unit.
    unit: String,
    /// The first day on which it is valid, UTC.
    valid_from: String,
    /// Where it comes from.
    source: String,
}

impl From<&Price> for CostPrice {
    fn from(price: &Price) -> Self {
        let first = price.first();
        Self {
            item: price.item.to_string(),
            amount: first.amount,
            currency: first.currency,
            unit: price.unit.to_string(),
            valid_from: price.valid_from.to_string(),
            source: price.source.clone(),
        }
    }
}

/// Recommendations, and the outcome of earlier ones.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct CostRecommendations {
    #[serde(flatten)]
    pub(super) found: Recommendations,
    /// Earlier recommendations that the bill can confirm or refute by now.
    pub(super) verifications: Vec<Verified>,
}
