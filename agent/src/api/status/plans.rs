//! The plan: in brief, in full, and whether it can change.

use crate::{config::Config, snapshots::Snapshots};
use regionmesh_client::{
    BallotStatus, FrozenStatus, LeaderStatus, OverrideStatus, PlanDetail, PlanStatus,
    PlannedRegion, YieldedStatus,
};
use regionmesh_protocol::{
    identity::RegionName,
    plan::{CommittedPlan, Plan, RegionPlan, TrafficState, YieldedOrder},
    text::visible,
};
use regionmesh_runtime::time::unix_ms;

/// Why the plan can't change; none if it can.
pub(crate) fn frozen(snapshots: &Snapshots) -> Option<FrozenStatus> {
    let freeze = snapshots.freeze.borrow().clone()?;
    let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    Some(FrozenStatus {
        since_ms: freeze.since_ms,
        reachable: count(freeze.reachable),
        members: count(freeze.members),
        left_out: freeze
            .local
            .iter()
            .flat_map(|local| local.left_out.iter().cloned())
            .collect(),
        detail: freeze.detail.clone(),
    })
}

/// The operators' orders in force.
pub(crate) fn orders(plan: &Plan, now_ms: u64) -> Vec<OverrideStatus> {
    plan.overrides
        .iter()
        .map(|existing| OverrideStatus::of(existing, now_ms))
        .collect()
}

pub(crate) fn plan_in_brief(committed: &CommittedPlan, now_ms: u64) -> PlanStatus {
    let CommittedPlan { stamp, plan, .. } = committed;
    PlanStatus {
        seq: stamp.seq,
        ballot: BallotStatus {
            number: stamp.ballot.number,
            agent: stamp.ballot.agent.to_string(),
        },
        reason: visible(&plan.reason).into_owned(),
        made_ms: plan.made_ms,
        age_ms: now_ms.saturating_sub(plan.made_ms),
        all_failed_ms: plan.all_failed_ms,
        yielded: plan
            .yielded
            .iter()
            .filter_map(|yielded| yielded_status(plan, yielded))
            .collect(),
    }
}

fn yielded_status(plan: &Plan, yielded: &YieldedOrder) -> Option<YieldedStatus> {
    let order = plan.override_of(yielded.order.as_ref())?.to_string();
    Some(YieldedStatus {
        order,
        region: yielded.region.clone(),
        since_ms: yielded.since_ms,
    })
}

/// The leader; none during an election.
pub(crate) fn leader(snapshots: &Snapshots) -> Option<LeaderStatus> {
    let ballot = snapshots.leader.borrow().ballot.clone()?;

    Some(LeaderStatus {
        agent: ballot.agent.to_string(),
        ballot: ballot.number,
    })
}

/// The committed plan; none before the first.
pub(crate) fn plan(config: &Config, snapshots: &Snapshots) -> Option<PlanDetail> {
    let committed = snapshots.plan_by_own_clock()?;
    Some(plan_detail(config, &committed))
}

/// A committed plan in full.
pub(crate) fn plan_detail(config: &Config, committed: &CommittedPlan) -> PlanDetail {
    let now_ms = unix_ms();
    PlanDetail {
        brief: plan_in_brief(committed, now_ms),
        regions: planned_regions(config, &committed.plan),
        overrides: orders(&committed.plan, now_ms),
        shortfall: committed.plan.shortfall.map(Into::into),
        signed_by: committed
            .certificate
            .agents()
            .map(|agent| agent.to_string())
            .collect(),
    }
}

/// Every region's part of a plan.
pub(crate) fn planned_regions(config: &Config, plan: &Plan) -> Vec<PlannedRegion> {
    let shares = plan.shares();
    let region = |(name, planned): (&RegionName, &RegionPlan)| PlannedRegion {
        region: name.clone(),
        weight_bp: planned.weight_bp,
        share: shares.get(name).copied().unwrap_or(0.0),
        traffic_state: planned.traffic_state.as_str().into(),
        since_ms: planned.traffic_state.since_ms(),
        ramp_percent: ramp_percent(config, &planned.traffic_state),
        addresses: planned.addresses.clone(),
        flaps: planned.flaps,
        failed_ms: Some(planned.failed_ms).filter(|&ms| ms > 0),
    };

    plan.regions.iter().map(region).collect()
}

pub(crate) fn ramp_percent(config: &Config, traffic_state: &TrafficState) -> Option<u8> {
    match traffic_state {
        TrafficState::Ramping { step, .. } => Some(config.recovery.percent_at(*step)),
        _ => None,
    }
}
