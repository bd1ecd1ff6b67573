//! What the dns-leader actor counts.

use super::plan_metrics::PlanMetrics;
use prometheus::{
    Gauge, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry,
};
use regionmesh_protocol::plan::{OverrideKind, Plan, RegionPlan, TrafficState};

/// Metrics of elections, commits and the register's state as this agent knows it.
#[derive(Debug, Clone)]
pub struct LeaderMetrics {
    pub(super) elections: IntCounterVec,
    pub(super) step_downs: IntCounterVec,
    pub(super) commits: IntCounter,
    pub(super) commit_duration: Histogram,
    pub(super) is_leader: IntGauge,
    pub(super) leader_known: IntGauge,
    pub(super) ballot: IntGauge,
    pub(super) plan_seq: IntGauge,
    pub(super) members: IntGauge,
    pub(super) is_even: IntGauge,
    pub(super) without_vote: IntGauge,
    pub(super) is_refused: IntGauge,
    pub(super) member_changes: IntCounterVec,
    pub(super) requests_refused: IntCounterVec,
    pub(super) calls_failed: IntCounterVec,
    pub(super) adopted: IntCounter,
    pub(super) save_errors: IntCounter,
    pub(super) orders: IntCounterVec,
    pub(super) overrides: IntGaugeVec,
    pub(super) taken_out: IntGauge,
    pub(super) limited: IntGauge,
    pub(super) unmoved_rps: IntGauge,
    pub(super) clock_ahead: Gauge,
    pub(super) clock_steps: IntCounter,
    pub(super) yielded: IntGauge,
    pub(super) all_failed: IntGauge,
    pub(super) is_frozen: IntGauge,
    pub(super) left_out: IntGaugeVec,
    plan: PlanMetrics,
}

