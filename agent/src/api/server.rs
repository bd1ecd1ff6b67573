//! Accepts connections and serves them, within limits: no client can keep the API from the others.
//!
//! A slow or silent client is cut off: while it sends a head, while it sends a small body ([`super::access`]), and
//! while it does not take what it asked for. When all places are taken, a few more connections are answered with 503,
//! except for `/healthz`: a crowd must not look like a dead process, or it would be restarted for nothing.

use super::{Api, probes, reply::ApiError, router};
use crate::{logging::Throttle, metrics::refusal};
use axum::{Router, extract::ConnectInfo, routing::get};
use http::StatusCode;
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use std::{
    future::Future,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::Sleep,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt;

/// What a client may take of the API.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections served at once.
    pub connections: usize,
    /// Connections beyond them that are told so; further ones are closed at once.
    pub told: usize,
    /// How long a request's head may take, and a connection may wait for its next request.
    pub head: Duration,
    /// Longest head, bytes.
    pub head_bytes: usize,
    /// How long a JSON body may take.
    pub json_body: Duration,
    /// Longest JSON body, bytes; files have no limit but the length that they declare.
    pub json_bytes: usize,
    /// How long a file may pause.
    pub file_pause: Duration,
    /// How long a client may not take a byte of what it asked for.
    pub stall: Duration,
    /// How long running requests may take to end once the agent stops.
    pub farewell: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 512,
            told: 64,
            head: Duration::from_secs(10),
            head_bytes: 32 << 10,
            json_body: Duration::from_secs(10),
            json_bytes: 1 << 20,
            file_pause: Duration::from_secs(30),
            stall: Duration::from_secs(30),
            farewell: Duration::from_secs(2),
        }
    }
}

/// Serves until `stop`.
pub(super) async fn serve(
    api: Api,
    listener: TcpListener,
    limits: Limits,
    stop: CancellationToken,
) -> Result<(), String> {
    static NOT_ACCEPTED: Throttle = Throttle::new(Duration::from_secs(60));
    static CROWDED: Throttle = Throttle::new(Duration::from_secs(60));
    let places = Arc::new(Semaphore::new(limits.connections));
    let tellings = Arc::new(Semaphore::new(limits.told));
    let (router, crowded) = (router(api.clone(), limits), crowded(api.clone()));
    let requests = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        let (stream, from) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, or a client that left: neither ends the server.
                api.metrics.refused_connections.with_label_values(&["accept"]).inc();
                if let Some(left_out) = NOT_ACCEPTED.admit(Instant::now()) {
                    tracing::warn!(%error, left_out, "the API could not accept a connection");
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let (place, router, limits) = match places.clone().try_acquire_owned() {
            Ok(place) => (place, router.clone(), limits),
            Err(_) => {
                api.metrics.refused_connections.with_label_values(&["crowded"]).inc();
                if let Some(left_out) = CROWDED.admit(Instant::now()) {
                    tracing::warn!(connections = limits.connections, left_out, "the API has no place for more");
                }
                let Ok(place) = tellings.clone().try_acquire_owned() else { continue };
                let hurry = Duration::from_secs(1);
                (place, crowded.clone(), Limits { head: hurry, stall: hurry, ..limits })
            }
        };
        let (open, refused) = (api.metrics.connections.clone(), api.metrics.refused_connections.clone());
        let stop = stop.clone();
        open.inc();
        requests.spawn(async move {
            if let Err(error) = connection(stream, from, router, limits, stop).await
                && let Some(reason) = refusal(&error)
            {
                refused.with_label_values(&[reason]).inc();
            }
            open.dec();
            drop(place);
        });
    }
    requests.close();
    requests.wait().await;
    Ok(())
}

async fn connection(
    stream: TcpStream,
    from: SocketAddr,
    router: Router,
    limits: Limits,
    stop: CancellationToken,
) -> hyper::Result<()> {
    let service = router.map_request(move |mut request: http::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(ConnectInfo::<SocketAddr>(from));
        request
    });
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(hyper_util::rt::TokioTimer::new()).header_read_timeout(limits.head).max_buf_size(limits.head_bytes);
    let stream = TokioIo::new(Impatient::new(stream, limits.stall));
    let mut connection = std::pin::pin!(http.serve_connection(stream, TowerToHyperService::new(service)));
    tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            tokio::time::timeout(limits.farewell, connection).await.unwrap_or(Ok(()))
        }
    }
}

/// What is answered when all places are taken.
fn crowded(api: Api) -> Router {
    let full = || async {
        let error = "this agent has as many connections as it may";
        let mut response = axum::response::IntoResponse::into_response(ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            error,
            "try again in a moment, or ask another agent",
        ));
        response.headers_mut().insert(http::header::CONNECTION, http::HeaderValue::from_static("close"));
        response
    };
    Router::new().route("/healthz", get(probes::healthz)).fallback(full).with_state(api)
}

/// A stream that gives up when the other side does not take what is written for too long.
struct Impatient<S> {
    stream: S,
    patience: Duration,
    waiting: Option<Pin<Box<Sleep>>>,
}

impl<S> Impatient<S> {
    fn new(stream: S, patience: Duration) -> Self {
        Self { stream, patience, waiting: None }
    }

    /// Passes on what the stream answered, unless it has been pending for too long.
    fn watch<T>(&mut self, context: &mut Context<'_>, answer: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if answer.is_ready() {
            self.waiting = None;
            return answer;
        }
        let patience = self.patience;
        ready!(self.waiting.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience))).as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Impatient<S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Impatient<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let answer = Pin::new(&mut this.stream).poll_write(context, bytes);
        this.watch(context, answer)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let answer = Pin::new(&mut this.stream).poll_flush(context);
        this.watch(context, answer)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let answer = Pin::new(&mut this.stream).poll_write_vectored(context, bytes);
        this.watch(context, answer)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
