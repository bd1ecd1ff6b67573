//! Accepts connections and ends them in order: limits on their number, on slow headers, and on the time to stop.

use super::metrics::ServingMetrics;
use crate::metrics::refusal;
use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use std::{sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Connections at once; more wait in the system's queue.
const CONNECTIONS: usize = 2_048;
/// A request's head must be complete in this time after the last answer, which also bounds idle connections.
const HEAD_DEADLINE: Duration = Duration::from_secs(30);
/// Largest head with the buffer for it, bytes.
const HEAD_BUFFER: usize = 64 << 10;
/// How long requests in progress may go on after the stop; below Kubernetes' usual 30 s of grace.
const STOP_DEADLINE: Duration = Duration::from_secs(20);
/// Pause after a failed accept: out of file descriptors, most likely, which passes as connections end.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves `router` until `stop`, then lets requests in progress end.
pub async fn serve(listener: TcpListener, router: Router, metrics: ServingMetrics, stop: CancellationToken) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    let connections = TaskTracker::new();
    // Dropped connections' tasks end with this one: a supervisor may drop the server without stopping it.
    let abort = CancellationToken::new();
    let _abort_on_drop = abort.clone().drop_guard();
    loop {
        let next = async {
            let slot = slots.clone().acquire_owned().await;
            (listener.accept().await, slot)
        };
        let (accepted, slot) = tokio::select! {
            () = stop.cancelled() => break,
            next = next => next,
        };
        match accepted {
            Ok((stream, _)) => {
                let connection = connection(stream, router.clone(), metrics.clone(), stop.clone());
                let abort = abort.clone();
                connections.spawn(async move {
                    let _slot = slot;
                    let _ = abort.run_until_cancelled_owned(connection).await;
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    // Closed first, so that clients go elsewhere while the last requests end.
    drop(listener);
    connections.close();
    if timeout(STOP_DEADLINE, connections.wait()).await.is_err() {
        tracing::warn!(open = connections.len(), "connections were cut off: their requests took too long to end");
    }
}

async fn connection(stream: TcpStream, router: Router, metrics: ServingMetrics, stop: CancellationToken) {
    metrics.connections.inc();
    let _ = stream.set_nodelay(true);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_DEADLINE)
        .max_buf_size(HEAD_BUFFER)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
        if let Some(reason) = refusal(&error) {
            metrics.refused_connections.with_label_values(&[reason]).inc();
        }
    }
    metrics.connections.dec();
}
