//! `/v1/status`, `/v1/regions` and `/v1/plan`: the state of the whole mesh.

use super::{reply::ApiError, state::Api, status};
use axum::{Json, extract::State};
use regionmesh_client::{PlanDetail, Regions, Status};

/// `GET /v1/status`
pub(crate) async fn status(State(api): State<Api>) -> Json<Status> {
    Json(status::status(&api.config, &api.snapshots))
}

/// `GET /v1/regions`
pub(crate) async fn regions(State(api): State<Api>) -> Json<Regions> {
    let committed = api.snapshots.plan_by_own_clock();
    let plan = committed.as_ref().map(|committed| &committed.plan);

    Json(Regions {
        regions: status::regions::regions(&api.config, &api.snapshots, plan),
    })
}

/// `GET /v1/plan`
pub(crate) async fn plan(State(api): State<Api>) -> Result<Json<PlanDetail>, ApiError> {
    status::plans::plan(&api.config, &api.snapshots)
        .map(Json)
        .ok_or_else(ApiError::no_plan)
}
