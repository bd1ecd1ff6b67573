//! The Open Inference Protocol V2 over HTTP/REST.
//!
//! <https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md>,
//! and Triton's model repository index. Every answer names the region in `x-regionmesh-region`, so
//! that a client can tell where a failover sent it.

use crate::{
    admission::Admission,
    engine::{EngineError, guarded},
    loader::VersionRegistry,
    loading::Loaded,
    metrics::ServingMetrics,
    refusal::{Refusal, quoted},
    request::InferRequest,
    tensors::{OutputTensor, TensorSpec, read_input},
    work::{self, Control},
};
use axum::{
    Json, Router,
    body::Body,
    extract::{Path, Request, State},
    middleware,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use regionmesh_protocol::{identity::RegionName, status::servability::Outcome};
use regionmesh_runtime::meter::Meter;
use serde::Serialize;
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::Ordering::SeqCst},
    time::{Duration, Instant},
};
use tokio::{
    sync::{Semaphore, watch},
    task::JoinHandle,
    time::timeout_at,
};

/// Most elements of an answer: each takes up to 25 bytes as JSON, which is made in memory.
const ANSWER_ELEMENTS_MAX: usize = 16 << 20;
/// Names the region that answered.
pub(crate) const REGION_HEADER: HeaderName = HeaderName::from_static("x-regionmesh-region");

/// What a request needs.
#[derive(Clone)]
pub(crate) struct Service {
    /// The models.
    pub(crate) version_registry: Arc<VersionRegistry>,
    /// The limits of what is received.
    pub(crate) admission: Arc<Admission>,
    /// Inferences of all models at once.
    pub(crate) computing: Arc<Semaphore>,
    /// From the whole request received to the answer.
    pub(crate) inference_timeout: Duration,
    /// True: not ready, while inference goes on.
    pub(crate) draining: watch::Receiver<bool>,
    /// The region.
    pub(crate) region: RegionName,
    /// What inferences take.
    pub(crate) meter: Meter,
    /// The counters.
    pub(crate) metrics: ServingMetrics,
}

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

