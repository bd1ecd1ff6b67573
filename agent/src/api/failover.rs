//! `/v1/failover`: the plan and its reasons, its history, what-if, and operators' orders.

use super::{
    access::Operator,
    members::why_not_automatic,
    orders::{OrderAnswer, submit, why_or_none},
    reply::ApiError,
    request::{json, name, named},
    state::Api,
    status::{
        entry::millis,
        plans,
        regions::{regions, verdicts},
    },
};
use axum::{
    Extension, Json,
    body::Bytes,
    extract::{Path, State},
};
use http::StatusCode;
use regionmesh_client::{
    Assumptions, FailoverHistory, FailoverStatus, OrderBody, OwnReport, PastPlanStatus, PastReason,
    RegionExplanation, RegionStatus, WhatIf,
};
use regionmesh_core::planning::{self, Explanation, PlanInputs, explain};
use regionmesh_protocol::{
    identity::RegionName,
    plan::{
        CommittedPlan, FOR_MAX_MS, FOR_MIN_MS, Order, OrderAction, OrderError, OverrideKind, Plan,
        TrafficState,
    },
    status::{StatusEntry, StatusKind},
    text::visible,
};
use regionmesh_runtime::time::unix_ms;
use regionmesh_store::{PastPlan, read_history};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use std::sync::Arc;

/// How long an order is in force by default, milliseconds: an hour, so that a forgotten order
/// expires.
const FOR_DEFAULT_MS: u64 = 60 * 60 * 1_000;
/// Most past plans that an explanation quotes.
const REASONS_MAX: usize = 10;

/// `POST /v1/failover/drain`
pub(crate) async fn drain(
    api: State<Api>,
    operator: Extension<Operator>,
    body: Bytes,
) -> OrderAnswer {
    order(api, operator, OrderAction::Set(OverrideKind::Drain), body).await
}

/// `POST /v1/failover/hold`
pub(crate) async fn hold(
    api: State<Api>,
    operator: Extension<Operator>,
    body: Bytes,
) -> OrderAnswer {
    order(api, operator, OrderAction::Set(OverrideKind::Hold), body).await
}

/// `POST /v1/failover/promote`
pub(crate) async fn promote(
    api: State<Api>,
    operator: Extension<Operator>,
    body: Bytes,
) -> OrderAnswer {
    order(api, operator, OrderAction::Set(OverrideKind::Promote), body).await
}

/// `POST /v1/failover/restore`
pub(crate) async fn restore(
    api: State<Api>,
    operator: Extension<Operator>,
    body: Bytes,
) -> OrderAnswer {
    order(api, operator, OrderAction::Restore, body).await
}

/// The schema of an order that needs a region.
pub(crate) fn region_order(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = OrderBody::json_schema(generator);
    schema.insert(
        "description".into(),
        "An operator's order for a region.".into(),
    );
    schema.insert("required".into(), ["region", "by"].as_slice().into());

    if let Some(region) = schema.pointer_mut("/properties/region") {
        *region = generator.subschema_for::<RegionName>().to_value();
    }
    schema
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
        by: operator.or_given(by)?,
        why: why_or_none(why),
        for_ms: for_ms.unwrap_or(FOR_DEFAULT_MS),
        is_forced: force,
        is_immediate: immediate,
        proof: None,
    };

    submit(api, order).await
}

/// Refuses what needs no leader to be refused.
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

/// `GET /v1/failover/status`
pub(crate) async fn status(State(api): State<Api>) -> Json<FailoverStatus> {
    let plan = api.snapshots.plan_by_own_clock();
    Json(FailoverStatus {
        answered_by: api.config.id().to_string(),
        answered_ms: unix_ms(),
        leader: plans::leader(&api.snapshots),
        max_out: api.config.traffic.max_out,
        taken_out: plan
            .iter()
            .flat_map(|committed| committed.plan.taken_out().cloned())
            .collect(),
        automatic_refused: why_not_automatic(&api),
        plan: plan.map(|committed| plans::plan_detail(&api.config, &committed)),
        verdicts: verdicts(&api.config, &api.snapshots),
        frozen: plans::frozen(&api.snapshots),
    })
}

/// `GET /v1/failover/history`
pub(crate) async fn history(State(api): State<Api>) -> Result<Json<FailoverHistory>, ApiError> {
    let plans = past_plans(&api).await?;
    let plan = |past: &PastPlan| PastPlanStatus {
        seen_ms: past.seen_ms,
        plan: plans::plan_detail(&api.config, &past.committed),
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
pub(crate) async fn explanation(
    State(api): State<Api>,
    Path(region): Path<String>,
) -> Result<Json<RegionExplanation>, ApiError> {
    let region: RegionName = name(&region)?;
    let committed = api.snapshots.plan_by_own_clock();
    let plan = committed.as_ref().map(|committed| &committed.plan);
    let all = regions(&api.config, &api.snapshots, plan);

    let seen: RegionStatus = all
        .into_iter()
        .find(|known| known.region == region)
        .ok_or_else(|| ApiError::unknown_region(&region))?;
    let reasons = past_reasons(&api, &region).await?;
    let now_ms = unix_ms();
    let Explanation {
        traffic_state,
        overrides,
        mut guards,
        cool_down,
        ramp,
    } = explain_plan(&api, plan, &region, now_ms);

    guards.extend(why_not_automatic(&api));
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

/// Why the last plans that mention a region were made, oldest first.
async fn past_reasons(api: &Api, region: &RegionName) -> Result<Vec<PastReason>, ApiError> {
    let plans = past_plans(api).await?;
    let mentions = |past: &&PastPlan| past.committed.plan.reason.contains(region.as_str());
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
    Ok(reasons)
}

/// Explains a region's part of the plan, or why it has none.
fn explain_plan(api: &Api, plan: Option<&Plan>, region: &RegionName, now_ms: u64) -> Explanation {
    let inputs = api.snapshots.plan_inputs.borrow().clone();
    let explained = plan
        .zip(inputs)
        .and_then(|(plan, inputs)| explain(plan, &inputs, region, now_ms));

    explained.unwrap_or_else(|| {
        let traffic_state = match plan {
            Some(plan) if !plan.members.may_serve(region) => {
                "not a member of the register, so that it gets no traffic; `failover members add` \
                    makes it one"
            }
            _ => "no plan is committed yet",
        };

        Explanation {
            traffic_state: traffic_state.into(),
            ..Explanation::default()
        }
    })
}

/// What the live agents of a region report about it.
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
            let age_ms = millis(seen.seen_at.elapsed());

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
    plan.zip(inputs).ok_or_else(ApiError::no_plan)
}

/// `POST /v1/failover/what-if`
pub(crate) async fn what_if(State(api): State<Api>, body: Bytes) -> Result<Json<WhatIf>, ApiError> {
    let Assumptions { assume } = json(&body)?;
    for region in assume.keys() {
        if api.config.region(region).is_none() {
            return Err(ApiError::unknown_region(region));
        }
    }

    let (committed, inputs) = current(&api)?;
    let refused = why_not_automatic(&api);
    let planned = planning::what_if(Some(&committed.plan), &inputs, &assume, unix_ms())
        .filter(|_| refused.is_none());
    let before = plans::planned_regions(&api.config, &committed.plan);
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
        regions: plans::planned_regions(&api.config, plan),
        before,
    }))
}
