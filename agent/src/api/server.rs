//! The API's door: how many connections it takes, and what is answered when there are more.
//!
//! A slow or silent client gives way or is cut off ([`regionmesh_runtime::listener`]): while it
//! sends a head, while it sends a small body ([`super::access`]), and while it does not take what
//! it asked for. On the reserve the health routes are answered as ever: a crowd must not look like
//! a dead process or a failed region, or it would be restarted, or emptied, for nothing.

use super::{Api, reply::ApiError, router};
use ::http::StatusCode;
use axum::response::{IntoResponse, Response};
use regionmesh_runtime::listener::{
    self, Door, DoorLimits, PlaceLimits,
    http::{self, End, HttpLimits, ReservePolicy, routed},
};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// What a client may take of the API.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections served at once; streams of events are counted apart.
    pub connections: usize,
    /// Of these, from one address.
    pub connections_per_client: usize,
    /// Connections beyond them, on which the health routes are answered and all else is told to
    /// come back.
    pub reserve: usize,
    /// How long a request's head may take.
    pub head: Duration,
    /// How long a connection may wait for its next request.
    pub idle: Duration,
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
    pub shutdown_timeout: Duration,
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
    fn of_the_door(&self) -> DoorLimits {
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
            // A connection that does not end by itself is ended a moment before.
            stop_timeout: self.shutdown_timeout + Duration::from_secs(1),
        }
    }

    fn of_a_connection(&self) -> HttpLimits {
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
    otherwise: crowded,
};

/// What is asked by those who restart agents and move traffic.
fn is_health(path: &str) -> bool {
    matches!(path, "/healthz" | "/readyz") || path.starts_with("/verdict/")
}

fn crowded() -> Response {
    let error = "this agent has as many connections as it may";
    ApiError::new(
        StatusCode::SERVICE_UNAVAILABLE,
        error,
        "try again in a moment, or ask another agent",
    )
    .into_response()
}

/// Serves until `stop`.
pub(super) async fn serve(
    api: Api,
    listener: TcpListener,
    limits: Limits,
    stop: CancellationToken,
) -> Result<(), String> {
    let open = api.metrics.connections.clone();
    let refused = api.metrics.refused_connections.clone();
    let count = {
        let refused = refused.clone();
        move |turned: listener::Turned| refused.with_label_values(&[turned.as_str()]).inc()
    };
    let door = Door::new("api", limits.of_the_door(), open, count);
    let router = router(api, limits);
    let limits = limits.of_a_connection();

    let connection = {
        let stop = stop.clone();
        move |stream, seat| {
            let service = routed(router.clone());
            let refused = refused.clone();
            let stop = stop.clone();

            async move {
                if let End::CutOff(reason) =
                    http::serve(stream, seat, service, limits, RESERVE, stop).await
                {
                    refused.with_label_values(&[reason]).inc();
                }
            }
        }
    };

    listener::accept(listener, door, stop, connection).await;
    Ok(())
}
