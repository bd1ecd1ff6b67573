//! What monitors ask: metrics, liveness, readiness, and the verdict on a region.

use super::{Api, reply::ApiError};
use crate::supervisor::ChildHealth;
use axum::{
    Json,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use http::{StatusCode, header};
use regionmesh_protocol::{
    identity::RegionName,
    status::{StatusKind, condition::Condition, problem::ProblemKind},
};
use serde_json::json;
use std::time::Duration;

/// An actor that ended this often without ever running for a minute is not being restarted but
/// broken.
const FAILURES_TOLERATED: u32 = 3;
/// How long an actor may be down: its first restarts come within a second.
const DOWN_TOLERATED: Duration = Duration::from_secs(5);

/// `GET /metrics`
pub async fn metrics(State(api): State<Api>) -> Result<Response, ApiError> {
    let text = regionmesh_runtime::metrics::render(&api.registry)
        .map_err(|error| ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string(), ""))?;
    Ok((
        [(
            header::CONTENT_TYPE,
            "text/plain; version=0.0.4; charset=utf-8",
        )],
        text,
    )
        .into_response())
}

/// `GET /healthz`: whether restarting the process would help. An actor between two lives is no
/// reason.
pub async fn healthz(State(api): State<Api>) -> Response {
    let actors = api.health.borrow().clone();
    let is_well = actors.values().all(is_well);
    let actors: serde_json::Map<_, _> = actors
        .iter()
        .map(|(name, actor)| {
            let state = json!({
                "running": actor.is_running,
                "restarts": actor.restarts,
                "last_error": actor.last_error,
            });

            ((*name).to_owned(), state)
        })
        .collect();

    answer(is_well, json!({ "healthy": is_well, "actors": actors }))
}

/// Whether an actor runs, or is between two lives.
fn is_well(actor: &ChildHealth) -> bool {
    let is_briefly_down = actor
        .down_since
        .is_some_and(|since| since.elapsed() < DOWN_TOLERATED);
    actor.is_running || (is_briefly_down && actor.failures_in_a_row <= FAILURES_TOLERATED)
}

/// What is wrong with the region's store, if anything. It makes no agent unready: DNS, the plan and
/// loaded models don't need the store, and all agents of the region would leave service at once.
fn store_outage(api: &Api) -> Option<String> {
    let region = api.config.region.as_str();
    let problems = api.snapshots.problems.active().into_iter();
    let outage = problems.filter(|problem| problem.kind == ProblemKind::StoreUnavailable);
    let outage = outage
        .filter(|problem| problem.subject == region)
        .max_by_key(|problem| problem.since_ms)?;
    let seconds = regionmesh_runtime::time::unix_ms().saturating_sub(outage.since_ms) / 1_000;

    Some(format!("unavailable for {seconds} s: {}", outage.detail))
}

/// `GET /readyz`: whether the agent can answer for the mesh.
pub async fn readyz(State(api): State<Api>) -> Response {
    let id = api.config.id();
    let board = api.snapshots.board.borrow().clone();
    let own = |kind| {
        board
            .agents
            .get(&id)
            .is_some_and(|view| view.status_entries.contains_key(&kind))
    };

    let down: Vec<_> = api
        .health
        .borrow()
        .iter()
        .filter(|(_, actor)| !actor.is_running)
        .map(|(name, _)| *name)
        .collect();

    let checks = [
        (
            "actors",
            down.is_empty(),
            format!("being restarted: {}", down.join(", ")),
        ),
        (
            "gossip",
            own(StatusKind::Certificate),
            "this agent has not told the mesh of itself yet".into(),
        ),
        (
            "plan",
            api.snapshots.plan.borrow().is_some(),
            "no plan is known; that needs a majority of regions".into(),
        ),
        (
            "mesh",
            *api.snapshots.is_current.borrow(),
            "no other region has been heard yet; it goes on alone in 3 s".into(),
        ),
        (
            "store",
            own(StatusKind::Holdings),
            "the region's store has not been read yet".into(),
        ),
        (
            "catalogues",
            *api.snapshots.has_catalogues.borrow(),
            "it is not known yet what the other regions hold, so that models may be missing here"
                .into(),
        ),
        (
            "stopping",
            !*api.draining.borrow(),
            "the agent was told to stop".into(),
        ),
    ];

    let is_ready = checks.iter().all(|(_, holds, _)| *holds);
    let mut checks: serde_json::Map<_, _> = checks
        .into_iter()
        .map(|(name, holds, otherwise)| {
            (
                name.to_owned(),
                json!(if holds { "ok".into() } else { otherwise }),
            )
        })
        .collect();

    // No reason to send anybody away: this agent's DNS goes on answering, and the others may be
    // gone.
    if let Some(freeze) = api.snapshots.freeze.borrow().as_ref() {
        let since = regionmesh_runtime::time::rfc3339(freeze.since_ms);
        checks.insert(
            "plan".into(),
            json!(format!("plan frozen since {since}: {}", freeze.detail)),
        );
    }

    if let Some(outage) = store_outage(&api) {
        checks.insert("store".into(), json!(outage));
    }
    answer(is_ready, json!({ "ready": is_ready, "checks": checks }))
}

/// `GET /verdict/{region}`: what health checkers outside the mesh (Route53's, a load balancer's)
/// poll.
pub async fn verdict(
    State(api): State<Api>,
    Path(region): Path<String>,
) -> Result<Response, ApiError> {
    let name: RegionName = region
        .parse()
        .map_err(|error| ApiError::bad(format!("{error}")))?;
    if api.config.region(&name).is_none() {
        return Err(ApiError::not_found(
            format!("there is no region {name} in this mesh"),
            "see `regionmesh status`",
        ));
    }

    let verdict = api.snapshots.verdicts.borrow().get(&name).cloned();
    let condition = verdict
        .as_ref()
        .map_or(Condition::Unknown, |verdict| verdict.condition);
    let takes_traffic = !matches!(condition, Condition::Failed | Condition::Draining);
    let reason = verdict.map(|verdict| verdict.reason).unwrap_or_default();

    Ok(answer(
        takes_traffic,
        json!({ "region": name, "verdict": condition, "reason": reason }),
    ))
}

fn answer(is_good: bool, body: serde_json::Value) -> Response {
    let status = if is_good {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };

    (status, Json(body)).into_response()
}
