//! The agent's HTTP API: state of the mesh, metrics, probes, orders, events, cost and models.
//!
//! Reads come from the snapshots. Changes need the bearer token and are written to the audit log.
//! [`ROUTES`] lists every route: the router, the OpenAPI document and the table of
//! docs/reference/http-api.md are made from it.

mod access;
#[cfg(test)]
pub(crate) mod conformance;
mod cost;
pub(crate) mod events;
mod failover;
mod host;
mod members;
mod mesh;
pub(crate) mod metrics;
mod models;
mod openapi;
mod orders;
mod parameters;
mod probes;
mod reply;
mod request;
mod route;
mod routes;
mod server;
mod state;
mod status;

#[cfg(test)]
mod tests;

pub use route::Route;
pub use routes::ROUTES;
pub(crate) use state::Api;

use access::Guarded;
use axum::{
    Extension, Router,
    extract::{MatchedPath, Request, State},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use host::{HostGuard, Hosts};
use http::header;
use reply::ApiError;

use server::Limits;
use std::{sync::Arc, time::Instant};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// The routes as a service.
fn router(api: Api, limits: Limits) -> Router {
    let hosts = HostGuard {
        hosts: Arc::new(Hosts::of(&api.config)),
        routes: ROUTES,
    };
    let add = |router: Router<Api>, route: &Route| {
        let mut handler = route.handler();
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

/// Gives refusals by axum (wrong method, bad query) the JSON body of every error.
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
pub(crate) async fn run(
    api: Api,
    listener: TcpListener,
    stop: CancellationToken,
) -> Result<(), String> {
    serve(api, listener, Limits::default(), stop).await
}

async fn serve(
    api: Api,
    listener: TcpListener,
    limits: Limits,
    stop: CancellationToken,
) -> Result<(), String> {
    let metrics = api.metrics.clone();
    server::serve(router(api, limits), &metrics, listener, limits, stop).await
}
