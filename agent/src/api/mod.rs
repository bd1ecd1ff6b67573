//! The agent's HTTP face: state of the mesh for people and programs, metrics, probes, and changes of models.
//!
//! Everything that is read comes from the snapshots; what changes state needs the bearer token and is written to the log.
//! [`ROUTES`] is the one list of what there is: the router and the OpenAPI document are both made from it.

pub mod access;
pub mod models;
pub mod openapi;
pub mod probes;
pub mod reply;
pub mod status;
pub mod types;

use crate::{
    actors::messages::ReplicatorMessage,
    address::Address,
    config::Config,
    replication::{clock::HybridClock, publish::Publisher},
    snapshots::Snapshots,
    store::models::ModelStore,
    supervisor::Health,
};
use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, Path, Request, State, connect_info::ConnectInfo},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{MethodRouter, get, post},
};
use http::StatusCode;
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use prometheus::Registry;
use reply::ApiError;
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{net::TcpListener, sync::Semaphore};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt;

/// Largest JSON body, bytes; files have no limit but the length that they declare.
const BODY_LIMIT: usize = 1 << 20;
/// Connections at once; more wait to be accepted.
const CONNECTIONS: usize = 512;
/// How long a client may take to send a request's head.
const HEAD_DEADLINE: Duration = Duration::from_secs(10);

/// What the API is made of. Cheap to clone.
#[derive(Clone)]
pub struct Api {
    /// The agent's configuration.
    pub config: Arc<Config>,
    /// What is shown.
    pub snapshots: Snapshots,
    /// All metrics.
    pub registry: Registry,
    /// How the actors do.
    pub health: Health,
    /// The region's models.
    pub store: Arc<ModelStore>,
    /// Takes in new versions.
    pub publisher: Publisher,
    /// The agent's clock.
    pub clock: HybridClock,
    /// Is told when the store changed.
    pub replicator: Address<ReplicatorMessage>,
    /// True once the agent was told to stop: not ready any more.
    pub draining: tokio::sync::watch::Receiver<bool>,
}

/// One route: its path, method, what it does, whether it needs the token, and its handler.
pub struct Route {
    /// Path with `{parameters}`.
    pub path: &'static str,
    /// `get` or `post`.
    pub method: &'static str,
    /// One sentence.
    pub summary: &'static str,
    /// Whether it changes state.
    pub needs_token: bool,
    handler: fn() -> MethodRouter<Api>,
}

const fn read(path: &'static str, summary: &'static str, handler: fn() -> MethodRouter<Api>) -> Route {
    Route { path, method: "get", summary, needs_token: false, handler }
}

const fn change(path: &'static str, summary: &'static str, handler: fn() -> MethodRouter<Api>) -> Route {
    Route { path, method: "post", summary, needs_token: true, handler }
}

/// Every route.
pub const ROUTES: &[Route] = &[
    read("/", "What this is and where to look", || get(index)),
    read("/metrics", "Prometheus metrics", || get(probes::metrics)),
    read("/healthz", "200 while every actor runs", || get(probes::healthz)),
    read("/readyz", "200 once the agent can answer for the mesh", || get(probes::readyz)),
    read("/verdict/{region}", "200 unless the region is failed or draining", || get(probes::verdict)),
    read("/v1/openapi.json", "This document", || get(openapi::document)),
    read("/v1/status", "The whole mesh", || get(whole_status)),
    read("/v1/regions", "Every region", || get(regions)),
    read("/v1/plan", "The committed plan", || get(plan)),
    read("/v1/models", "Every model, its versions and aliases, and where they are", || get(all_models)),
    read("/v1/models/{model}", "One model", || get(one_model)),
    read("/v1/models/{model}/versions/{version}", "One version with its files", || get(models::show)),
    change("/v1/models/{model}/versions/{version}/uploads", "Begin to publish a version", || post(models::begin)),
    change("/v1/uploads/{upload}/files", "Add a file; its path in the query, its bytes as the body", || {
        post(models::add_file).layer(DefaultBodyLimit::disable())
    }),
    change("/v1/uploads/{upload}/commit", "Make the version visible", || post(models::commit)),
    change("/v1/uploads/{upload}/abort", "Drop an upload", || post(models::abort)),
    change("/v1/models/{model}/versions/{version}/delete", "Delete a version everywhere", || post(models::delete)),
    change("/v1/models/{model}/versions/{version}/promote", "Name a version by an alias", || post(models::promote)),
    change("/v1/models/{model}/versions/{version}/verify", "Read every byte in this region again and compare", || {
        post(models::verify)
    }),
];

