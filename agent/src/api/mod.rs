//! The agent's HTTP face: state of the mesh for people and programs, metrics, probes, and changes
//! of models.
//!
//! Everything that is read comes from the snapshots; what changes state needs the bearer token and
//! is written to the log. [`ROUTES`] is the one list of what there is: the router and the OpenAPI
//! document are both made from it.

pub mod access;
pub mod cost;
pub mod events;
pub mod failover;
mod host;
pub mod members;
pub mod metrics;
pub mod models;
pub mod openapi;
pub mod probes;
pub mod reply;
pub mod schemas;
pub mod server;
pub mod status;

#[cfg(test)]
mod tests;

use crate::{
    config::Config, cost::handler::CostHandler, failover::OrderHandler, snapshots::Snapshots,
    supervisor::Health,
};
use access::Guarded;
use axum::{
    Extension, Json, Router,
    extract::{DefaultBodyLimit, MatchedPath, Path, Request, State},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{MethodRouter, get, post},
};
use http::{StatusCode, header};
use metrics::ApiMetrics;
use prometheus::Registry;
use regionmesh_protocol::models::manifest::ModelName;
use regionmesh_replication::{HybridClock, Publisher};
use regionmesh_serving::Quarantine;
use regionmesh_store::ModelStore;
use reply::ApiError;
use server::Limits;
use std::{sync::Arc, time::Instant};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// What the API is made of. Cheap to clone.
#[derive(Clone)]
pub struct Api {
    /// The agent's configuration.
    pub config: Arc<Config>,
    /// The same with what was reloaded since the start.
    pub live: tokio::sync::watch::Receiver<Arc<Config>>,
    /// What is shown.
    pub snapshots: Snapshots,
    /// All metrics.
    pub registry: Registry,
    /// The API's own.
    pub metrics: ApiMetrics,
    /// How the actors do.
    pub health: Health,
    /// The region's models.
    pub store: Arc<ModelStore>,
    /// Takes in new versions.
    pub publisher: Publisher,
    /// The agent's clock.
    pub clock: HybridClock,
    /// Takes operators' orders to the leader.
    pub orders: OrderHandler,
    /// Bills, prices and the live plane.
    pub cost: CostHandler,
    /// Versions that took the process down; none where no embedded model server runs.
    pub quarantine: Option<Arc<Quarantine>>,
    /// Room for streams of events.
    pub streams: events::Streams,
    /// True once the agent was told to stop: not ready any more.
    pub draining: tokio::sync::watch::Receiver<bool>,
}

/// What a request brings with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyKind {
    /// Nothing.
    None,
    /// JSON of this schema.
    Json(&'static str),
    /// The bytes of a file.
    File,
    /// A form with files.
    Form,
}

