//! The API's listener: connection limits, and the answer to clients beyond them.
//!
//! A slow or silent client is preempted or cut off ([`regionmesh_runtime::listener`]): while it
//! sends a head or a small body ([`super::access`]), and while it does not read its answer. The
//! reserve still answers the health routes: an overload must not look like a dead process or a
//! failed region, or the agent would be restarted, or its region drained, for nothing.

use super::{metrics::ApiMetrics, reply::ApiError};
use axum::{
    Router,
    response::{IntoResponse, Response},
};
use http::StatusCode;
use regionmesh_runtime::listener::{
    DoorLimits, PlaceLimits,
    http::{HttpLimits, HttpServer, ReservePolicy},
};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Limits on what clients may use of the API.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Concurrent connections; event streams are counted separately.
    pub(crate) connections: usize,
    /// Of these, from one address.
    pub(crate) connections_per_client: usize,
    /// Connections beyond `connections`: they answer the health routes, and 503 to the rest.
    pub(crate) reserve: usize,
    /// How long a request's head may take.
    pub(crate) head: Duration,
    /// How long a connection may wait for its next request.
    pub(crate) idle: Duration,
    /// Longest head, bytes.
    pub(crate) head_bytes: usize,
    /// How long a JSON body may take.
    pub(crate) json_body: Duration,
    /// Longest JSON body, bytes; a file may be as long as it declares.
    pub(crate) json_bytes: usize,
    /// Longest pause within the upload of a file.
    pub(crate) file_pause: Duration,
    /// How long a client may go without reading a byte of its answer.
    pub(crate) stall: Duration,
    /// How long running requests may take once the agent stops.
    pub(crate) shutdown_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 512,
            connections_per_client: 128,
            reserve: 64,
            head: Duration::from_secs(2),
            idle: Duration::from_secs(30),
            head_bytes: 32 << 10,
            json_body: Duration::from_secs(10),
            json_bytes: 1 << 20,
            file_pause: Duration::from_secs(30),
            stall: Duration::from_secs(30),
            shutdown_timeout: Duration::from_secs(2),
        }
    }
}

impl Limits {
    fn door(&self) -> DoorLimits {
        let reserve = PlaceLimits {
            total: self.reserve,
            per_client: self.reserve.div_ceil(4),
        };

        DoorLimits {
            places: PlaceLimits {
                total: self.connections,
                per_client: self.connections_per_client,
            },
            reserve: Some(reserve),
            // The connection's own timeout cuts it off before this one.
            stop_timeout: self.shutdown_timeout + Duration::from_secs(1),
        }
    }

    fn connection(&self) -> HttpLimits {
        HttpLimits {
            head: self.head,
            idle: self.idle,
            head_bytes: self.head_bytes,
            write: self.stall,
            stop: self.shutdown_timeout,
        }
    }
}

const RESERVE: ReservePolicy = ReservePolicy {
    is_health,
    otherwise: overloaded,
};

/// The routes polled by what restarts agents and moves traffic.
fn is_health(path: &str) -> bool {
    matches!(path, "/healthz" | "/readyz") || path.starts_with("/verdict/")
}

fn overloaded() -> Response {
    let error = "this agent has reached its connection limit";
    ApiError::new(
        StatusCode::SERVICE_UNAVAILABLE,
        error,
        "try again in a moment, or ask another agent",
    )
    .into_response()
}

/// Serves until `stop`.
pub(crate) async fn serve(
    router: Router,
    metrics: &ApiMetrics,
    listener: TcpListener,
    limits: Limits,
    stop: CancellationToken,
) -> Result<(), String> {
    let server = HttpServer {
        name: "api",
        door: limits.door(),
        connection: limits.connection(),
        reserve: RESERVE,
        open: metrics.connections.clone(),
        refused: metrics.refused_connections.clone(),
    };
    server.serve(listener, router, stop).await;
    Ok(())
}
