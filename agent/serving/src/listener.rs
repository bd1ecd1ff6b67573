//! The model server's connections: how many it accepts, how slow they may be, and how they end.

use crate::{metrics::ServingMetrics, refusal::Refusal};
use axum::{
    Router,
    response::{IntoResponse, Response},
};
use regionmesh_runtime::listener::{
    DoorLimits, PlaceLimits,
    http::{HttpLimits, HttpServer, ReservePolicy},
};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// How long requests in progress may take after the stop; below Kubernetes' usual grace period of
/// 30 s.
const STOP_TIMEOUT: Duration = Duration::from_secs(20);
const DOOR: DoorLimits = DoorLimits {
    // One client may hold most of the places: users often come through one proxy.
    places: PlaceLimits {
        total: 2_048,
        per_client: 1_536,
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
    otherwise: too_many_connections,
};

fn too_many_connections() -> Response {
    Refusal::unavailable(
        "the model server has as many connections as it may; try again in a \
        second, or another region",
    )
    .into_response()
}

/// Serves `router` until `stop`, then lets requests in progress end.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    metrics: ServingMetrics,
    stop: CancellationToken,
) {
    let server = HttpServer {
        name: "serving",
        door: DOOR,
        connection: CONNECTION,
        reserve: RESERVE,
        open: metrics.connections,
        refused: metrics.refused_connections,
    };
    server.serve(listener, router, stop).await;
}
