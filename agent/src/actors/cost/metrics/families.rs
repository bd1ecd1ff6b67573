//! The metric families of money.

use prometheus::{
    GaugeVec, IntCounterVec, IntGauge, IntGaugeVec, Registry, register_gauge_vec_with_registry,
    register_int_counter_vec_with_registry, register_int_gauge_vec_with_registry,
    register_int_gauge_with_registry,
};

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
                "Live cost of a region per hour.",
                &["region", "currency"],
                registry,
            )?,
            today: register_gauge_vec_with_registry!(
                "regionmesh_cost_today",
                "Live cost of a region since midnight UTC.",
                &["region", "currency"],
                registry,
            )?,
            month: register_gauge_vec_with_registry!(
                "regionmesh_cost_month_to_date",
                "Cost of a region since the first of the month, by source: live, or billed (at \
                    the leader).",
                &["region", "currency", "source"],
                registry,
            )?,
            per_thousand: register_gauge_vec_with_registry!(
                "regionmesh_cost_per_1000_inferences",
                "Live cost of 1,000 inferences of a model this month.",
                &["region", "model", "currency"],
                registry,
            )?,
            idle: register_gauge_vec_with_registry!(
                "regionmesh_cost_idle_ratio",
                "Share of a region's inference slots that was idle this month.",
                &["region"],
                registry,
            )?,
            egress: register_gauge_vec_with_registry!(
                "regionmesh_cost_egress_today",
                "Cost of bytes sent out of a region since midnight UTC, by receiver (empty: \
                    users) and cause.",
                &["from", "to", "cause", "currency"],
                registry,
            )?,
            egress_bytes: register_int_counter_vec_with_registry!(
                "regionmesh_cost_egress_bytes_total",
                "Bytes that this agent sent out of its region, by receiver (empty: users), cause \
                    and model.",
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
                "Open anomalies, by plane: live, or billed (at the leader).",
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
                "Part of a budget that is spent (actual) or will be by the end of its period \
                    (forecast); at the leader.",
                &["budget", "kind"],
                registry,
            )?,
            data_age: register_gauge_vec_with_registry!(
                "regionmesh_cost_data_age_seconds",
                "Age of the newest complete day of a bill; not of bills that ended, without a \
                    new day for 45 days.",
                &["source"],
                registry,
            )?,
            reconciliation: register_gauge_vec_with_registry!(
                "regionmesh_cost_reconciliation_ratio",
                "Live cost by billed cost over the complete days that both know; 1 where they \
                    agree (at the leader).",
                &["region", "currency"],
                registry,
            )?,
            forecast: register_gauge_vec_with_registry!(
                "regionmesh_cost_forecast_month_end",
                "Total that the month is heading for, by quantile; region empty: the mesh (at \
                    the leader).",
                &["region", "currency", "quantile"],
                registry,
            )?,
            rows: register_int_counter_vec_with_registry!(
                "regionmesh_cost_rows_imported_total",
                "Rows of bills read by this agent, by outcome: imported, rounded (imported, with \
                    digits beyond the fifteenth), bad.",
                &["outcome"],
                registry,
            )?,
            imports: register_int_counter_vec_with_registry!(
                "regionmesh_cost_imports_total",
                "Imports of bills by this agent, by outcome: done, failed.",
                &["outcome"],
                registry,
            )?,
            polls: register_int_counter_vec_with_registry!(
                "regionmesh_cost_export_polls_total",
                "Reads of billing exports by this agent, by outcome: done, failed.",
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
