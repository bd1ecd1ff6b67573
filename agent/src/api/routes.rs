//! Every route of the API, with the two handlers that list them.

use super::{
    cost::{self, bills},
    events,
    failover::{self, region_order},
    members, mesh,
    models::{self, promotion, uploads},
    openapi, probes,
    route::{Answer, BodyKind, Route, change, read, schema},
    state::Api,
};
use crate::cost::{answers, import::ImportSummary};
use axum::{
    Json,
    extract::{DefaultBodyLimit, State},
    routing::{get, post},
};
use regionmesh_client as client;
use regionmesh_protocol::schema::new_version;
use serde_json::Value;

/// Statuses of the errors of a cost query.
const COST_ERRORS: &[u16] = &[400, 409, 500];
/// Statuses of the errors of an order.
const ORDER_ERRORS: &[u16] = &[400, 404, 409, 500, 504];

/// Every route; the index lists them in this order.
pub const ROUTES: &[Route] = {
    use Answer::{Created, Formats, Json, Probe, Stream, Text};

    &[
        read("/", "The agent and its routes", Text, &[], || get(index)),
        read("/metrics", "Prometheus metrics", Text, &[500], || {
            get(probes::metrics)
        }),
        read(
            "/healthz",
            "200 while every actor runs",
            Probe(schema::<client::Healthz>),
            &[],
            || get(probes::healthz),
        ),
        read(
            "/readyz",
            "200 once the agent can answer for the mesh",
            Probe(schema::<client::Readyz>),
            &[],
            || get(probes::readyz),
        ),
        read(
            "/verdict/{region}",
            "200 unless the region is failed or draining",
            Probe(schema::<client::RegionProbe>),
            &[400, 404],
            || get(probes::verdict),
        ),
        read(
            "/v1/openapi.json",
            "This API as an OpenAPI document",
            Json(openapi::any_document),
            &[],
            || get(document),
        ),
        read(
            "/v1/status",
            "The whole mesh",
            Json(schema::<client::Status>),
            &[],
            || get(mesh::status),
        ),
        read(
            "/v1/regions",
            "Every region",
            Json(schema::<client::Regions>),
            &[],
            || get(mesh::regions),
        ),
        read(
            "/v1/plan",
            "The committed plan",
            Json(schema::<client::PlanDetail>),
            &[503],
            || get(mesh::plan),
        ),
        read(
            "/v1/failover/status",
            "The plan, its overrides and guards",
            Json(schema::<client::FailoverStatus>),
            &[],
            || get(failover::status),
        ),
        read(
            "/v1/failover/history",
            "The committed plans that this agent saw",
            Json(schema::<client::FailoverHistory>),
            &[500],
            || get(failover::history),
        ),
        read(
            "/v1/failover/explain/{region}",
            "What each observer saw of a region, and why it has its traffic state",
            Json(schema::<client::RegionExplanation>),
            &[400, 404, 500],
            || get(failover::explanation),
        ),
        change(
            "/v1/failover/what-if",
            "The plan that would be made under these verdicts; changes nothing",
            BodyKind::Json(schema::<client::Assumptions>),
            Json(schema::<client::WhatIf>),
            &[400, 404],
            || post(failover::what_if),
        ),
        change(
            "/v1/failover/drain",
            "Drain a region: move its traffic away for a limited time",
            BodyKind::Json(region_order),
            Json(schema::<client::OrderDone>),
            ORDER_ERRORS,
            || post(failover::drain),
        ),
        change(
            "/v1/failover/hold",
            "Pause automatic failover for a region or the whole mesh",
            BodyKind::Json(schema::<client::OrderBody>),
            Json(schema::<client::OrderDone>),
            ORDER_ERRORS,
            || post(failover::hold),
        ),
        change(
            "/v1/failover/promote",
            "Give a region all traffic for a limited time; a region that is out first passes \
                cool-down and ramp",
            BodyKind::Json(region_order),
            Json(schema::<client::OrderDone>),
            ORDER_ERRORS,
            || post(failover::promote),
        ),
        change(
            "/v1/failover/restore",
            "Cancel an order; a drained region returns through cool-down and ramp",
            BodyKind::Json(schema::<client::OrderBody>),
            Json(schema::<client::OrderDone>),
            ORDER_ERRORS,
            || post(failover::restore),
        ),
        read(
            "/v1/failover/members",
            "Who votes in the register and gets traffic",
            Json(schema::<client::MembersStatus>),
            &[],
            || get(members::list),
        ),
        change(
            "/v1/failover/members/add",
            "Let a region, or the witness, vote in the register; a region gets traffic through \
                cool-down and ramp",
            BodyKind::Json(schema::<client::MemberBody>),
            Json(schema::<client::OrderDone>),
            ORDER_ERRORS,
            || post(members::add),
        ),
        change(
            "/v1/failover/members/remove",
            "Remove a region, or the witness, from the register and from traffic; it need not be \
                reachable",
            BodyKind::Json(schema::<client::MemberBody>),
            Json(schema::<client::OrderDone>),
            ORDER_ERRORS,
            || post(members::remove),
        ),
        change(
            "/v1/failover/members/rename",
            "Rename a region; it keeps its acceptor, share and orders",
            BodyKind::Json(schema::<client::NewNameBody>),
            Json(schema::<client::OrderDone>),
            ORDER_ERRORS,
            || post(members::rename),
        ),
        read(
            "/v1/events",
            "Recent events that this agent detected",
            Json(schema::<client::EventList>),
            &[400],
            || get(events::list),
        )
        .with_query(events::LIST_QUERY),
        read(
            "/v1/events/stream",
            "New events as server-sent events; Last-Event-ID or since resumes",
            Stream(schema::<client::NumberedEvent>),
            &[400, 503],
            || get(events::stream),
        )
        .with_query(events::STREAM_QUERY),
        read(
            "/v1/alerts",
            "Active alerts, and on request recently ended ones",
            Json(schema::<client::AlertList>),
            &[400],
            || get(events::alerts),
        )
        .with_query(events::ALERTS_QUERY),
        read(
            "/v1/cost/report",
            "Spending within a span of days",
            Formats(schema::<regionmesh_cost::Report>),
            COST_ERRORS,
            || get(cost::report),
        )
        .with_query(cost::SPAN_QUERY),
        read(
            "/v1/cost/trends",
            "How spending changed",
            Formats(schema::<regionmesh_cost::Trends>),
            COST_ERRORS,
            || get(cost::trends),
        )
        .with_query(cost::TRENDS_QUERY),
        read(
            "/v1/cost/models",
            "What each model costs",
            Formats(schema::<regionmesh_cost::Allocation>),
            COST_ERRORS,
            || get(cost::models),
        )
        .with_query(cost::SPAN_QUERY),
        read(
            "/v1/cost/egress",
            "Cost of egress",
            Formats(schema::<answers::CostEgress>),
            COST_ERRORS,
            || get(cost::egress),
        )
        .with_query(cost::SPAN_QUERY),
        read(
            "/v1/cost/forecast",
            "Forecast of the month's spending",
            Formats(schema::<answers::CostForecast>),
            COST_ERRORS,
            || get(cost::forecast),
        )
        .with_query(cost::FORECAST_QUERY),
        read(
            "/v1/cost/anomalies",
            "Unusual spending",
            Formats(schema::<answers::CostAnomalies>),
            COST_ERRORS,
            || get(cost::anomalies),
        )
        .with_query(cost::FORMAT_QUERY),
        read(
            "/v1/cost/budgets",
            "Use of the budgets",
            Formats(schema::<answers::CostBudgets>),
            COST_ERRORS,
            || get(cost::budgets),
        )
        .with_query(cost::FORMAT_QUERY),
        read(
            "/v1/cost/sources",
            "The sources of bills, and what runs",
            Formats(schema::<answers::CostSources>),
            COST_ERRORS,
            || get(cost::sources),
        )
        .with_query(cost::FORMAT_QUERY),
        read(
            "/v1/cost/prices",
            "The prices of a day",
            Formats(schema::<answers::CostPrices>),
            COST_ERRORS,
            || get(cost::prices),
        )
        .with_query(cost::PRICES_QUERY),
        read(
            "/v1/cost/recommendations",
            "Recommendations that reduce cost",
            Formats(schema::<answers::CostRecommendations>),
            COST_ERRORS,
            || get(cost::recommendations),
        )
        .with_query(cost::RECOMMENDATIONS_QUERY),
        change(
            "/v1/cost/import",
            "Import bills (FOCUS); they replace what a source had for a month",
            BodyKind::Form,
            Json(schema::<ImportSummary>),
            &[400, 408, 413, 415, 422, 507],
            || post(bills::import).layer(DefaultBodyLimit::disable()),
        )
        .with_query(bills::IMPORT_QUERY),
        change(
            "/v1/cost/prices",
            "Add prices; each is valid from its day on",
            BodyKind::Json(schema::<client::PricesBody>),
            Json(schema::<client::PricesDone>),
            &[400, 409, 415, 507],
            || post(cost::add_prices),
        ),
        read(
            "/v1/models",
            "Every model, its versions and aliases, and where they are",
            Json(schema::<client::Models>),
            &[],
            || get(models::list),
        ),
        read(
            "/v1/models/{model}",
            "One model",
            Json(schema::<client::ModelStatus>),
            &[400, 404],
            || get(models::model),
        ),
        read(
            "/v1/models/{model}/versions/{version}",
            "One version and its files, as this region holds it",
            Json(schema::<client::VersionDetail>),
            &[400, 404, 503],
            || get(models::version),
        ),
        change(
            "/v1/models/{model}/versions/{version}/uploads",
            "Start publishing a version",
            BodyKind::Json(schema::<client::BeginUpload>),
            Created(schema::<client::UploadBegun>),
            &[400, 409, 507],
            || post(uploads::begin),
        )
        .with_path_schemas(&[("version", new_version)]),
        change(
            "/v1/uploads/{upload}/files",
            "Add a file; its path in the query, its bytes as the body",
            BodyKind::File,
            Created(schema::<client::FileStatus>),
            &[400, 404, 408, 409, 411, 413, 507],
            || post(uploads::add_file).layer(DefaultBodyLimit::disable()),
        ),
        change(
            "/v1/uploads/{upload}/commit",
            "Make the version visible; the upload ends in any case",
            BodyKind::None,
            Json(schema::<client::VersionBrief>),
            &[400, 404, 409, 507],
            || post(uploads::commit),
        ),
        read(
            "/v1/uploads",
            "The open uploads of this agent",
            Json(schema::<client::Uploads>),
            &[],
            || get(uploads::list),
        ),
        change(
            "/v1/uploads/{upload}/abort",
            "Abort an upload",
            BodyKind::None,
            Json(schema::<client::Done>),
            &[400, 404],
            || post(uploads::abort),
        ),
        change(
            "/v1/models/{model}/versions/{version}/delete",
            "Delete a version everywhere",
            BodyKind::None,
            Json(schema::<client::Done>),
            &[400, 404, 409],
            || post(models::delete),
        )
        .with_query(&[(
            "force",
            schema::<bool>,
            "Delete even if an alias names the version",
        )]),
        change(
            "/v1/models/{model}/versions/{version}/promote",
            "Name a version by an alias, once a majority of regions can serve it",
            BodyKind::Json(schema::<client::Promote>),
            Json(schema::<client::Promoted>),
            &[400, 404, 409],
            || post(promotion::promote),
        ),
        change(
            "/v1/models/{model}/versions/{version}/retry",
            "Have this agent reload a version that is quarantined or failed to load",
            BodyKind::None,
            Json(schema::<client::Done>),
            &[400, 404, 409],
            || post(models::retry),
        ),
        change(
            "/v1/models/{model}/versions/{version}/verify",
            "Re-read every byte of a version in this region and verify its digest",
            BodyKind::None,
            Json(schema::<client::VersionBrief>),
            &[400, 404, 422],
            || post(models::verify),
        ),
    ]
};

/// `GET /`
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

/// `GET /v1/openapi.json`
async fn document() -> Json<Value> {
    Json(describe_routes())
}

/// Not part of [`document`]: the type of its future would depend on that of `ROUTES`, and `ROUTES`
/// on it.
fn describe_routes() -> Value {
    openapi::build(ROUTES)
}