/// Model and version as they stand in a path.
#[derive(serde::Deserialize)]
struct Target {
    model: String,
    version: Option<String>,
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
    Json(
        json!({"name": "regionmesh", "version": env!("CARGO_PKG_VERSION"), "extensions": extensions}),
    )
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

async fn infer(
    State(service): State<Service>,
    Path(target): Path<Target>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let loaded = match service
        .version_registry
        .resolve(&target.model, target.version.as_deref())
        .await
    {
        Ok(loaded) => loaded,
        Err(refusal) => {
            let view = service.version_registry.view();
            let known = target
                .model
                .parse()
                .ok()
                .filter(|model| view.models.contains_key(model));

            service
                .metrics
                .request(known.as_ref(), None, refusal.status);

            // A model that others serve and this server can't is an error of ours: a ramp must see
            // it.
            if known.is_some() && refusal.status.is_server_error() {
                service.version_registry.failed();
            }
            return Err(refusal);
        }
    };

    let answer = run(&service, &loaded, &headers, body).await;
    let status = answer
        .as_ref()
        .map_or_else(|refusal| refusal.status, |_| StatusCode::OK);

    if status.is_server_error() {
        service.version_registry.failed();
    }

    // A version deleted while it ran gets no series any more: nothing would remove it.
    if service
        .version_registry
        .view()
        .models
        .contains_key(&loaded.model)
    {
        service
            .metrics
            .request(Some(&loaded.model), Some(&loaded.version), status);
    }

    answer.map(|json| ([(header::CONTENT_TYPE, "application/json")], json).into_response())
}

/// Inferences of all models at once: twice those of one, so that one whose requests take long
/// leaves room for others.
pub(crate) fn computing_max(parallel: usize) -> usize {
    parallel.clamp(1, 4_096) * 2
}

/// How long after its deadline a computation may go on before its model is called unservable: it
/// looks at the clock between two operators.
const STUCK_AFTER: Duration = Duration::from_secs(10);

async fn run(
    service: &Service,
    loaded: &Arc<Loaded>,
    headers: &HeaderMap,
    body: Body,
) -> Result<Vec<u8>, Refusal> {
    if headers.contains_key("inference-header-content-length") {
        return Err(Refusal::bad_request(
            "the binary tensor extension is not supported; send tensors as JSON",
        ));
    }

    let body = service.admission.read(headers, body).await?;
    let received = Instant::now();
    let deadline = received + service.inference_timeout;
    let place = async {
        let place = loaded.places.enter(headers).await?;
        // Given back as soon as nobody waits for the answer; the model's own place only when its
        // computation has ended.
        let turn = service.computing.acquire().await;

        turn.map(|turn| (place, turn))
            .map_err(|_| Refusal::unavailable("the server is stopping"))
    };

    let (place, _turn) = match timeout_at(deadline.into(), place).await {
        Ok(place) => place?,
        Err(_) => {
            service.metrics.timeouts.inc();
            return Err(too_late(service, loaded, StatusCode::SERVICE_UNAVAILABLE));
        }
    };
    let control = Control::new(Some(deadline));
    let (waiter, worker) = work::pair(&control, &service.metrics.abandoned);
    let of_task = loaded.clone();
    let meter = service.meter.clone();

    let computing = tokio::task::spawn_blocking(move || {
        let _place = place;
        let _worker = worker;
        let started = Instant::now();
        let mut refusal = None;
        let json = guarded(|| {
            Ok(answer(&of_task, &body.bytes, &control)
                .map_err(|error| refusal = Some(error))
                .ok())
        });

        meter.computed(&of_task.model, started.elapsed());
        match (json, refusal) {
            (Ok(Some(json)), _) => Ok(json),
            (_, Some(refusal)) => Err(refusal),
            (Err(panic), None) => Err(refuse(panic)),
            (Ok(None), None) => Err(Refusal::internal("the inference gave no answer")),
        }
    });

    let mut computation = Computation {
        task: Some(computing),
        waiter: Some(waiter),
        version_registry: service.version_registry.clone(),
        loaded: loaded.clone(),
    };

    let computed = match timeout_at(deadline.into(), computation.ended()).await {
        Ok(computed) => computed,
        Err(_) => Err(too_late(service, loaded, StatusCode::GATEWAY_TIMEOUT)),
    };

    match &computed {
        Ok(json) => {
            let took = received.elapsed();
            service.meter.answered(&loaded.model, json.len());
            service.version_registry.served(took);
            service.metrics.duration(&loaded.model, took.as_secs_f64());
        }
        Err(refusal) if refusal.status.is_server_error() => {
            let model = &loaded.model;
            let version = &loaded.version;
            if refusal.message.starts_with(PANICKED) {
                service.metrics.panics.inc();
            }
            if refusal.status == StatusCode::GATEWAY_TIMEOUT {
                service.metrics.timeouts.inc();
            }
            tracing::warn!(%model, %version, error = %refusal.message, "an inference failed");
        }
        Err(_) => {}
    }

    computed
}

/// Nobody gets an answer later than this, whatever the computation does.
fn too_late(service: &Service, loaded: &Loaded, status: StatusCode) -> Refusal {
    let model = &loaded.model;
    let version = &loaded.version;
    let seconds = service.inference_timeout.as_secs_f32();
    let left = match loaded.abandoned.load(SeqCst) {
        0 => String::new(),
        count => {
            format!("; {count} earlier inferences of it are still running and hold its places")
        }
    };

    let what = if status == StatusCode::GATEWAY_TIMEOUT {
        "did not answer"
    } else {
        "had no free place"
    };
    let message = format!(
        "model {model}@{version} {what} within serving.inference_timeout_ms, {seconds} s{left}"
    );

    Refusal::new(status, message)
}

/// An inference that is being computed. Dropped before it ended, because its client went away or
/// its time is up, it is told to stop, and watched until it does.
struct Computation {
    task: Option<JoinHandle<Result<Vec<u8>, Refusal>>>,
    waiter: Option<work::Waiter>,
    version_registry: Arc<VersionRegistry>,
    loaded: Arc<Loaded>,
}

impl Computation {
    async fn ended(&mut self) -> Result<Vec<u8>, Refusal> {
        let Some(task) = &mut self.task else {
            return Err(Refusal::internal("the inference has ended before"));
        };
        let ended = task.await;

        self.task = None;
        ended.map_err(|error| Refusal::internal(format!("the inference was cut off: {error}")))?
    }
}

impl Drop for Computation {
    fn drop(&mut self) {
        // Tells the computation to stop.
        drop(self.waiter.take());
        let (Some(mut task), Ok(runtime)) =
            (self.task.take(), tokio::runtime::Handle::try_current())
        else {
            return;
        };
        let version_registry = self.version_registry.clone();
        let loaded = self.loaded.clone();

        loaded.abandoned.fetch_add(1, SeqCst);
        runtime.spawn(async move {
            if tokio::time::timeout(STUCK_AFTER, &mut task).await.is_err() {
                let model = &loaded.model;
                let version = &loaded.version;
                tracing::error!(%model, %version, "an inference goes on long after it was told to \
                    stop");
                version_registry.stuck(&loaded, true);

                let _ = task.await;
                version_registry.stuck(&loaded, false);
            }

            loaded.abandoned.fetch_sub(1, SeqCst);
        });
    }
}

const PANICKED: &str = "the inference engine panicked";

fn refuse(error: EngineError) -> Refusal {
    match error {
        // Which tensors a model makes depends on the request.
        EngineError::Shapes(_) | EngineError::TooLarge(_) => {
            Refusal::bad_request(error.to_string())
        }
        EngineError::Stopped(_) => Refusal::new(StatusCode::GATEWAY_TIMEOUT, error.to_string()),
        EngineError::Model(_) | EngineError::Inference(_) | EngineError::Panic(_) => {
            Refusal::internal(error.to_string())
        }
    }
}

/// "Inference Response JSON Object".
#[derive(Serialize)]
struct InferResponse<'a> {
    model_name: &'a str,
    model_version: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    outputs: Vec<OutputTensor>,
}

