//! `/v1/failover`: what stands and why, what stood, what would be, and what operators order.

use super::{
    Api,
    access::{By, Operator},
    members,
    models::{json, name, named, text},
    reply::ApiError,
    status,
};
use crate::failover::HOPS;
use axum::{
    Extension, Json,
    body::Bytes,
    extract::{Path, State},
};
use http::StatusCode;
use regionmesh_client::{
    Assumptions, FailoverHistory, FailoverStatus, LAST_SERVING, LeaderStatus, OrderBody, OrderDone,
    OwnReport, PastPlanStatus, PastReason, RegionExplanation, RegionStatus, WOULD_REPLACE, WhatIf,
};
use regionmesh_core::planning::{Explanation, PlanInputs, explain, what_if};
use regionmesh_protocol::{
    identity::RegionName,
    plan::{
        BY_MAX, CommittedPlan, FOR_MAX_MS, FOR_MIN_MS, Order, OrderAction, OrderError,
        OverrideKind, TrafficState, WHY_MAX,
    },
    status::{StatusEntry, StatusKind},
    text::visible,
    wire::OrderRefusal,
};
use regionmesh_runtime::time::unix_ms;
use regionmesh_store::{PastPlan, read_history};
use std::{sync::Arc, time::Duration};

/// How long an order stands if nothing else is said, milliseconds: an hour, so that a forgotten one
/// ends by itself.
pub const FOR_DEFAULT_MS: u64 = 60 * 60 * 1_000;
/// How long an answer waits for the plan to come back to this agent from the leader's: one round
/// trip, as a rule.
const SPREAD: Duration = Duration::from_secs(2);
/// Past plans that an explanation quotes at most.
const REASONS_MAX: usize = 10;

/// What every order is answered with.
pub(super) type OrderAnswer = Result<(Extension<By>, Json<OrderDone>), ApiError>;

/// `POST /v1/failover/drain`
pub async fn drain(api: State<Api>, operator: Extension<Operator>, body: Bytes) -> OrderAnswer {
    order(api, operator, OrderAction::Set(OverrideKind::Drain), body).await
}

/// `POST /v1/failover/hold`
pub async fn hold(api: State<Api>, operator: Extension<Operator>, body: Bytes) -> OrderAnswer {
    order(api, operator, OrderAction::Set(OverrideKind::Hold), body).await
}

/// `POST /v1/failover/promote`
pub async fn promote(api: State<Api>, operator: Extension<Operator>, body: Bytes) -> OrderAnswer {
    order(api, operator, OrderAction::Set(OverrideKind::Promote), body).await
}

/// `POST /v1/failover/restore`
pub async fn restore(api: State<Api>, operator: Extension<Operator>, body: Bytes) -> OrderAnswer {
    order(api, operator, OrderAction::Restore, body).await
}

async fn order(
    State(api): State<Api>,
    Extension(operator): Extension<Operator>,
    action: OrderAction,
    body: Bytes,
) -> OrderAnswer {
    let OrderBody {
        region,
        by,
        why,
        for_ms,
        force,
        immediate,
    } = json(&body)?;

    let region: Option<RegionName> = region
        .as_deref()
        .map(|region| named("region", region))
        .transpose()?;

    check(&action, region.as_ref(), for_ms)?;
    let order = Order {
        action,
        region,
        by: operator.or_said(by)?,
        why: why_or_none(why),
        for_ms: for_ms.unwrap_or(FOR_DEFAULT_MS),
        is_forced: force,
        is_immediate: immediate,
    };

    give(api, order).await
}

/// What stands for a reason that was not given.
pub(super) fn why_or_none(why: String) -> String {
    if why.is_empty() {
        "no reason given".into()
    } else {
        why
    }
}

/// What can be refused without a leader.
fn check(
    action: &OrderAction,
    region: Option<&RegionName>,
    for_ms: Option<u64>,
) -> Result<(), ApiError> {
    if let OrderAction::Set(kind @ (OverrideKind::Drain | OverrideKind::Promote)) = action
        && region.is_none()
    {
        return Err(ApiError::bad(format!(
            "region: {}",
            OrderError::NoRegion(*kind)
        )));
    }

    match for_ms {
        Some(for_ms) if !(FOR_MIN_MS..=FOR_MAX_MS).contains(&for_ms) => Err(ApiError::bad(
            format!("for_ms: {}", OrderError::Duration(for_ms)),
        )),
        _ => Ok(()),
    }
}

