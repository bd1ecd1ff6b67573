//! Routes for monitors: metrics, liveness, readiness, and the verdict on a region.

use super::{reply::ApiError, state::Api};
use crate::supervisor::ChildHealth;
use axum::{
    Json,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use http::{StatusCode, header};
use regionmesh_client::{ActorHealth, Healthz, Readyz, RegionProbe};
use regionmesh_protocol::{
    identity::RegionName,
    status::{StatusKind, condition::Condition, problem::ProblemKind},
};
use serde::Serialize;
use std::{collections::BTreeMap, time::Duration};

/// Failures in a row, without a minute of running between them, that an actor may have.
const FAILURES_TOLERATED: u32 = 3;
/// How long an actor may be down: it is first restarted within a second.
const DOWN_TOLERATED: Duration = Duration::from_secs(5);

/// `GET /metrics`
pub(crate) async fn metrics(State(api): State<Api>) -> Result<Response, ApiError> {
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

/// `GET /healthz`: unhealthy if restarting the process would help. An actor that is being restarted
/// is no reason.
pub(crate) async fn healthz(State(api): State<Api>) -> Response {
    let actors = api.health.borrow().clone();
    let healthy = actors.values().all(is_well);
    let health = |actor: &ChildHealth| ActorHealth {
        last_error: actor.last_error.clone(),
        restarts: actor.restarts,
        running: actor.is_running,
    };
    let actors = actors
        .iter()
        .map(|(name, actor)| ((*name).to_owned(), health(actor)))
        .collect();

    answer(healthy, Healthz { actors, healthy })
}

/// Whether an actor runs, or is being restarted.
fn is_well(actor: &ChildHealth) -> bool {
    let is_briefly_down = actor
        .down_since
        .is_some_and(|since| since.elapsed() < DOWN_TOLERATED);
    actor.is_running || (is_briefly_down && actor.failures_in_a_row <= FAILURES_TOLERATED)
}

/// The outage of the region's store, if there is one. It makes no agent unready: DNS, the plan and
/// loaded models don't need the store, and all agents of the region would become unready together.
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

/// A check of readiness: its name, whether it passes, and what is wrong if it does not.
type ReadinessCheck = (&'static str, bool, String);

fn readiness_checks(api: &Api) -> [ReadinessCheck; 7] {
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

    [
        (
            "actors",
            down.is_empty(),
            format!("being restarted: {}", down.join(", ")),
        ),
        (
            "gossip",
            own(StatusKind::Certificate),
            "this agent has not published its status to the mesh yet".into(),
        ),
        (
            "plan",
            api.snapshots.plan.borrow().is_some(),
            "no plan is known; that needs a majority of regions".into(),
        ),
        (
            "mesh",
            *api.snapshots.is_current.borrow(),
            "no other region reached yet; continuing alone after 3 s".into(),
        ),
        (
            "store",
            own(StatusKind::Holdings),
            "the region's store has not been read yet".into(),
        ),
        (
            "catalogues",
            *api.snapshots.has_catalogues.borrow(),
            "the other regions' catalogues are not known yet, so models may be missing here".into(),
        ),
        (
            "stopping",
            !*api.draining.borrow(),
            "the agent is shutting down".into(),
        ),
    ]
}

/// `GET /readyz`: whether the agent can answer for the mesh.
pub(crate) async fn readyz(State(api): State<Api>) -> Response {
    let checks = readiness_checks(&api);
    let ready = checks.iter().all(|(_, passes, _)| *passes);
    let mut checks: BTreeMap<String, String> = checks
        .into_iter()
        .map(|(name, passes, problem)| {
            let found = if passes { "ok".into() } else { problem };
            (name.to_owned(), found)
        })
        .collect();

    // A frozen plan leaves the agent ready: its DNS still answers, and the others may be gone.
    if let Some(freeze) = api.snapshots.freeze.borrow().as_ref() {
        let since = regionmesh_runtime::time::rfc3339(freeze.since_ms);
        checks.insert(
            "plan".into(),
            format!("plan frozen since {since}: {}", freeze.detail),
        );
    }

    if let Some(outage) = store_outage(&api) {
        checks.insert("store".into(), outage);
    }
    answer(ready, Readyz { checks, ready })
}

/// `GET /verdict/{region}`: what health checkers outside the mesh (Route53's, a load balancer's)
/// poll.
pub(crate) async fn verdict(
    State(api): State<Api>,
    Path(region): Path<String>,
) -> Result<Response, ApiError> {
    let name: RegionName = region
        .parse()
        .map_err(|error| ApiError::bad(format!("{error}")))?;
    if api.config.region(&name).is_none() {
        return Err(ApiError::unknown_region(&name));
    }

    let verdict = api.snapshots.verdicts.borrow().get(&name).cloned();
    let condition = verdict
        .as_ref()
        .map_or(Condition::Unknown, |verdict| verdict.condition);
    let takes_traffic = !matches!(condition, Condition::Failed | Condition::Draining);
    let reason = verdict.map(|verdict| verdict.reason).unwrap_or_default();

    Ok(answer(
        takes_traffic,
        RegionProbe {
            reason,
            region: name,
            verdict: condition,
        },
    ))
}

fn answer(is_good: bool, body: impl Serialize) -> Response {
    let status = if is_good {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };

    (status, Json(body)).into_response()
}
