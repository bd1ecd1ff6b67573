//! Metrics of elections and of the register.

use prometheus::{
    Histogram, IntCounter, IntCounterVec, IntGauge, Registry, register_histogram_with_registry,
    register_int_counter_vec_with_registry, register_int_counter_with_registry,
    register_int_gauge_with_registry,
};

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
                "Elections that this agent stood in, by outcome: asked (for votes), stood, won.",
                &["outcome"],
                registry,
            )?,
            step_downs: register_int_counter_vec_with_registry!(
                "regionmesh_leader_step_downs_total",
                "Ballots that this agent gave up: outranked, or no majority answered.",
                &["reason"],
                registry,
            )?,
            is_leader: register_int_gauge_with_registry!(
                "regionmesh_leader_is_leader",
                "1 while this agent leads.",
                registry,
            )?,
            leader_known: register_int_gauge_with_registry!(
                "regionmesh_leader_known",
                "1 while this agent leads or knows of a living leader; 0: an election is due.",
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
    pub(crate) calls_failed: IntCounterVec,
}

impl RegisterMetrics {
    pub(super) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let metrics = Self {
            commits: register_int_counter_with_registry!(
                "regionmesh_register_commits_total",
                "Plans that this agent committed as the leader.",
                registry,
            )?,
            commit_duration: register_histogram_with_registry!(
                "regionmesh_register_commit_duration_seconds",
                "Time from proposing a plan to a majority's acceptance.",
                COMMIT_BUCKETS.to_vec(),
                registry,
            )?,
            ballot: register_int_gauge_with_registry!(
                "regionmesh_register_ballot_number",
                "Number of the highest ballot that this agent knows of.",
                registry,
            )?,
            members: register_int_gauge_with_registry!(
                "regionmesh_register_members",
                "Acceptors of the register as far as known.",
                registry,
            )?,
            is_even: register_int_gauge_with_registry!(
                "regionmesh_register_members_even",
                "1 if the register has an even number of acceptors: configure a witness store.",
                registry,
            )?,
            without_vote: register_int_gauge_with_registry!(
                "regionmesh_register_members_without_vote",
                "Members whose acceptor lost its state, or was not heard yet: they count, and \
                    can't vote.",
                registry,
            )?,
            member_changes: register_int_counter_vec_with_registry!(
                "regionmesh_register_member_changes_total",
                "Changes of the register's members that this agent committed: join, suspend, \
                    remove, rename.",
                &["change"],
                registry,
            )?,
            requests_refused: register_int_counter_vec_with_registry!(
                "regionmesh_register_requests_refused_total",
                "Requests that this agent did not serve: fenced (a higher ballot is promised), \
                    too-far, busy, failed.",
                &["reason"],
                registry,
            )?,
            calls_failed: register_int_counter_vec_with_registry!(
                "regionmesh_register_calls_failed_total",
                "Calls of this agent's proposer that an acceptor did not answer.",
                &["region"],
                registry,
            )?,
        };

        // From 0, so that an alert sees the first of each: a rate ignores a series' first value.
        for reason in ["fenced", "too-far", "busy", "failed"] {
            metrics.requests_refused.with_label_values(&[reason]);
        }

        Ok(metrics)
    }
}
