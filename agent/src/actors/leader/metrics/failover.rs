//! Metrics of plans, orders and this machine's clock.

use prometheus::{
    Gauge, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry,
    register_gauge_with_registry, register_int_counter_vec_with_registry,
    register_int_counter_with_registry, register_int_gauge_vec_with_registry,
    register_int_gauge_with_registry,
};

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
                "Operators' orders that this agent took as the leader, by outcome: committed, \
                    refused, unknown.",
                &["outcome"],
                registry,
            )?,
            overrides: register_int_gauge_vec_with_registry!(
                "regionmesh_plan_overrides",
                "Operators' orders in force in the last plan known, by kind.",
                &["kind"],
                registry,
            )?,
            yielded: register_int_gauge_with_registry!(
                "regionmesh_plan_yielded_orders",
                "Operators' orders without effect: they would leave users on a region that can't \
                    serve.",
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
                "Sequence number of the last committed plan known.",
                registry,
            )?,
            adopted: register_int_counter_with_registry!(
                "regionmesh_plan_adopted_total",
                "Committed plans learned from other agents.",
                registry,
            )?,
            save_errors: register_int_counter_with_registry!(
                "regionmesh_plan_save_errors_total",
                "Committed plans that could not be saved in the data directory.",
                registry,
            )?,
            taken_out: register_int_gauge_with_registry!(
                "regionmesh_plan_taken_out",
                "Regions that automation has out in the last plan known.",
                registry,
            )?,
            limited: register_int_gauge_with_registry!(
                "regionmesh_plan_limited",
                "Failed regions that keep a part of their share, because the maximum number of \
                    regions is out already.",
                registry,
            )?,
            unmoved_rps: register_int_gauge_with_registry!(
                "regionmesh_plan_unmoved_requests_per_second",
                "Load that stays on a failing region because no other region has declared \
                    capacity for it.",
                registry,
            )?,
            all_failed: register_int_gauge_with_registry!(
                "regionmesh_plan_all_failed",
                "1 while the verdict on every region is failed.",
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
                "1 while automatic failover is refused: an even number of regions and no witness.",
                registry,
            )?,
            is_frozen: register_int_gauge_with_registry!(
                "regionmesh_plan_frozen",
                "1 while no leader has been known for 5 s, or DNS leaves out a region since \
                    automatic failover is refused.",
                registry,
            )?,
            left_out: register_int_gauge_vec_with_registry!(
                "regionmesh_dns_left_out",
                "1 for a region that this agent leaves out of its DNS answers while the plan is \
                    frozen.",
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
                "How far this agent's clock is ahead of the majority's; negative: behind. 0 \
                    where no majority is against it.",
                registry,
            )?,
            steps: register_int_counter_with_registry!(
                "regionmesh_clock_steps_total",
                "Times that this machine's wall clock was set by more than a second while the \
                    agent ran.",
                registry,
            )?,
        })
    }
}
