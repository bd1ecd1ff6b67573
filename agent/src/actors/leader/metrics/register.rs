//! Metrics of elections and of the register.

use prometheus::{
    Histogram, IntCounter, IntCounterVec, IntGauge, register_histogram_with_registry,
    register_int_counter_vec_with_registry, register_int_counter_with_registry,
    register_int_gauge_with_registry,
};
use regionmesh_runtime::metrics::Registry;

/// Upper bounds of commit durations, in seconds.
const COMMIT_BUCKETS: [f64; 11] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// Elections that this agent stood in, and who leads.
#[derive(Debug, Clone)]
pub(crate) struct ElectionMetrics {
    pub(crate) elections: IntCounterVec,
    pub(crate) step_downs: IntCounterVec,
    pub(crate) is_leader: IntGauge,
    pub(crate) leader_known: IntGauge,
}

impl ElectionMetrics {
    pub(super) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let metrics = Self {
            elections: register_int_counter_vec_with_registry!(
                "regionmesh_leader_elections_total",
                "Candidacies, by outcome: asked (for votes), stood, won.",
                &["outcome"],
                registry,
            )?,
            step_downs: register_int_counter_vec_with_registry!(
                "regionmesh_leader_step_downs_total",
                "Ballots given up, by reason: outranked, no-majority, objections, \
                    removed.",
                &["reason"],
                registry,
            )?,
            is_leader: register_int_gauge_with_registry!(
                "regionmesh_leader_is_leader",
                "1 while leading; over all agents normally one.",
                registry,
            )?,
            leader_known: register_int_gauge_with_registry!(
                "regionmesh_leader_known",
                "1 while a live leader is known.",
                registry,
            )?,
        };

        // From 0, so that an alert sees the first of each: a rate ignores a series' first value.
        for reason in ["outranked", "no-majority"] {
            metrics.step_downs.with_label_values(&[reason]);
        }

        Ok(metrics)
    }
}

/// The register: commits, members and calls.
#[derive(Debug, Clone)]
pub(crate) struct RegisterMetrics {
    pub(crate) commits: IntCounter,
    pub(crate) commit_duration: Histogram,
    pub(crate) ballot: IntGauge,
    pub(crate) members: IntGauge,
    pub(crate) is_even: IntGauge,
    pub(crate) without_vote: IntGauge,
    pub(crate) member_changes: IntCounterVec,
    pub(crate) requests_refused: IntCounterVec,
    pub(crate) objections: IntCounterVec,
    pub(crate) plans_dropped: IntCounter,
    pub(crate) calls_failed: IntCounterVec,
}

impl RegisterMetrics {
    pub(super) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let metrics = Self {
            commits: register_int_counter_with_registry!(
                "regionmesh_register_commits_total",
                "Plans committed as the leader.",
                registry,
            )?,
            commit_duration: register_histogram_with_registry!(
                "regionmesh_register_commit_duration_seconds",
                "Time from proposal to acceptance by a majority.",
                COMMIT_BUCKETS.to_vec(),
                registry,
            )?,
            ballot: register_int_gauge_with_registry!(
                "regionmesh_register_ballot_number",
                "Highest ballot known.",
                registry,
            )?,
            members: register_int_gauge_with_registry!(
                "regionmesh_register_members",
                "Acceptors of the register.",
                registry,
            )?,
            is_even: register_int_gauge_with_registry!(
                "regionmesh_register_members_even",
                "1: even number of acceptors; the last adds no fault tolerance.",
                registry,
            )?,
            without_vote: register_int_gauge_with_registry!(
                "regionmesh_register_members_without_vote",
                "Acceptors that lost state or are unheard; should be 0.",
                registry,
            )?,
            member_changes: register_int_counter_vec_with_registry!(
                "regionmesh_register_member_changes_total",
                "Membership changes committed: join, suspend, remove, rename.",
                &["change"],
                registry,
            )?,
            requests_refused: register_int_counter_vec_with_registry!(
                "regionmesh_register_requests_refused_total",
                "Requests to this region's acceptor refused, by reason: fenced, too-far, busy, \
                    failed, unjustified.",
                &["reason"],
                registry,
            )?,
            objections: register_int_counter_vec_with_registry!(
                "regionmesh_register_objections_total",
                "Objections of this agent to leaders' plans, by reason: takes-traffic, \
                    gives-traffic, too-fast, too-many-out, drops-address, weights, cost, empty, \
                    too-many-orders, unproven-order, ends-order, members.",
                &["objection"],
                registry,
            )?,
            plans_dropped: register_int_counter_with_registry!(
                "regionmesh_register_plans_dropped_total",
                "Plans of this leader, or values found in promises, given up after objections.",
                registry,
            )?,
            calls_failed: register_int_counter_vec_with_registry!(
                "regionmesh_register_calls_failed_total",
                "Unanswered calls to acceptors; region may be witness.",
                &["region"],
                registry,
            )?,
        };

        // From 0, so that an alert sees the first of each: a rate ignores a series' first value.
        for reason in ["fenced", "too-far", "busy", "failed", "unjustified"] {
            metrics.requests_refused.with_label_values(&[reason]);
        }

        Ok(metrics)
    }
}