impl LeaderMetrics {
    /// Registers the metrics.
    pub fn new(registry: &Registry) -> prometheus::Result<Self> {
        let counter = |name: &str, help: &str| {
            let counter = IntCounter::new(name, help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, prometheus::Error>(counter)
        };
        let counters = |name: &str, help: &str, label: &str| {
            let counters = IntCounterVec::new(Opts::new(name, help), &[label])?;
            registry.register(Box::new(counters.clone()))?;
            Ok::<_, prometheus::Error>(counters)
        };

        let gauge = |name: &str, help: &str| {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok::<_, prometheus::Error>(gauge)
        };
        let commit_duration = Histogram::with_opts(
            HistogramOpts::new(
                "regionmesh_register_commit_duration_seconds",
                "Time from proposing a plan to a majority's acceptance.",
            )
            .buckets(vec![
                0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
            ]),
        )?;

        registry.register(Box::new(commit_duration.clone()))?;
        let overrides = IntGaugeVec::new(
            Opts::new(
                "regionmesh_plan_overrides",
                "Operators' orders that stand in the last plan known, by kind.",
            ),
            &["kind"],
        )?;

        registry.register(Box::new(overrides.clone()))?;
        let clock_ahead = Gauge::new(
            "regionmesh_clock_ahead_seconds",
            "How far this agent's clock is ahead of the majority's; negative: behind. 0 where no \
                majority is against it.",
        )?;

        registry.register(Box::new(clock_ahead.clone()))?;
        let left_out = IntGaugeVec::new(
            Opts::new(
                "regionmesh_dns_left_out",
                "1 for a region that this agent leaves out of its DNS answers while the plan is \
                    frozen.",
            ),
            &["region"],
        )?;

        registry.register(Box::new(left_out.clone()))?;
        let step_downs = counters(
            "regionmesh_leader_step_downs_total",
            "Ballots that this agent gave up: outranked, or no majority answered.",
            "reason",
        )?;
        let requests_refused = counters(
            "regionmesh_register_requests_refused_total",
            "Requests that this agent did not serve: fenced (a higher ballot is promised), \
                too-far, busy, failed.",
            "reason",
        )?;

        // From 0, so that an alert sees the first of each: a rate knows nothing of what a series
        // began with.
        ["outranked", "no-majority"]
            .iter()
            .for_each(|reason| drop(step_downs.with_label_values(&[*reason])));
        ["fenced", "too-far", "busy", "failed"]
            .iter()
            .for_each(|reason| drop(requests_refused.with_label_values(&[*reason])));
        Ok(Self {
            elections: counters(
                "regionmesh_leader_elections_total",
                "Elections that this agent stood in, by outcome: asked (for votes), stood, won.",
                "outcome",
            )?,
            step_downs,
            commits: counter(
                "regionmesh_register_commits_total",
                "Plans that this agent committed as the leader.",
            )?,
            commit_duration,
            is_leader: gauge("regionmesh_leader_is_leader", "1 while this agent leads.")?,
            leader_known: gauge(
                "regionmesh_leader_known",
                "1 while this agent leads or knows of a living leader; 0: an election is due.",
            )?,
            ballot: gauge(
                "regionmesh_register_ballot_number",
                "Number of the highest ballot that this agent knows of.",
            )?,
            plan_seq: gauge(
                "regionmesh_plan_seq",
                "Sequence number of the last committed plan known.",
            )?,
            members: gauge(
                "regionmesh_register_members",
                "Acceptors of the register as far as known.",
            )?,
            is_even: gauge(
                "regionmesh_register_members_even",
                "1 if the register has an even number of acceptors: configure a witness store.",
            )?,
            without_vote: gauge(
                "regionmesh_register_members_without_vote",
                "Members whose acceptor lost its state, or was not heard yet: they count, and \
                    can't vote.",
            )?,
            is_refused: gauge(
                "regionmesh_failover_automatic_refused",
                "1 while automatic failover is refused: an even number of regions and no witness.",
            )?,
            member_changes: counters(
                "regionmesh_register_member_changes_total",
                "Changes of the register's members that this agent committed: join, suspend, \
                    remove, rename.",
                "change",
            )?,
            requests_refused,
            calls_failed: counters(
                "regionmesh_register_calls_failed_total",
                "Calls of this agent's proposer that an acceptor did not answer.",
                "region",
            )?,
            adopted: counter(
                "regionmesh_plan_adopted_total",
                "Committed plans learned from other agents.",
            )?,
            orders: counters(
                "regionmesh_failover_orders_total",
                "Operators' orders that this agent took as the leader, by outcome: committed, \
                    refused, unknown.",
                "outcome",
            )?,
            overrides,
            taken_out: gauge(
                "regionmesh_plan_taken_out",
                "Regions that automation has out in the last plan known.",
            )?,
            limited: gauge(
                "regionmesh_plan_limited",
                "Failed regions that keep a part of their share, since as many as may are out \
                    already.",
            )?,
            unmoved_rps: gauge(
                "regionmesh_plan_unmoved_requests_per_second",
                "Load that stays where it should not, for want of declared capacity elsewhere.",
            )?,
            clock_ahead,
            clock_steps: counter(
                "regionmesh_clock_steps_total",
                "Times that this machine's wall clock was set by more than a second while the \
                    agent ran.",
            )?,
            yielded: gauge(
                "regionmesh_plan_yielded_orders",
                "Operators' orders without effect: obeying them would leave users on a region that \
                    can't serve.",
            )?,
            all_failed: gauge(
                "regionmesh_plan_all_failed",
                "1 while the verdict on every region is failed.",
            )?,
            is_frozen: gauge(
                "regionmesh_plan_frozen",
                "1 while no leader has been known for 5 s, or DNS leaves out a region since \
                    automatic failover is refused.",
            )?,
            left_out,
            plan: PlanMetrics::new(registry)?,
            save_errors: counter(
                "regionmesh_plan_save_errors_total",
                "Committed plans that could not be kept in the data directory.",
            )?,
        })
    }

    /// Shows what the last plan known holds back, what operators ordered, and who its members are.
    pub(super) fn show(&self, plan: &Plan) {
        self.plan.show(plan);
        let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        let members = &plan.members;

        self.members.set(count(members.len()));
        self.is_even.set(i64::from(members.len().is_multiple_of(2)));
        self.without_vote.set(count(
            members
                .acceptors
                .values()
                .filter(|counted| counted.is_none())
                .count(),
        ));

        self.is_refused
            .set(i64::from(members.why_not_automatic().is_some()));
        for kind in [
            OverrideKind::Drain,
            OverrideKind::Hold,
            OverrideKind::Promote,
        ] {
            let traffic_state = plan
                .overrides
                .iter()
                .filter(|traffic_state| traffic_state.kind == kind)
                .count();

            self.overrides
                .with_label_values(&[kind.as_str()])
                .set(count(traffic_state));
        }

        let is_limited =
            |part: &&RegionPlan| matches!(part.traffic_state, TrafficState::Limited { .. });
        self.limited
            .set(count(plan.regions.values().filter(is_limited).count()));
        self.taken_out.set(count(plan.taken_out().count()));
        self.yielded.set(count(plan.yielded.len()));
        self.all_failed.set(i64::from(plan.all_failed_ms.is_some()));
        self.unmoved_rps.set(
            plan.shortfall
                .map_or(0, |short| i64::from(short.unmoved_rps)),
        );
    }
}