/// Takes an order to the leader, and answers once it is committed.
pub(super) async fn give(api: Api, order: Order) -> OrderAnswer {
    text("by", &order.by, BY_MAX)?;
    text("why", &order.why, WHY_MAX)?;

    let by = order.by.clone();
    let handler = api.orders.clone();

    // In a task of its own: a client that goes away must not leave it unknown to the log what
    // became of the order.
    let carried_out = tokio::spawn(async move { handler.carry_out(order, HOPS).await });
    let committed = carried_out.await.map_err(|error| {
        ApiError::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("the order broke: {error}"),
            "see `failover status`",
        )
    })??;

    // Who asks this agent next sees what was done.
    let mut known = api.snapshots.plan.subscribe();
    let has_it = known.wait_for(|known| {
        known
            .as_ref()
            .is_some_and(|known| known.stamp >= committed.stamp)
    });
    let _ = tokio::time::timeout(SPREAD, has_it).await;
    let plan = api
        .snapshots
        .clocks
        .by_own_clock(&committed.plan)
        .into_owned();
    let done = visible(&committed.plan.reason).into_owned();

    let plan = status::plan_detail(
        &api.config,
        &CommittedPlan {
            plan,
            stamp: committed.stamp,
        },
    );

    Ok((Extension(By(by)), Json(OrderDone { done, plan })))
}

impl From<OrderRefusal> for ApiError {
    fn from(refusal: OrderRefusal) -> Self {
        let code = match &refusal {
            OrderRefusal::Wrong(OrderError::WouldReplace { .. }) => WOULD_REPLACE,
            OrderRefusal::Wrong(OrderError::LastServing { .. }) => LAST_SERVING,
            _ => "",
        };
        let (status, hint) = match &refusal {
            OrderRefusal::NotNow(_) => (
                StatusCode::SERVICE_UNAVAILABLE,
                "orders need a majority of regions",
            ),
            OrderRefusal::Unknown(_) => (
                StatusCode::GATEWAY_TIMEOUT,
                "see `regionmesh failover status`",
            ),
            OrderRefusal::Wrong(error) => match error {
                OrderError::NoPlan => (
                    StatusCode::SERVICE_UNAVAILABLE,
                    "a first plan needs a majority of regions",
                ),
                OrderError::UnknownRegion(_) => (StatusCode::NOT_FOUND, "see `regionmesh status`"),
                OrderError::NothingStands(_) => {
                    (StatusCode::NOT_FOUND, "see `regionmesh failover status`")
                }
                OrderError::Unfit { .. } => (
                    StatusCode::CONFLICT,
                    "users are not moved onto a worse region; drain the others if it must be",
                ),
                OrderError::WouldReplace { .. } => (
                    StatusCode::CONFLICT,
                    "agree with whoever ordered it, or repeat with --force (\"force\": true)",
                ),
                OrderError::LastServing { .. } => (
                    StatusCode::CONFLICT,
                    "to let the drain stand all the same, repeat with --yes or --force (\"force\": \
                        true)",
                ),
                OrderError::Member(error) => members::answer(error),
                OrderError::TooMany => (StatusCode::CONFLICT, "see `regionmesh failover status`"),
                OrderError::NoRegion(_)
                | OrderError::Text { .. }
                | OrderError::Unprintable { .. }
                | OrderError::Duration(_) => (StatusCode::BAD_REQUEST, ""),
            },
        };

        Self::new(status, refusal.to_string(), hint).with_code(code)
    }
}

/// `GET /v1/failover/status`
pub async fn show(State(api): State<Api>) -> Json<FailoverStatus> {
    let plan = api.snapshots.plan_by_own_clock();
    let leader = api.snapshots.leader.borrow().clone();
    Json(FailoverStatus {
        answered_by: api.config.id().to_string(),
        answered_ms: unix_ms(),
        leader: leader.ballot.map(|ballot| LeaderStatus {
            agent: ballot.agent.to_string(),
            ballot: ballot.number,
        }),
        max_out: api.config.traffic.max_out,
        taken_out: plan
            .iter()
            .flat_map(|committed| committed.plan.taken_out().cloned())
            .collect(),
        automatic_refused: members::why_not_automatic(&api),
        plan: plan.map(|committed| status::plan_detail(&api.config, &committed)),
        verdicts: status::verdicts(&api.config, &api.snapshots),
        frozen: status::frozen(&api.snapshots),
    })
}

/// `GET /v1/failover/history`
pub async fn past(State(api): State<Api>) -> Result<Json<FailoverHistory>, ApiError> {
    let plans = past_plans(&api).await?;
    let plan = |past: &PastPlan| PastPlanStatus {
        seen_ms: past.seen_ms,
        plan: status::plan_detail(&api.config, &past.committed),
    };

    Ok(Json(FailoverHistory {
        answered_by: api.config.id().to_string(),
        plans: plans.iter().map(plan).collect(),
    }))
}

async fn past_plans(api: &Api) -> Result<Vec<PastPlan>, ApiError> {
    let data_dir = api.config.data_dir.clone();
    let read = tokio::task::spawn_blocking(move || read_history(&data_dir)).await;
    let failed = |error: String| {
        let error = format!("the history of plans can't be read: {error}");
        ApiError::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            error,
            "see data_dir of that agent",
        )
    };

    read.map_err(|error| failed(error.to_string()))?
        .map_err(|error| failed(error.to_string()))
}

