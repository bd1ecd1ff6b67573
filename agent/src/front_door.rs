//! The front door: an HTTP proxy on localhost that finds a living region through the mesh's own DNS.
//!
//! For each request it resolves the service name as any client would (hickory-resolver, honouring the TTL) and sends it
//! to the region that DNS names. As long as nothing was sent, and where sending twice does no harm, a failed attempt is
//! followed by another, within a budget that all requests share ([`regionmesh_protocol::retry`]). While no region
//! answers, requests wait; once one does they follow at the pace of its answers. Small bodies are kept for that; large
//! ones pass through and are sent once.

mod backend;
mod body;
mod gate;
mod headers;
mod metrics;
mod proxy;
mod regions;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;

pub use metrics::FrontDoorMetrics;

use backend::notice_death;
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use proxy::{Client, Proxy};
use regions::Regions;
use std::{convert::Infallible, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

/// Clients' connections at once.
const CONNECTIONS: usize = 1_024;
/// How long a request is held until a region takes it, unless another time is asked for: twice the TTL of DNS answers.
pub const HOLD_TIMEOUT: Duration = Duration::from_secs(10);
/// Largest head of a request with the buffer for it, bytes.
const HEAD_BUFFER: usize = 64 << 10;
/// Pause after a failed accept: out of file descriptors, most likely, which passes as connections end.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How long requests in progress may go on after the stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// What the front door needs.
#[derive(Debug, Clone)]
pub struct FrontDoorArguments {
    /// Where to listen; at least one must work (a machine may lack `::1`).
    pub listen: Vec<SocketAddr>,
    /// The name to resolve, for example `serving.regionmesh.test`.
    pub service: String,
    /// The mesh's DNS servers: all agents.
    pub name_servers: Vec<SocketAddr>,
    /// The port that every region serves on.
    pub port: u16,
    /// How long a request is held in all until a region takes it.
    pub hold: Duration,
    /// Counters.
    pub metrics: FrontDoorMetrics,
}

/// Why the front door can't open.
#[derive(Debug, thiserror::Error)]
pub enum FrontDoorError {
    /// No address to listen on works.
    #[error("the front door can't listen on {address}: {source}; free the port or choose another with --front-door")]
    Bind {
        /// The last address tried.
        address: SocketAddr,
        /// The system's reason.
        source: io::Error,
    },
    /// No address to listen on was given.
    #[error("the front door has no address to listen on")]
    NoAddress,
    /// The service name is not a domain name, or the resolver could not be made.
    #[error("the front door can't resolve {service:?}: {why}")]
    Resolver {
        /// The service name.
        service: String,
        /// Why not.
        why: String,
    },
}

/// A bound front door.
pub struct FrontDoor {
    listeners: Vec<TcpListener>,
    proxy: Arc<Proxy>,
}

impl std::fmt::Debug for FrontDoor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FrontDoor").field("listeners", &self.listeners).finish_non_exhaustive()
    }
}

/// Binds and forwards until `stop`.
pub async fn run(arguments: FrontDoorArguments, stop: CancellationToken) -> Result<(), FrontDoorError> {
    FrontDoor::bind(arguments).await?.serve(stop).await;
    Ok(())
}

impl FrontDoor {
    /// Binds all addresses that can be bound.
    pub async fn bind(arguments: FrontDoorArguments) -> Result<Self, FrontDoorError> {
        let FrontDoorArguments { listen, service, name_servers, port, hold, metrics } = arguments;
        let regions = Regions::new(&service, &name_servers, port)?;
        let mut listeners = Vec::new();
        let mut failure = None;
        for address in listen {
            match TcpListener::bind(address).await {
                Ok(listener) => listeners.push(listener),
                // Only a missing address family is forgiven; a taken port would send half the clients elsewhere.
                Err(source)
                    if source.kind() == io::ErrorKind::AddrNotAvailable || address.is_ipv6() && no_ipv6(&source) =>
                {
                    failure = Some(FrontDoorError::Bind { address, source });
                }
                Err(source) => return Err(FrontDoorError::Bind { address, source }),
            }
        }
        if listeners.is_empty() {
            return Err(failure.unwrap_or(FrontDoorError::NoAddress));
        }
        Ok(Self { listeners, proxy: Arc::new(Proxy::new(regions, hold, metrics)) })
    }

    /// The addresses that it listens on.
    pub fn local_addrs(&self) -> Vec<SocketAddr> {
        self.listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect()
    }

    /// Forwards until `stop`; then requests in progress end, for at most five seconds.
    pub async fn serve(self, stop: CancellationToken) {
        let limit = Arc::new(Semaphore::new(CONNECTIONS));
        let mut doors = JoinSet::new();
        for listener in self.listeners {
            doors.spawn(accept(listener, self.proxy.clone(), limit.clone(), stop.clone()));
        }
        while doors.join_next().await.is_some() {}
    }
}

fn no_ipv6(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EAFNOSUPPORT))
}

async fn accept(listener: TcpListener, proxy: Arc<Proxy>, limit: Arc<Semaphore>, stop: CancellationToken) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, from) = tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    warn!(%error, "the front door could not accept a connection");
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
        };
        let Ok(permit) = limit.clone().try_acquire_owned() else {
            proxy.metrics.connections.with_label_values(&["too_many"]).inc();
            continue;
        };
        let connection = serve_connection(stream, from, proxy.clone(), stop.clone());
        connections.spawn(async move {
            let _permit = permit;
            connection.await;
        });
    }
    // Closed first, so that clients go elsewhere while the last requests end.
    drop(listener);
    let _ = timeout(STOP_TIMEOUT, async { while connections.join_next().await.is_some() {} }).await;
}

/// One client's connection from beginning to end.
async fn serve_connection(stream: TcpStream, from: SocketAddr, proxy: Arc<Proxy>, stop: CancellationToken) {
    let metrics = proxy.metrics.clone();
    metrics.open.inc();
    notice_death(&stream);
    let client = Arc::new(Client::new(proxy, from));
    let service = service_fn(move |request| {
        let client = client.clone();
        async move { Ok::<_, Infallible>(client.answer(request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .max_buf_size(HEAD_BUFFER)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    metrics.open.dec();
    let result = match ended {
        Ok(()) => "closed",
        Err(error) => {
            debug!(%from, %error, "a connection to the front door broke");
            "broken"
        }
    };
    metrics.connections.with_label_values(&[result]).inc();
}