/// The routes as a service.
pub fn router(api: Api) -> Router {
    ROUTES
        .iter()
        .fold(Router::new(), |router, route| router.route(route.path, (route.handler)()))
        .fallback(|| async { ApiError::not_found("there is nothing at this path", "see /v1/openapi.json") })
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .layer(middleware::from_fn(refusals_as_json))
        .with_state(api)
}

/// Refusals that axum makes itself (wrong method, body too large, bad query) get the body of all errors.
async fn refusals_as_json(request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    let is_json = response
        .headers()
        .get(http::header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"application/json"));
    let status = response.status();
    let is_plain =
        response.headers().get(http::header::CONTENT_TYPE).is_none_or(|v| v.as_bytes().starts_with(b"text/plain"));
    if !status.is_client_error() || is_json || !is_plain {
        return response;
    }
    let text = axum::body::to_bytes(response.into_body(), 4_096).await.unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let error = if text.is_empty() { status.canonical_reason().unwrap_or("refused") } else { &text };
    ApiError::new(status, error, "").into_response()
}

/// Serves until `stop`.
pub async fn run(api: Api, listener: TcpListener, stop: CancellationToken) -> Result<(), String> {
    let (router, places, requests) = (router(api), Arc::new(Semaphore::new(CONNECTIONS)), TaskTracker::new());
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return Ok(()) };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        let (stream, from) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, or a client that left: neither ends the server.
                tracing::warn!(%error, "the API could not accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let (router, stop) = (router.clone(), stop.clone());
        requests.spawn(async move {
            let service = router.map_request(move |mut request: http::Request<hyper::body::Incoming>| {
                request.extensions_mut().insert(ConnectInfo::<SocketAddr>(from));
                request
            });
            let mut http = hyper::server::conn::http1::Builder::new();
            http.timer(hyper_util::rt::TokioTimer::new()).header_read_timeout(HEAD_DEADLINE);
            let connection = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
            let mut connection = std::pin::pin!(connection);
            tokio::select! {
                _ = connection.as_mut() => {}
                () = stop.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    let _ = tokio::time::timeout(Duration::from_secs(2), connection).await;
                }
            }
            drop(place);
        });
    }
    requests.close();
    requests.wait().await;
    Ok(())
}

async fn index(State(api): State<Api>) -> String {
    let mut text = format!("RegionMesh {} — agent {} of mesh {}\n\n", crate::VERSION, api.config.id(), api.config.mesh);
    for route in ROUTES {
        text += &format!("{:4} {:52} {}\n", route.method.to_uppercase(), route.path, route.summary);
    }
    text
}

async fn whole_status(State(api): State<Api>) -> Json<types::Status> {
    Json(status::status(&api.config, &api.snapshots))
}

async fn regions(State(api): State<Api>) -> Json<types::Regions> {
    Json(types::Regions { regions: status::regions(&api.config, &api.snapshots) })
}

async fn plan(State(api): State<Api>) -> Result<Response, ApiError> {
    let plan = api.snapshots.plan.borrow().clone();
    let missing = || {
        let hint = "a plan is committed as soon as a majority of regions can be reached; see /v1/status";
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "no plan is committed yet", hint)
    };
    Ok(Json(&*plan.ok_or_else(missing)?).into_response())
}

async fn all_models(State(api): State<Api>) -> Json<types::Models> {
    Json(types::Models { models: status::models(&api.config, &api.snapshots) })
}

async fn one_model(State(api): State<Api>, Path(model): Path<String>) -> Result<Json<types::ModelStatus>, ApiError> {
    status::models(&api.config, &api.snapshots)
        .into_iter()
        .find(|known| known.model == model)
        .map(Json)
        .ok_or_else(|| ApiError::not_found(format!("no region is known to hold model {model:?}"), "see /v1/models"))
}
