//! The front door: an HTTP proxy on localhost that finds a working region through the mesh's DNS.
//!
//! For each request it resolves the service name as any client would (hickory-resolver, honouring
//! the TTL) and sends the request to the region that DNS names. A failed attempt is retried if
//! nothing was sent or the request is idempotent, within a retry budget shared by all requests
//! ([`regionmesh_core::admission::retry`]). While no region answers, requests wait; once one does,
//! they are released at the pace of its answers. Small bodies are buffered for retries; large ones
//! are streamed and sent once.

mod admission;
mod backend;
mod body;
mod error;
mod failure;
mod headers;
mod messages;
mod metrics;
mod proxy;
mod regions;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use backend::notice_death;
pub use error::FrontDoorError;
pub use metrics::FrontDoorMetrics;
use proxy::{Client, Proxy};
use regionmesh_runtime::listener::{
    self, Door, DoorLimits, DropReason, PlaceLimits, Seat,
    http::{End, HttpLimits, ReservePolicy},
};
use regionmesh_serving::Refusal;
use regions::Regions;
use std::{io, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

/// Default time that a request is held until a region accepts it: twice the TTL of DNS answers.
pub const HOLD_TIMEOUT: Duration = Duration::from_secs(10);
/// Time for requests in progress to finish after the stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
const DOOR: DoorLimits = DoorLimits {
    // On localhost all clients share one address.
    places: PlaceLimits {
        total: 1_024,
        per_client: 960,
    },
    reserve: Some(PlaceLimits {
        total: 64,
        per_client: 16,
    }),
    stop_timeout: STOP_TIMEOUT,
};
const CONNECTION: HttpLimits = HttpLimits {
    head: Duration::from_secs(2),
    idle: Duration::from_secs(30),
    head_bytes: 64 << 10,
    write: Duration::from_secs(30),
    stop: STOP_TIMEOUT,
};
const RESERVE: ReservePolicy = ReservePolicy {
    is_health: |path| path.starts_with("/v2/health/"),
    otherwise: crowded,
};

/// The settings of a front door.
#[derive(Debug, Clone)]
pub struct FrontDoorArguments {
    /// Addresses to listen on; at least one must be available (a machine may lack `::1`).
    pub listen: Vec<SocketAddr>,
    /// The name to resolve, for example `serving.regionmesh.test`.
    pub service: String,
    /// The mesh's DNS servers: all agents.
    pub name_servers: Vec<SocketAddr>,
    /// The port that every region serves on.
    pub port: u16,
    /// Total time that a request is held until a region accepts it.
    pub hold: Duration,
    pub metrics: FrontDoorMetrics,
}

/// A bound front door.
pub struct FrontDoor {
    listeners: Vec<TcpListener>,
    proxy: Arc<Proxy>,
}

impl std::fmt::Debug for FrontDoor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FrontDoor")
            .field("listeners", &self.listeners)
            .finish_non_exhaustive()
    }
}

/// Binds and forwards until `stop`.
pub async fn run(
    arguments: FrontDoorArguments,
    stop: CancellationToken,
) -> Result<(), FrontDoorError> {
    FrontDoor::bind(arguments).await?.serve(stop).await;
    Ok(())
}

impl FrontDoor {
    /// Binds all available addresses.
    pub async fn bind(arguments: FrontDoorArguments) -> Result<Self, FrontDoorError> {
        let FrontDoorArguments {
            listen,
            service,
            name_servers,
            port,
            hold,
            metrics,
        } = arguments;
        let regions = Regions::new(&service, &name_servers, port)?;
        let mut listeners = Vec::new();
        let mut failure = None;

        for address in listen {
            match TcpListener::bind(address).await {
                Ok(listener) => listeners.push(listener),
                // Only a missing address or address family is ignored: if the port is in use, half
                // of the clients would reach another process.
                Err(source)
                    if source.kind() == io::ErrorKind::AddrNotAvailable
                        || address.is_ipv6() && no_ipv6(&source) =>
                {
                    failure = Some(FrontDoorError::Bind { address, source });
                }
                Err(source) => return Err(FrontDoorError::Bind { address, source }),
            }
        }

        if listeners.is_empty() {
            return Err(failure.unwrap_or(FrontDoorError::NoAddress));
        }
        Ok(Self {
            listeners,
            proxy: Arc::new(Proxy::new(regions, hold, metrics)),
        })
    }

    /// The addresses that it listens on.
    pub fn local_addrs(&self) -> Vec<SocketAddr> {
        self.listeners
            .iter()
            .filter_map(|listener| listener.local_addr().ok())
            .collect()
    }

    /// Forwards until `stop`; then requests in progress have five seconds to finish.
    pub async fn serve(self, stop: CancellationToken) {
        let metrics = self.proxy.metrics.clone();
        let open = metrics.open.clone();
        let connections = metrics.connections.clone();
        let count =
            move |turned: DropReason| connections.with_label_values(&[turned.as_str()]).inc();
        let door = Door::new("front-door", DOOR, open, count);
        let mut accepting = JoinSet::new();

        for listener in self.listeners {
            let proxy = self.proxy.clone();
            let stopping = stop.clone();
            let connection =
                move |stream, seat| serve_connection(stream, seat, proxy.clone(), stopping.clone());

            accepting.spawn(listener::accept(
                listener,
                door.clone(),
                stop.clone(),
                connection,
            ));
        }

        while accepting.join_next().await.is_some() {}
    }
}

fn no_ipv6(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EAFNOSUPPORT))
}

/// Serves one client's connection.
async fn serve_connection(
    stream: TcpStream,
    seat: Arc<Seat>,
    proxy: Arc<Proxy>,
    stop: CancellationToken,
) {
    let metrics = proxy.metrics.clone();
    notice_death(&stream);

    let client = Arc::new(Client::new(proxy, seat.from()));
    let service = move |request| {
        let client = client.clone();
        async move { client.answer(request).await }
    };
    let result = match listener::http::serve(stream, seat, service, CONNECTION, RESERVE, stop).await
    {
        End::Closed => "closed",
        End::Broken => "broken",
        End::CutOff(reason) => reason,
    };

    metrics.connections.with_label_values(&[result]).inc();
}

fn crowded() -> Response<Body> {
    let error = "the front door has reached its connection limit; try again in a second";
    Refusal::unavailable(error).into_response()
}
