//! The Open Inference Protocol V2 over HTTP/REST: `specification/protocol/inference_rest.md` of
//! <https://github.com/kserve/open-inference-protocol>, and Triton's model repository index.
//!
//! Every answer names the region in `x-regionmesh-region`, so that a client can see where a
//! failover sent it.

mod answer;
mod infer;
mod service;

pub(crate) use infer::computing_max;
pub(crate) use service::{REGION_HEADER, Service};

use crate::{
    refusal::{Refusal, quoted},
    tensors::TensorSpec,
};
use axum::{
    Json, Router,
    extract::{Path, Request, State},
    middleware,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http::{HeaderValue, StatusCode};
use infer::infer;
use regionmesh_protocol::status::servability::Outcome;
use serde::Serialize;
use serde_json::{Value, json};
use service::Target;

/// All routes.
pub(crate) fn router(service: Service) -> Router {
    let model = get(model_metadata);
    let model_ready = get(model_ready);
    let infer = post(infer);
    let index = get(repository_index).post(repository_index);

    // The name was checked to be a DNS label when it was parsed, hence the fallback is never used.
    let region =
        HeaderValue::from_str(service.region.as_str()).unwrap_or(HeaderValue::from_static("-"));
    Router::new()
        .route("/v2", get(server_metadata))
        .route("/v2/health/live", get(live))
        .route("/v2/health/ready", get(ready))
        .route("/v2/repository/index", index)
        .route("/v2/models/{model}", model.clone())
        .route("/v2/models/{model}/versions/{version}", model)
        .route("/v2/models/{model}/ready", model_ready.clone())
        .route("/v2/models/{model}/versions/{version}/ready", model_ready)
        .route("/v2/models/{model}/infer", infer.clone())
        .route("/v2/models/{model}/versions/{version}/infer", infer)
        .fallback(unknown_path)
        .method_not_allowed_fallback(wrong_method)
        .with_state(service)
        .layer(middleware::map_response(move |mut response: Response| {
            response.headers_mut().insert(REGION_HEADER, region.clone());
            std::future::ready(response)
        }))
}

async fn unknown_path(request: Request) -> Refusal {
    let path = quoted(request.uri().path());
    Refusal::not_found(format!(
        "no such path: {path}; the Open Inference Protocol's begin with /v2"
    ))
}

async fn wrong_method(request: Request) -> Refusal {
    let message = format!(
        "{} is not allowed for {}",
        request.method(),
        quoted(request.uri().path())
    );

    Refusal::new(StatusCode::METHOD_NOT_ALLOWED, message)
}

async fn server_metadata() -> Json<Value> {
    let extensions = ["model_repository(index)"];
    Json(json!({
        "name": "regionmesh",
        "version": env!("CARGO_PKG_VERSION"),
        "extensions": extensions,
    }))
}

async fn live() -> Json<Value> {
    Json(json!({"live": true}))
}

async fn ready(State(service): State<Service>) -> Result<Json<Value>, Refusal> {
    if *service.draining.borrow() {
        return Err(Refusal::unavailable("the region is draining"));
    }

    let faults = service.version_registry.view().faults();
    if !faults.is_empty() {
        return Err(Refusal::unavailable(faults.join("; ")));
    }
    service.version_registry.probed();
    Ok(Json(json!({"ready": true})))
}

async fn repository_index(State(service): State<Service>) -> Json<Value> {
    let view = service.version_registry.view();
    let entries = view.models.iter().flat_map(|(name, model)| {
        let service = &service;
        model.held.versions.iter().map(move |(version, content)| {
            let is_default = model
                .default
                .as_ref()
                .is_some_and(|loaded| loaded.version == *version && loaded.content == *content);
            let failure = model.failure.as_ref().filter(|_| {
                model
                    .wanted
                    .as_ref()
                    .is_some_and(|(wanted, _)| wanted == version)
            });

            let outcome =
                service
                    .version_registry
                    .outcome(&(name.clone(), version.clone(), *content));
            let (state, reason) = match (is_default, failure, outcome) {
                (true, ..) => ("READY", String::new()),
                (false, Some(reason), _) => ("UNAVAILABLE", reason.clone()),
                (false, None, Some(Outcome::Unservable { reason, .. })) => ("UNAVAILABLE", reason),
                (false, None, _) => ("UNAVAILABLE", "loaded when asked for".into()),
            };

            json!({"name": name, "version": version, "state": state, "reason": reason})
        })
    });

    Json(entries.collect())
}

/// "Model Metadata Response JSON Object".
#[derive(Serialize)]
struct ModelMetadata<'a> {
    name: &'a str,
    versions: Vec<String>,
    platform: &'static str,
    inputs: &'a [TensorSpec],
    outputs: &'a [TensorSpec],
}

async fn model_metadata(
    State(service): State<Service>,
    Path(target): Path<Target>,
) -> Result<Response, Refusal> {
    let loaded = service
        .version_registry
        .resolve(&target.model, target.version.as_deref())
        .await?;
    let view = service.version_registry.view();
    let versions = match (&target.version, view.models.get(&loaded.model)) {
        (None, Some(model)) => model
            .held
            .versions
            .keys()
            .map(ToString::to_string)
            .collect(),
        _ => vec![loaded.version.to_string()],
    };

    let inputs = loaded.engine.inputs();
    let outputs = loaded.engine.outputs();
    let metadata = ModelMetadata {
        name: loaded.model.as_str(),
        versions,
        platform: "onnx_tract",
        inputs,
        outputs,
    };

    Ok(Json(metadata).into_response())
}

async fn model_ready(
    State(service): State<Service>,
    Path(target): Path<Target>,
) -> Result<Json<Value>, Refusal> {
    let loaded = service
        .version_registry
        .resolve(&target.model, target.version.as_deref())
        .await?;

    Ok(Json(
        json!({"name": loaded.model, "version": loaded.version, "ready": true}),
    ))
}