/// Reads a request, runs the model, writes the answer. Blocks.
fn answer(loaded: &Loaded, body: &[u8], control: &Control) -> Result<Vec<u8>, Refusal> {
    let request: InferRequest = serde_json::from_slice(body).map_err(|error| {
        Refusal::bad_request(format!("the body is not an inference request: {error}"))
    })?;
    let engine = &loaded.engine;
    let wanted = wanted_outputs(&request, engine.outputs())?;
    let id = request.id;
    let names: Vec<&str> = engine
        .inputs()
        .iter()
        .map(|spec| spec.name.as_str())
        .collect();
    let mut given: Vec<_> = engine.inputs().iter().map(|_| None).collect();

    for input in request.inputs {
        let Some(index) = names.iter().position(|name| *name == input.name) else {
            let name = quoted(&input.name);
            return Err(Refusal::bad_request(format!(
                "input {name} is not one of the model's: {names:?}"
            )));
        };

        if given[index].is_some() {
            return Err(Refusal::bad_request(format!(
                "input {} is given twice",
                quoted(&input.name)
            )));
        }

        given[index] = Some(read_input(input, &engine.inputs()[index])?);
    }

    let missing: Vec<_> = names
        .iter()
        .zip(&given)
        .filter(|(_, given)| given.is_none())
        .map(|(name, _)| name)
        .collect();

    if !missing.is_empty() {
        return Err(Refusal::bad_request(format!(
            "inputs are missing: {missing:?}; the model expects {names:?}"
        )));
    }

    let results = engine
        .run(given.into_iter().flatten().collect(), control)
        .map_err(refuse)?;
    let is_wanted = |spec: &TensorSpec| {
        wanted
            .as_ref()
            .is_none_or(|wanted| wanted.contains(&spec.name))
    };
    let answered = engine
        .outputs()
        .iter()
        .zip(&results)
        .filter(|(spec, _)| is_wanted(spec));
    let elements: usize = answered.map(|(_, tensor)| tensor.len()).sum();

    if elements > ANSWER_ELEMENTS_MAX {
        let most = format!("an answer in JSON may have {ANSWER_ELEMENTS_MAX}");
        return Err(Refusal::bad_request(format!(
            "the answer would have {elements} elements, {most}; ask for less at once"
        )));
    }

    let mut outputs = Vec::new();
    for (spec, tensor) in engine.outputs().iter().zip(results) {
        if is_wanted(spec) {
            let output = OutputTensor::new(spec, tensor);
            outputs.push(output.map_err(|error| {
                Refusal::internal(format!("output {:?}: {error:#}", spec.name))
            })?);
        }
    }

    let model_name = loaded.model.as_str();
    let model_version = loaded.version.as_str();
    serde_json::to_vec(&InferResponse {
        model_name,
        model_version,
        id,
        outputs,
    })
    .map_err(|error| Refusal::internal(format!("the answer can't be written: {error}")))
}

/// The names that the request selects; none means all.
fn wanted_outputs(
    request: &InferRequest,
    specs: &[TensorSpec],
) -> Result<Option<BTreeSet<String>>, Refusal> {
    let Some(outputs) = request
        .outputs
        .as_ref()
        .filter(|outputs| !outputs.is_empty())
    else {
        return Ok(None);
    };
    let mut wanted = BTreeSet::new();

    for output in outputs {
        if !specs.iter().any(|spec| spec.name == output.name) {
            let names: Vec<_> = specs.iter().map(|spec| &spec.name).collect();
            let name = quoted(&output.name);
            return Err(Refusal::bad_request(format!(
                "output {name} is not one of the model's: {names:?}"
            )));
        }

        wanted.insert(output.name.clone());
    }

    Ok(Some(wanted))
}