/// `GET /v1/failover/explain/{region}`
pub async fn why(
    State(api): State<Api>,
    Path(region): Path<String>,
) -> Result<Json<RegionExplanation>, ApiError> {
    let region: RegionName = name(&region)?;
    let unknown = || {
        ApiError::not_found(
            format!("there is no region {region} in this mesh"),
            "see `regionmesh status`",
        )
    };
    let committed = api.snapshots.plan_by_own_clock();
    let plan = committed.as_ref().map(|committed| &committed.plan);
    let all = status::regions(&api.config, &api.snapshots, plan);

    let seen: RegionStatus = all
        .into_iter()
        .find(|known| known.region == region)
        .ok_or_else(unknown)?;
    let mentions = |past: &&PastPlan| past.committed.plan.reason.contains(region.as_str());
    let plans = past_plans(&api).await?;
    let reason = |past: &PastPlan| PastReason {
        seen_ms: past.seen_ms,
        seq: past.committed.stamp.seq,
        reason: visible(&past.committed.plan.reason).into_owned(),
    };

    let mut reasons: Vec<PastReason> = plans
        .iter()
        .rev()
        .filter(mentions)
        .take(REASONS_MAX)
        .map(reason)
        .collect();

    reasons.reverse();
    let now_ms = unix_ms();
    let inputs = api.snapshots.plan_inputs.borrow().clone();
    let explained = plan
        .zip(inputs)
        .and_then(|(plan, inputs)| explain(plan, &inputs, &region, now_ms));
    let traffic_state = match plan {
        Some(plan) if !plan.members.may_serve(&region) => {
            "not a member of the register, so that it gets no traffic; `failover members add` \
                makes it one"
        }
        _ => "no plan is committed yet",
    };

    let nothing = || Explanation {
        traffic_state: traffic_state.into(),
        ..Explanation::default()
    };
    let Explanation {
        traffic_state,
        overrides,
        mut guards,
        cool_down,
        ramp,
    } = explained.unwrap_or_else(nothing);

    guards.extend(members::why_not_automatic(&api));
    Ok(Json(RegionExplanation {
        answered_by: api.config.id().to_string(),
        answered_ms: now_ms,
        own_reports: own_reports(&api, &region),
        thresholds: api.config.health.in_words(),
        region: seen,
        traffic_state,
        overrides,
        guards,
        cool_down,
        ramp,
        reasons,
    }))
}

/// What the living agents of a region report of it themselves.
fn own_reports(api: &Api, region: &RegionName) -> Vec<OwnReport> {
    let board = api.snapshots.board.borrow().clone();
    let reports = board
        .agents
        .iter()
        .filter(|(id, view)| id.region == *region && view.is_alive);

    reports
        .filter_map(|(id, view)| {
            let seen = view.status_entries.get(&StatusKind::Observations)?;
            let StatusEntry::Observations(all) = &*seen.status_entry else {
                return None;
            };
            let agent = id.to_string();
            let age_ms = status::millis(seen.seen_at.elapsed());

            Some(OwnReport {
                agent,
                condition: all.own,
                address: all.own_address,
                age_ms,
            })
        })
        .collect()
}

fn current(api: &Api) -> Result<(Arc<CommittedPlan>, Arc<PlanInputs>), ApiError> {
    let plan = api.snapshots.plan_by_own_clock();
    let inputs = api.snapshots.plan_inputs.borrow().clone();
    plan.zip(inputs).ok_or_else(|| {
        let hint = "a plan is committed as soon as a majority of regions can be reached; see \
            `regionmesh status`";
        ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "no plan is committed yet",
            hint,
        )
    })
}

/// `POST /v1/failover/what-if`
pub async fn suppose(State(api): State<Api>, body: Bytes) -> Result<Json<WhatIf>, ApiError> {
    let Assumptions { assume } = json(&body)?;
    for region in assume.keys() {
        if api.config.region(region).is_none() {
            return Err(ApiError::not_found(
                format!("there is no region {region} in this mesh"),
                "see `regionmesh status`",
            ));
        }
    }

    let (committed, inputs) = current(&api)?;
    let refused = members::why_not_automatic(&api);
    let planned =
        what_if(Some(&committed.plan), &inputs, &assume, unix_ms()).filter(|_| refused.is_none());
    let before = status::planned_regions(&api.config, &committed.plan);
    let would_change = planned.is_some();
    let plan = planned.as_ref().unwrap_or(&committed.plan);
    let held: Vec<&RegionName> = plan
        .regions
        .iter()
        .filter(|(_, part)| matches!(part.traffic_state, TrafficState::Limited { .. }))
        .map(|(region, _)| region)
        .collect();

    Ok(Json(WhatIf {
        would_change,
        reason: match refused {
            Some(why) => why,
            None if would_change => plan.reason.clone(),
            None => "the plan would stay as it is".into(),
        },
        limited: held.into_iter().cloned().collect(),
        shortfall: plan.shortfall.map(Into::into),
        regions: status::planned_regions(&api.config, plan),
        before,
    }))
}
