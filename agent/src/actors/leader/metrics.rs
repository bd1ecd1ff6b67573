//! Metrics of elections, the register and plans.

mod failover;
mod register;

use super::plan_metrics::PlanMetrics;
use failover::{ClockMetrics, CommittedPlanMetrics, FreezeMetrics, OrderMetrics};
use regionmesh_core::leader::{LeaderView, Settings};
use regionmesh_protocol::plan::{CommittedPlan, OverrideKind, RegionPlan, TrafficState};
use regionmesh_runtime::metrics::Registry;
use register::{ElectionMetrics, RegisterMetrics};

/// Metrics of elections, commits and the register's state as this agent knows it.
#[derive(Debug, Clone)]
pub struct LeaderMetrics {
    pub(super) election: ElectionMetrics,
    pub(super) register: RegisterMetrics,
    pub(super) orders: OrderMetrics,
    pub(super) committed: CommittedPlanMetrics,
    pub(super) frozen: FreezeMetrics,
    pub(super) clock: ClockMetrics,
    plan: PlanMetrics,
}

impl LeaderMetrics {
    /// Registers the metrics.
    pub fn new(registry: &Registry) -> prometheus::Result<Self> {
        Ok(Self {
            election: ElectionMetrics::new(registry)?,
            register: RegisterMetrics::new(registry)?,
            orders: OrderMetrics::new(registry)?,
            committed: CommittedPlanMetrics::new(registry)?,
            frozen: FreezeMetrics::new(registry)?,
            clock: ClockMetrics::new(registry)?,
            plan: PlanMetrics::new(registry)?,
        })
    }

    /// This agent's acceptor refused a request.
    pub(super) fn refused(&self, reason: &str) {
        self.register
            .requests_refused
            .with_label_values(&[reason])
            .inc();
    }

    /// What is known before the first plan.
    pub(crate) fn begin(&self, settings: &Settings) {
        let members = settings.configured.len();
        let members = i64::try_from(members).unwrap_or(i64::MAX);
        self.register.members.set(members);
        self.election.is_leader.set(0);

        for region in settings.plan.regions.keys() {
            let left_out = &self.frozen.left_out;
            left_out.with_label_values(&[region.as_str()]).set(0);
        }
    }

    pub(crate) fn leads(&self, view: &LeaderView) {
        self.election.is_leader.set(i64::from(view.is_self));
        self.election
            .leader_known
            .set(i64::from(view.ballot.is_some()));
    }

    pub(crate) fn freezes(&self, is_frozen: bool) {
        self.frozen.is_frozen.set(i64::from(is_frozen));
    }

    /// Updates the gauges that describe the last plan known.
    pub(crate) fn update(&self, committed: &CommittedPlan) {
        let seq = i64::try_from(committed.stamp.seq).unwrap_or(i64::MAX);
        self.committed.plan_seq.set(seq);

        let plan = &committed.plan;
        self.plan.update(plan);
        let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        let members = &plan.members;

        self.register.members.set(count(members.len()));
        self.register
            .is_even
            .set(i64::from(members.len().is_multiple_of(2)));
        self.register.without_vote.set(count(
            members
                .acceptors
                .values()
                .filter(|counted| counted.is_none())
                .count(),
        ));

        self.frozen
            .is_refused
            .set(i64::from(members.why_not_automatic().is_some()));
        for kind in [
            OverrideKind::Drain,
            OverrideKind::Hold,
            OverrideKind::Promote,
        ] {
            let count_of_kind = plan
                .overrides
                .iter()
                .filter(|order| order.kind == kind)
                .count();

            self.orders
                .overrides
                .with_label_values(&[kind.as_str()])
                .set(count(count_of_kind));
        }

        let is_limited =
            |part: &&RegionPlan| matches!(part.traffic_state, TrafficState::Limited { .. });
        self.committed
            .limited
            .set(count(plan.regions.values().filter(is_limited).count()));
        self.committed
            .taken_out
            .set(count(plan.taken_out().count()));
        self.orders.yielded.set(count(plan.yielded.len()));
        self.committed
            .all_failed
            .set(i64::from(plan.all_failed_ms.is_some()));
        self.committed.unmoved_rps.set(
            plan.shortfall
                .map_or(0, |short| i64::from(short.unmoved_rps)),
        );
    }
}
