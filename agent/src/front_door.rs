//! The front door: an HTTP proxy on localhost that finds a living region through the mesh's own
//! DNS.
//!
//! For each request it resolves the service name as any client would (hickory-resolver, honouring
//! the TTL) and sends it to the region that DNS names. As long as nothing was sent, and where
//! sending twice does no harm, a failed attempt is followed by another, within a budget that all
//! requests share ([`regionmesh_core::admission::retry`]). While no region answers, requests wait;
//! once one does they follow at the pace of its answers. Small bodies are kept for that; large ones
//! pass through and are sent once.

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

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use backend::notice_death;
pub use metrics::FrontDoorMetrics;
use proxy::{Client, Proxy};
use regionmesh_runtime::listener::{
    self, Door, DoorLimits, PlaceLimits, Seat, Turned,
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

/// How long a request is held until a region takes it, unless another time is asked for: twice the
/// TTL of DNS answers.
pub const HOLD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long requests in progress may go on after the stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
const DOOR: DoorLimits = DoorLimits {
    // Where it listens on localhost, all clients have one address.
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
    #[error("the front door can't listen on {address}: {}; free the port or choose another with \
        --front-door", regionmesh_runtime::describe::io_error(.source))]
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
    /// Binds all addresses that can be bound.
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
                // Only a missing address family is forgiven; a taken port would send half the
                // clients elsewhere.
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

    /// Forwards until `stop`; then requests in progress end, for at most five seconds.
    pub async fn serve(self, stop: CancellationToken) {
        let metrics = self.proxy.metrics.clone();
        let open = metrics.open.clone();
        let connections = metrics.connections.clone();
        let count = move |turned: Turned| connections.with_label_values(&[turned.as_str()]).inc();
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

/// One client's connection from beginning to end.
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
    let error = "the front door has as many connections as it may; try again in a second";
    Refusal::unavailable(error).into_response()
}
