//! Every route of the API, with the two handlers that list them.

use super::{
    cost::{self, bills},
    events, failover, members, mesh,
    models::{self, promotion, uploads},
    openapi, probes,
    route::{Answer, BodyKind, Route, change, read},
    state::Api,
};
use axum::{
    Json,
    extract::{DefaultBodyLimit, State},
    routing::{get, post},
};
use serde_json::Value;

/// Statuses of the errors of a cost query.
const COST_ERRORS: &[u16] = &[400, 409, 500];
/// Statuses of the errors of an order.
const ORDER_ERRORS: &[u16] = &[400, 404, 409, 500, 504];

/// Every route; the index lists them in this order.
pub(crate) const ROUTES: &[Route] = {
    use Answer::{Created, Formats, Json, Probe, Stream, Text};

    &[
        read("/", "The agent and its routes", Text, &[], || get(index)),
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
            || get(document),
        ),
        read("/v1/status", "The whole mesh", Json("Status"), &[], || {
            get(mesh::status)
        }),
        read("/v1/regions", "Every region", Json("Regions"), &[], || {
            get(mesh::regions)
        }),
        read(
            "/v1/plan",
            "The committed plan",
            Json("Plan"),
            &[503],
            || get(mesh::plan),
        ),
        read(
            "/v1/failover/status",
            "The plan, its overrides and guards",
            Json("FailoverStatus"),
            &[],
            || get(failover::status),
        ),
        read(
            "/v1/failover/history",
            "The committed plans that this agent saw",
            Json("FailoverHistory"),
            &[500],
            || get(failover::history),
        ),
        read(
            "/v1/failover/explain/{region}",
            "What each observer saw of a region, and why it has its traffic state",
            Json("RegionExplanation"),
            &[400, 404, 500],
            || get(failover::explanation),
        ),
        change(
            "/v1/failover/what-if",
            "The plan that would be made under these verdicts; changes nothing",
            BodyKind::Json("Assumptions"),
            Json("WhatIf"),
            &[400, 404],
            || post(failover::what_if),
        ),
        change(
            "/v1/failover/drain",
            "Drain a region: move its traffic away for a limited time",
            BodyKind::Json("RegionOrderBody"),
            Json("OrderDone"),
            ORDER_ERRORS,
            || post(failover::drain),
        ),
        change(
            "/v1/failover/hold",
            "Pause automatic failover for a region or the whole mesh",
            BodyKind::Json("OrderBody"),
            Json("OrderDone"),
            ORDER_ERRORS,
            || post(failover::hold),
        ),
        change(
            "/v1/failover/promote",
            "Give a region all traffic for a limited time; a region that is out first passes \
                cool-down and ramp",
            BodyKind::Json("RegionOrderBody"),
            Json("OrderDone"),
            ORDER_ERRORS,
            || post(failover::promote),
        ),
        change(
            "/v1/failover/restore",
            "Cancel an order; a drained region returns through cool-down and ramp",
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
            "Let a region, or the witness, vote in the register; a region gets traffic through \
                cool-down and ramp",
            BodyKind::Json("MemberBody"),
            Json("OrderDone"),
            ORDER_ERRORS,
            || post(members::add),
        ),
        change(
            "/v1/failover/members/remove",
            "Remove a region, or the witness, from the register and from traffic; it need not be \
                reachable",
            BodyKind::Json("MemberBody"),
            Json("OrderDone"),
            ORDER_ERRORS,
            || post(members::remove),
        ),
        change(
            "/v1/failover/members/rename",
            "Rename a region; it keeps its acceptor, share and orders",
            BodyKind::Json("NewNameBody"),
            Json("OrderDone"),
            ORDER_ERRORS,
            || post(members::rename),
        ),
        read(
            "/v1/events",
            "Recent events that this agent detected",
            Json("EventList"),
            &[400],
            || get(events::list),
        )
        .with_query(events::LIST_QUERY),
        read(
            "/v1/events/stream",
            "New events as server-sent events; Last-Event-ID or since resumes",
            Stream("Event"),
            &[400, 503],
            || get(events::stream),
        )
        .with_query(events::STREAM_QUERY),
        read(
            "/v1/alerts",
            "Active alerts, and on request recently ended ones",
            Json("AlertList"),
            &[400],
            || get(events::alerts),
        )
        .with_query(events::ALERTS_QUERY),
        read(
            "/v1/cost/report",
            "Spending within a span of days",
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
            "Cost of egress",
            Formats("CostEgress"),
            COST_ERRORS,
            || get(cost::egress),
        )
        .with_query(cost::SPAN_QUERY),
        read(
            "/v1/cost/forecast",
            "Forecast of the month's spending",
            Formats("CostForecast"),
            COST_ERRORS,
            || get(cost::forecast),
        )
        .with_query(cost::FORECAST_QUERY),
        read(
            "/v1/cost/anomalies",
            "Unusual spending",
            Formats("CostAnomalies"),
            COST_ERRORS,
            || get(cost::anomalies),
        )
        .with_query(cost::FORMAT_QUERY),
        read(
            "/v1/cost/budgets",
            "Use of the budgets",
            Formats("CostBudgets"),
            COST_ERRORS,
            || get(cost::budgets),
        )
        .with_query(cost::FORMAT_QUERY),
        read(
            "/v1/cost/sources",
            "The sources of bills, and what runs",
            Formats("CostSources"),
            COST_ERRORS,
            || get(cost::sources),
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
            "Recommendations that reduce cost",
            Formats("CostRecommendations"),
            COST_ERRORS,
            || get(cost::recommendations),
        )
        .with_query(cost::RECOMMENDATIONS_QUERY),
        change(
            "/v1/cost/import",
            "Import bills (FOCUS); they replace what a source had for a month",
            BodyKind::Form,
            Json("CostImport"),
            &[400, 408, 413, 415, 422, 507],
            || post(bills::import).layer(DefaultBodyLimit::disable()),
        )
        .with_query(bills::IMPORT_QUERY),
        change(
            "/v1/cost/prices",
            "Add prices; each is valid from its day on",
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
            || get(models::list),
        ),
        read(
            "/v1/models/{model}",
            "One model",
            Json("Model"),
            &[400, 404],
            || get(models::model),
        ),
        read(
            "/v1/models/{model}/versions/{version}",
            "One version and its files, as this region holds it",
            Json("VersionDetail"),
            &[400, 404, 503],
            || get(models::version),
        ),
        change(
            "/v1/models/{model}/versions/{version}/uploads",
            "Start publishing a version",
            BodyKind::Json("BeginUpload"),
            Created("UploadBegun"),
            &[400, 409, 507],
            || post(uploads::begin),
        )
        .with_path_kinds(&[("version", "new-version")]),
        change(
            "/v1/uploads/{upload}/files",
            "Add a file; its path in the query, its bytes as the body",
            BodyKind::File,
            Created("File"),
            &[400, 404, 408, 409, 411, 413, 507],
            || post(uploads::add_file).layer(DefaultBodyLimit::disable()),
        ),
        change(
            "/v1/uploads/{upload}/commit",
            "Make the version visible; the upload ends in any case",
            BodyKind::None,
            Json("Version"),
            &[400, 404, 409, 507],
            || post(uploads::commit),
        ),
        read(
            "/v1/uploads",
            "The open uploads of this agent",
            Json("Uploads"),
            &[],
            || get(uploads::list),
        ),
        change(
            "/v1/uploads/{upload}/abort",
            "Abort an upload",
            BodyKind::None,
            Json("Done"),
            &[400, 404],
            || post(uploads::abort),
        ),
        change(
            "/v1/models/{model}/versions/{version}/delete",
            "Delete a version everywhere",
            BodyKind::None,
            Json("Done"),
            &[400, 404, 409],
            || post(models::delete),
        )
        .with_query(&[(
            "force",
            "boolean",
            "Delete even if an alias names the version",
        )]),
        change(
            "/v1/models/{model}/versions/{version}/promote",
            "Name a version by an alias, once a majority of regions can serve it",
            BodyKind::Json("Promote"),
            Json("Promoted"),
            &[400, 404, 409],
            || post(promotion::promote),
        ),
        change(
            "/v1/models/{model}/versions/{version}/retry",
            "Have this agent reload a version that is quarantined or failed to load",
            BodyKind::None,
            Json("Done"),
            &[400, 404, 409],
            || post(models::retry),
        ),
        change(
            "/v1/models/{model}/versions/{version}/verify",
            "Re-read every byte of a version in this region and verify its digest",
            BodyKind::None,
            Json("Version"),
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
