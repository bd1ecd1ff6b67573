//! An inference request, from the body to the answer.

use super::{
    answer::{PANICKED, answer, refuse},
    service::{Service, Target},
};
use crate::{
    admission::{HeldBody, Place},
    engine::guarded,
    loader::VersionRegistry,
    loading::Loaded,
    refusal::Refusal,
    work::{self, Control, Worker},
};
use axum::{
    body::Body,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode, header};
use regionmesh_runtime::meter::Meter;
use std::{
    sync::{Arc, atomic::Ordering::SeqCst},
    time::{Duration, Instant},
};
use tokio::{task::JoinHandle, time::timeout_at};

pub(super) async fn infer(
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

            // A model that others serve and this server can't is our error: a ramp must notice it.
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

    // A version deleted since gets no series: nothing would remove it.
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

/// Inferences of all models in parallel: twice those of one model, so that a slow one leaves room
/// for others.
pub(crate) fn computing_max(parallel: usize) -> usize {
    parallel.clamp(1, 4_096) * 2
}

/// How long after its deadline a computation may run before its model counts as unservable: it
/// checks the clock between two operators.
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
        // Returned when the request ends; the model's own place only when its computation has
        // ended.
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
    let job = Job {
        _worker: worker,
        _place: place,
        loaded: loaded.clone(),
        body,
        control,
        meter: service.meter.clone(),
    };

    let mut computation = Computation {
        task: Some(tokio::task::spawn_blocking(move || job.run())),
        waiter: Some(waiter),
        version_registry: service.version_registry.clone(),
        loaded: loaded.clone(),
    };

    let computed = match timeout_at(deadline.into(), computation.ended()).await {
        Ok(computed) => computed,
        Err(_) => Err(too_late(service, loaded, StatusCode::GATEWAY_TIMEOUT)),
    };

    record(service, loaded, received, &computed);
    computed
}

/// Counts and logs how an inference ended.
fn record(
    service: &Service,
    loaded: &Loaded,
    received: Instant,
    computed: &Result<Vec<u8>, Refusal>,
) {
    match computed {
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
}

/// An inference, as the thread that computes it has it.
struct Job {
    // Dropped in this order: the computation has ended, then its place is free.
    _worker: Worker,
    _place: Place,
    loaded: Arc<Loaded>,
    body: HeldBody,
    control: Arc<Control>,
    meter: Meter,
}

impl Job {
    fn run(self) -> Result<Vec<u8>, Refusal> {
        let started = Instant::now();
        let mut refusal = None;
        let json = guarded(|| {
            Ok(answer(&self.loaded, &self.body.bytes, &self.control)
                .map_err(|error| refusal = Some(error))
                .ok())
        });

        self.meter.computed(&self.loaded.model, started.elapsed());
        match (json, refusal) {
            (Ok(Some(json)), _) => Ok(json),
            (_, Some(refusal)) => Err(refusal),
            (Err(panic), None) => Err(refuse(panic)),
            (Ok(None), None) => Err(Refusal::internal("the inference gave no answer")),
        }
    }
}

/// The answer at the deadline, even if the computation continues.
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

/// A running inference. If it is dropped before it ended (its client disconnected or its time is
/// up), it is cancelled and watched until it stops.
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
        ended.map_err(|error| Refusal::internal(format!("the inference was aborted: {error}")))?
    }
}

impl Drop for Computation {
    fn drop(&mut self) {
        // Cancels the computation.
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
                tracing::error!(%model, %version, "an inference still runs long after it was \
                    cancelled");
                version_registry.stuck(&loaded, true);

                let _ = task.await;
                version_registry.stuck(&loaded, false);
            }

            loaded.abandoned.fetch_sub(1, SeqCst);
        });
    }
}
