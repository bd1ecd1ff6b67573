//! The metric families of money.

use prometheus::{
    GaugeVec, IntCounterVec, IntGauge, IntGaugeVec, register_gauge_vec_with_registry,
    register_int_counter_vec_with_registry, register_int_gauge_vec_with_registry,
    register_int_gauge_with_registry,
};
use regionmesh_runtime::metrics::Registry;

/// The live plane, as this agent counts it.
#[derive(Clone)]
pub(super) struct LiveFamilies {
    pub(super) hourly: GaugeVec,
    pub(super) today: GaugeVec,
    pub(super) month: GaugeVec,
    pub(super) per_thousand: GaugeVec,
    pub(super) idle: GaugeVec,
    pub(super) egress: GaugeVec,
    pub(super) egress_bytes: IntCounterVec,
    pub(super) missing: IntGauge,
    pub(super) anomalies: IntGaugeVec,
}

impl LiveFamilies {
    pub(super) fn new(registry: &Registry) -> prometheus::Result<Self> {
        Ok(Self {
            hourly: register_gauge_vec_with_registry!(
                "regionmesh_cost_hourly",
                "Live cost per hour.",
                &["region", "currency"],
                registry,
            )?,
            today: register_gauge_vec_with_registry!(
                "regionmesh_cost_today",
                "Live cost since midnight UTC.",
                &["region", "currency"],
                registry,
            )?,
            month: register_gauge_vec_with_registry!(
                "regionmesh_cost_month_to_date",
                "Cost of this month, by source: live, billed (leader only).",
                &["region", "currency", "source"],
                registry,
            )?,
            per_thousand: register_gauge_vec_with_registry!(
                "regionmesh_cost_per_1000_inferences",
                "Live cost of 1,000 inferences, this month.",
                &["region", "model", "currency"],
                registry,
            )?,
            idle: register_gauge_vec_with_registry!(
                "regionmesh_cost_idle_ratio",
                "Part of this month's inference slot time that was idle.",
                &["region"],
                registry,
            )?,
            egress: register_gauge_vec_with_registry!(
                "regionmesh_cost_egress_today",
                "Egress cost since midnight UTC, by receiver (empty: users) and cause: \
                    replication, answers.",
                &["from", "to", "cause", "currency"],
                registry,
            )?,
            egress_bytes: register_int_counter_vec_with_registry!(
                "regionmesh_cost_egress_bytes_total",
                "Bytes sent, by receiver (empty: users) and cause: replication, answers, home.",
                &["to", "cause", "model"],
                registry,
            )?,
            missing: register_int_gauge_with_registry!(
                "regionmesh_cost_prices_missing",
                "Resources in use without a price.",
                registry,
            )?,
            anomalies: register_int_gauge_vec_with_registry!(
                "regionmesh_cost_anomalies",
                "Open anomalies, by plane: live, billed (leader only).",
                &["plane"],
                registry,
            )?,
        })
    }
}

/// Bills: budgets, forecasts and imports.
#[derive(Clone)]
pub(super) struct BillFamilies {
    pub(super) budgets: GaugeVec,
    pub(super) data_age: GaugeVec,
    pub(super) reconciliation: GaugeVec,
    pub(super) forecast: GaugeVec,
    pub(super) rows: IntCounterVec,
    pub(super) imports: IntCounterVec,
    pub(super) polls: IntCounterVec,
}

impl BillFamilies {
    pub(super) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let families = Self {
            budgets: register_gauge_vec_with_registry!(
                "regionmesh_cost_budget_ratio",
                "Part of the budget used, by kind: actual, forecast. Leader only.",
                &["budget", "kind"],
                registry,
            )?,
            data_age: register_gauge_vec_with_registry!(
                "regionmesh_cost_data_age_seconds",
                "Age of the newest complete billed day; absent after 45 days.",
                &["source"],
                registry,
            )?,
            reconciliation: register_gauge_vec_with_registry!(
                "regionmesh_cost_reconciliation_ratio",
                "Live divided by billed cost, complete days. Leader only.",
                &["region", "currency"],
                registry,
            )?,
            forecast: register_gauge_vec_with_registry!(
                "regionmesh_cost_forecast_month_end",
                "Forecast of the month, by quantile; empty region: mesh. Leader only.",
                &["region", "currency", "quantile"],
                registry,
            )?,
            rows: register_int_counter_vec_with_registry!(
                "regionmesh_cost_rows_imported_total",
                "Bill rows, by outcome: imported, rounded, bad.",
                &["outcome"],
                registry,
            )?,
            imports: register_int_counter_vec_with_registry!(
                "regionmesh_cost_imports_total",
                "Bill imports, by outcome: done, failed.",
                &["outcome"],
                registry,
            )?,
            polls: register_int_counter_vec_with_registry!(
                "regionmesh_cost_export_polls_total",
                "Polls of cost.exports, by outcome: done, failed.",
                &["outcome"],
                registry,
            )?,
        };

        // From 0, so that an alert sees the first of each.
        for outcome in ["imported", "rounded", "bad"] {
            families.rows.with_label_values(&[outcome]);
        }
        for outcome in ["done", "failed"] {
            families.imports.with_label_values(&[outcome]);
            families.polls.with_label_values(&[outcome]);
        }

        Ok(families)
    }
}
