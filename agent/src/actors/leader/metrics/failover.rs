//! Metrics of plans, orders and this machine's clock.

use prometheus::{
    Gauge, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, register_gauge_with_registry,
    register_int_counter_vec_with_registry, register_int_counter_with_registry,
    register_int_gauge_vec_with_registry, register_int_gauge_with_registry,
};
use regionmesh_runtime::metrics::Registry;

/// Operators' orders.
#[derive(Debug, Clone)]
pub(crate) struct OrderMetrics {
    pub(crate) orders: IntCounterVec,
    pub(crate) overrides: IntGaugeVec,
    pub(crate) yielded: IntGauge,
}

impl OrderMetrics {
    pub(super) fn new(registry: &Registry) -> prometheus::Result<Self> {
        Ok(Self {
            orders: register_int_counter_vec_with_registry!(
                "regionmesh_failover_orders_total",
                "Orders handled as the leader, by outcome: committed, refused, unknown.",
                &["outcome"],
                registry,
            )?,
            overrides: register_int_gauge_vec_with_registry!(
                "regionmesh_plan_overrides",
                "Active orders, by kind: drain, hold, promote.",
                &["kind"],
                registry,
            )?,
            yielded: register_int_gauge_with_registry!(
                "regionmesh_plan_yielded_orders",
                "Orders suspended to keep users off failed regions.",
                registry,
            )?,
        })
    }
}

/// The last committed plan known.
#[derive(Debug, Clone)]
pub(crate) struct CommittedPlanMetrics {
    pub(crate) plan_seq: IntGauge,
    pub(crate) adopted: IntCounter,
    pub(crate) save_errors: IntCounter,
    pub(crate) taken_out: IntGauge,
    pub(crate) limited: IntGauge,
    pub(crate) unmoved_rps: IntGauge,
    pub(crate) all_failed: IntGauge,
}

impl CommittedPlanMetrics {
    pub(super) fn new(registry: &Registry) -> prometheus::Result<Self> {
        Ok(Self {
            plan_seq: register_int_gauge_with_registry!(
                "regionmesh_plan_seq",
                "Last committed plan known; equal on all agents.",
                registry,
            )?,
            adopted: register_int_counter_with_registry!(
                "regionmesh_plan_adopted_total",
                "Plans learned from other agents.",
                registry,
            )?,
            save_errors: register_int_counter_with_registry!(
                "regionmesh_plan_save_errors_total",
                "Plans not saved to data_dir.",
                registry,
            )?,
            taken_out: register_int_gauge_with_registry!(
                "regionmesh_plan_taken_out",
                "Regions removed by automatic failover.",
                registry,
            )?,
            limited: register_int_gauge_with_registry!(
                "regionmesh_plan_limited",
                "Failed regions that keep traffic because of max_out.",
                registry,
            )?,
            unmoved_rps: register_int_gauge_with_registry!(
                "regionmesh_plan_unmoved_requests_per_second",
                "Load stuck because other regions lack capacity.",
                registry,
            )?,
            all_failed: register_int_gauge_with_registry!(
                "regionmesh_plan_all_failed",
                "1 while every region is failed.",
                registry,
            )?,
        })
    }
}

/// A plan that does not change, and what DNS answers meanwhile.
#[derive(Debug, Clone)]
pub(crate) struct FreezeMetrics {
    pub(crate) is_refused: IntGauge,
    pub(crate) is_frozen: IntGauge,
    pub(crate) left_out: IntGaugeVec,
}

impl FreezeMetrics {
    pub(super) fn new(registry: &Registry) -> prometheus::Result<Self> {
        Ok(Self {
            is_refused: register_int_gauge_with_registry!(
                "regionmesh_failover_automatic_refused",
                "1 while refused: even number of regions, no witness.",
                registry,
            )?,
            is_frozen: register_int_gauge_with_registry!(
                "regionmesh_plan_frozen",
                "1 after 5 s without a leader, or while DNS leaves out a region.",
                registry,
            )?,
            left_out: register_int_gauge_vec_with_registry!(
                "regionmesh_dns_left_out",
                "1 while frozen DNS answers leave out the region.",
                &["region"],
                registry,
            )?,
        })
    }
}

/// This machine's clock.
#[derive(Debug, Clone)]
pub(crate) struct ClockMetrics {
    pub(crate) ahead: Gauge,
    pub(crate) steps: IntCounter,
}

impl ClockMetrics {
    pub(super) fn new(registry: &Registry) -> prometheus::Result<Self> {
        Ok(Self {
            ahead: register_gauge_with_registry!(
                "regionmesh_clock_ahead_seconds",
                "Clock offset from the majority; negative: behind.",
                registry,
            )?,
            steps: register_int_counter_with_registry!(
                "regionmesh_clock_steps_total",
                "Wall clock steps over a second.",
                registry,
            )?,
        })
    }
}