/// What the answer is, if all is well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Text.
    Text,
    /// 200 with JSON of this schema.
    Json(&'static str),
    /// 200 with JSON of this schema, or in another format that was asked for.
    Formats(&'static str),
    /// 201 with JSON of this schema.
    Created(&'static str),
    /// 200 with an endless stream of events (text/event-stream), whose data is JSON of this schema.
    Stream(&'static str),
    /// 200 or 503, both with JSON of this schema: what a prober looks at is the status.
    Probe(&'static str),
}

/// A parameter of a query: its name, its kind (a rule of [`schemas`]), and its meaning.
pub type Parameter = (&'static str, &'static str, &'static str);

/// One route.
pub struct Route {
    /// Path with `{parameters}`.
    pub path: &'static str,
    /// `get` or `post`.
    pub method: &'static str,
    /// One sentence.
    pub summary: &'static str,
    /// What it takes.
    pub body: BodyKind,
    /// What it gives.
    pub answer: Answer,
    /// Statuses of its errors, beside those that every route may give.
    pub errors: &'static [u16],
    /// Whether it changes state, or costs so much that it needs the token as well.
    pub needs_token: bool,
    /// What may be asked for in the query.
    pub query: &'static [Parameter],
    /// The kinds of those parameters of the path that are of another kind than their names say.
    pub path_kinds: &'static [(&'static str, &'static str)],
    handler: fn() -> MethodRouter<Api>,
}

const fn read(
    path: &'static str,
    summary: &'static str,
    answer: Answer,
    errors: &'static [u16],
    handler: fn() -> MethodRouter<Api>,
) -> Route {
    Route {
        path,
        method: "get",
        summary,
        body: BodyKind::None,
        answer,
        errors,
        needs_token: false,
        query: &[],
        path_kinds: &[],
        handler,
    }
}

const fn change(
    path: &'static str,
    summary: &'static str,
    body: BodyKind,
    answer: Answer,
    errors: &'static [u16],
    handler: fn() -> MethodRouter<Api>,
) -> Route {
    Route {
        path,
        method: "post",
        summary,
        body,
        answer,
        errors,
        needs_token: true,
        query: &[],
        path_kinds: &[],
        handler,
    }
}

impl Route {
    const fn with_query(mut self, query: &'static [Parameter]) -> Self {
        self.query = query;
        self
    }

    const fn with_path_kinds(mut self, kinds: &'static [(&'static str, &'static str)]) -> Self {
        self.path_kinds = kinds;
        self
    }
}

/// Statuses of an order's errors.
/// What a question about money can end in.
const COST_ERRORS: &[u16] = &[400, 409, 500];
const ORDER_ERRORS: &[u16] = &[400, 404, 409, 500, 504];

/// Every route.
pub const ROUTES: &[Route] = {
    use Answer::{Created, Formats, Json, Probe, Stream, Text};

    &[
        read("/", "What this is and where to look", Text, &[], || {
            get(index)
        }),
        read("/metrics", "Prometheus metrics", Text, &[500], || {
            get(probes::metrics)
        }),
        read(
            "/healthz",
            "200 while every actor runs",
            Probe("Healthz"),
            &[],
            || get(probes::healthz),
        ),
        read(
            "/readyz",
            "200 once the agent can answer for the mesh",
            Probe("Readyz"),
            &[],
            || get(probes::readyz),
        ),
        read(
            "/verdict/{region}",
            "200 unless the region is failed or draining",
            Probe("Verdict"),
            &[400, 404],
            || get(probes::verdict),
        ),
        read(
            "/v1/openapi.json",
            "This document",
            Json("OpenApi"),
            &[],
            || get(openapi::document),
        ),
        read("/v1/status", "The whole mesh", Json("Status"), &[], || {
            get(whole_status)
        }),
        read("/v1/regions", "Every region", Json("Regions"), &[], || {
            get(regions)
        }),
        read(
            "/v1/plan",
            "The committed plan",
            Json("Plan"),
            &[503],
            || get(plan),
        ),
        read(
            "/v1/failover/status",
            "The plan, its overrides and guards",
            Json("FailoverStatus"),
            &[],
            || get(failover::show),
        ),
        read(
            "/v1/failover/history",
            "The committed plans that this agent saw",
            Json("FailoverHistory"),
            &[500],
            || get(failover::past),
        ),
        read(
            "/v1/failover/explain/{region}",
            "Who saw what of a region, and why it stands where it does",
            Json("RegionExplanation"),
            &[400, 404, 500],
            || get(failover::why),
        ),
        change(
            "/v1/failover/what-if",
            "The plan that would be made under these verdicts; changes nothing",
            BodyKind::Json("Assumptions"),
            Json("WhatIf"),
            &[400, 404],
            || post(failover::suppose),
        ),
        change(
            "/v1/failover/drain",
            "Give a region no traffic, for a time",
            BodyKind::Json("RegionOrderBody"),
            Json("OrderDone"),
            ORDER_ERRORS,
            || post(failover::drain),
        ),
        change(
            "/v1/failover/hold",
            "Let automation change nothing, for a region or the whole mesh, for a time",
            BodyKind::Json("OrderBody"),
            Json("OrderDone"),
            ORDER_ERRORS,
            || post(failover::hold),
        ),
        change(
            "/v1/failover/promote",
            "Give a region all traffic, for a time; one that is out comes back by cool-down and \
                ramp first",
            BodyKind::Json("RegionOrderBody"),
            Json("OrderDone"),
            ORDER_ERRORS,
            || post(failover::promote),
        ),
        change(
            "/v1/failover/restore",
            "Take an order back; what was drained comes back by gate and ramp",
            BodyKind::Json("OrderBody"),
            Json("OrderDone"),
            ORDER_ERRORS,
            || post(failover::restore),
        ),
        read(
            "/v1/failover/members",
            "Who votes in the register and gets traffic",
            Json("Members"),
            &[],
            || get(members::list),
        ),
        change(
            "/v1/failover/members/add",
            "Let a region, or the witness, vote in the register and come in by gate and ramp",
            BodyKind::Json("MemberBody"),
            Json("OrderDone"),
            ORDER_ERRORS,
            || post(members::add),
        ),
        change(
            "/v1/failover/members/remove",
            "Take a region, or the witness, out of the register and its traffic away; it need not \
                be reachable",
            BodyKind::Json("MemberBody"),
            Json("OrderDone"),
            ORDER_ERRORS,
            || post(members::remove),
        ),
        change(
            "/v1/failover/members/rename",
            "Give a region another name; its acceptor, share and orders stay",
            BodyKind::Json("NewNameBody"),
            Json("OrderDone"),
            ORDER_ERRORS,
            || post(members::rename),
        ),
        read(
            "/v1/events",
            "What happened, as this agent noticed it",
            Json("EventList"),
            &[400],
            || get(events::list),
        )
        .with_query(events::LIST_QUERY),
        read(
            "/v1/events/stream",
            "What happens, as it happens: server-sent events; Last-Event-ID or since resumes",
            Stream("Event"),
            &[400, 503],
            || get(events::stream),
        )
        .with_query(events::STREAM_QUERY),
        read(
            "/v1/alerts",
            "Active alerts, and recently ended ones if asked for",
            Json("AlertList"),
            &[400],
            || get(events::alerts),
        )
        .with_query(events::ALERTS_QUERY),
        read(
            "/v1/cost/report",
            "What was spent within some days",
            Formats("CostReport"),
            COST_ERRORS,
            || get(cost::report),
        )
        .with_query(cost::SPAN_QUERY),
        read(
            "/v1/cost/trends",
            "How spending changed",
            Formats("CostTrends"),
            COST_ERRORS,
            || get(cost::trends),
        )
        .with_query(cost::TRENDS_QUERY),
        read(
            "/v1/cost/models",
            "What each model costs",
            Formats("CostModels"),
            COST_ERRORS,
            || get(cost::models),
        )
        .with_query(cost::SPAN_QUERY),
        read(
            "/v1/cost/egress",
            "What bytes cost that left a region",
            Formats("CostEgress"),
            COST_ERRORS,
            || get(cost::egress),
        )
        .with_query(cost::SPAN_QUERY),
        read(
            "/v1/cost/forecast",
            "What the month is heading for",
            Formats("CostForecast"),
            COST_ERRORS,
            || get(cost::forecast),
        )
        .with_query(cost::FORECAST_QUERY),
        read(
            "/v1/cost/anomalies",
            "Spending that is not as usual",
            Formats("CostAnomalies"),
            COST_ERRORS,
            || get(cost::anomalies),
        )
        .with_query(cost::FORMAT_QUERY),
        read(
            "/v1/cost/budgets",
            "How far budgets are used up",
            Formats("CostBudgets"),
            COST_ERRORS,
            || get(cost::budgets),
        )
        .with_query(cost::FORMAT_QUERY),
        read(
            "/v1/cost/sources",
            "Whose bills are there, and what runs",
            Formats("CostSources"),
            COST_ERRORS,
            || get(cost::bills),
        )
        .with_query(cost::FORMAT_QUERY),
        read(
            "/v1/cost/prices",
            "The prices of a day",
            Formats("CostPrices"),
            COST_ERRORS,
            || get(cost::prices),
        )
        .with_query(cost::PRICES_QUERY),
        read(
            "/v1/cost/recommendations",
            "What would cost less",
            Formats("CostRecommendations"),
            COST_ERRORS,
            || get(cost::recommendations),
        )
        .with_query(cost::RECOMMENDATIONS_QUERY),
        change(
            "/v1/cost/import",
            "Take bills in (FOCUS); what a source had for a month is replaced",
            BodyKind::Form,
            Json("CostImport"),
            &[400, 408, 413, 415, 422, 507],
            || post(cost::import).layer(DefaultBodyLimit::disable()),
        )
        .with_query(cost::IMPORT_QUERY),
        change(
            "/v1/cost/prices",
            "Add prices; each holds from its day on",
            BodyKind::Json("CostPricesBody"),
            Json("CostPricesDone"),
            &[400, 409, 415, 507],
            || post(cost::add_prices),
        ),
        read(
            "/v1/models",
            "Every model, its versions and aliases, and where they are",
            Json("Models"),
            &[],
            || get(all_models),
        ),
        read(
            "/v1/models/{model}",
            "One model",
            Json("Model"),
            &[400, 404],
            || get(one_model),
        ),
        read(
            "/v1/models/{model}/versions/{version}",
            "One version with its files, as this region holds it",
            Json("VersionDetail"),
            &[400, 404, 503],
            || get(models::show),
        ),
        change(
            "/v1/models/{model}/versions/{version}/uploads",
            "Begin to publish a version",
            BodyKind::Json("BeginUpload"),
            Created("UploadBegun"),
            &[400, 409, 507],
            || post(models::begin),
        )
        .with_path_kinds(&[("version", "new-version")]),
        change(
            "/v1/uploads/{upload}/files",
            "Add a file; its path in the query, its bytes as the body",
            BodyKind::File,
            Created("File"),
            &[400, 404, 408, 409, 411, 413, 507],
            || post(models::add_file).layer(DefaultBodyLimit::disable()),
        ),
        change(
            "/v1/uploads/{upload}/commit",
            "Make the version visible; the upload ends, whatever comes out",
            BodyKind::None,
            Json("Version"),
            &[400, 404, 409, 507],
            || post(models::commit),
        ),
        read(
            "/v1/uploads",
            "The uploads that are open at this agent",
            Json("Uploads"),
            &[],
            || get(models::uploads),
        ),
        change(
            "/v1/uploads/{upload}/abort",
            "Drop an upload",
            BodyKind::None,
            Json("Done"),
            &[400, 404],
            || post(models::abort),
        ),
        change(
            "/v1/models/{model}/versions/{version}/delete",
            "Delete a version everywhere",
            BodyKind::None,
            Json("Done"),
            &[400, 404, 409],
            || post(models::delete),
        )
        .with_query(&[("force", "boolean", "Also a version that an alias names")]),
        change(
            "/v1/models/{model}/versions/{version}/promote",
            "Name a version by an alias, once a majority of regions can serve it",
            BodyKind::Json("Promote"),
            Json("Promoted"),
            &[400, 404, 409],
            || post(models::promote),
        ),
        change(
            "/v1/models/{model}/versions/{version}/retry",
            "Have this agent load a version again that is quarantined or could not be loaded",
            BodyKind::None,
            Json("Done"),
            &[400, 404, 409],
            || post(models::retry),
        ),
        change(
            "/v1/models/{model}/versions/{version}/verify",
            "Read every byte of a version in this region again and compare",
            BodyKind::None,
            Json("Version"),
            &[400, 404, 422],
            || post(models::verify),
        ),
    ]
};

/// The routes as a service.
pub fn router(api: Api, limits: Limits) -> Router {
    let hosts = Arc::new(host::Hosts::of(&api.config));
    let add = |router: Router<Api>, route: &Route| {
        let mut handler = (route.handler)();
        if route.needs_token {
            let guarded = Guarded {
                api: api.clone(),
                limits,
                body: route.body,
            };

            handler = handler.route_layer(middleware::from_fn_with_state(guarded, access::guard));
        }

        router.route(route.path, handler)
    };

    ROUTES
        .iter()
        .fold(Router::new(), add)
        .fallback(|| async {
            ApiError::not_found("there is nothing at this path", "see /v1/openapi.json")
        })
        .layer(Extension(limits))
        .layer(middleware::from_fn(refusals_as_json))
        .layer(middleware::from_fn_with_state(hosts, host::guard))
        .layer(middleware::from_fn_with_state(api.clone(), measure))
        .with_state(api)
}

/// Refusals that axum makes itself (wrong method, bad query) get the body of all errors.
async fn refusals_as_json(request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    let is_plain = response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_none_or(|value| value.as_bytes().starts_with(b"text/plain"));

    if !response.status().is_client_error() || !is_plain {
        return response;
    }

    let (head, body) = response.into_parts();
    let text = axum::body::to_bytes(body, 4_096).await.unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let error = if text.is_empty() {
        head.status.canonical_reason().unwrap_or("refused")
    } else {
        &text
    };
    let mut response = ApiError::new(head.status, error, reply::SEE_DOCUMENT).into_response();

    if let Some(allowed) = head.headers.get(header::ALLOW) {
        response
            .headers_mut()
            .insert(header::ALLOW, allowed.clone());
    }

    response
}

async fn measure(State(api): State<Api>, request: Request, next: Next) -> Response {
    let start = Instant::now();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let method = request.method().clone();
    let response = next.run(request).await;
    let route = route.as_ref().map_or("other", MatchedPath::as_str);

    api.metrics
        .answered(route, &method, response.status().as_u16(), start.elapsed());
    response
}

/// Serves until `stop`.
pub async fn run(api: Api, listener: TcpListener, stop: CancellationToken) -> Result<(), String> {
    server::serve(api, listener, Limits::default(), stop).await
}

async fn index(State(api): State<Api>) -> String {
    let mut text = format!(
        "RegionMesh {} — agent {} of mesh {}\n\n",
        crate::VERSION,
        api.config.id(),
        api.config.mesh
    );

    for route in ROUTES {
        text += &format!(
            "{:4} {:52} {}\n",
            route.method.to_uppercase(),
            route.path,
            route.summary
        );
    }

    text
}

async fn whole_status(State(api): State<Api>) -> Json<regionmesh_client::Status> {
    Json(status::status(&api.config, &api.snapshots))
}

async fn regions(State(api): State<Api>) -> Json<regionmesh_client::Regions> {
    let committed = api.snapshots.plan_by_own_clock();
    let plan = committed.as_ref().map(|committed| &committed.plan);
    Json(regionmesh_client::Regions {
        regions: status::regions(&api.config, &api.snapshots, plan),
    })
}

async fn plan(State(api): State<Api>) -> Result<Json<regionmesh_client::PlanDetail>, ApiError> {
    let missing = || {
        let hint = "a plan is committed as soon as a majority of regions can be reached; see \
            `regionmesh status`";
        ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "no plan is committed yet",
            hint,
        )
    };

    status::plan(&api.config, &api.snapshots)
        .map(Json)
        .ok_or_else(missing)
}

async fn all_models(State(api): State<Api>) -> Json<regionmesh_client::Models> {
    Json(regionmesh_client::Models {
        models: status::models(&api.config, &api.snapshots),
    })
}

async fn one_model(
    State(api): State<Api>,
    Path(model): Path<String>,
) -> Result<Json<regionmesh_client::ModelStatus>, ApiError> {
    let model: ModelName = models::name(&model)?;
    status::models(&api.config, &api.snapshots)
        .into_iter()
        .find(|known| known.model == model.as_str())
        .map(Json)
        .ok_or_else(|| {
            ApiError::not_found(
                format!("no region is known to hold a model {model}"),
                "see `regionmesh models list`",
            )
        })
}
