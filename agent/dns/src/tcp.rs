//! TCP, with limits on everything that a client can hold. A TCP client has proven its address, so
//! its answers are not rate-limited.
//!
//! Any connection can be displaced: an answer takes microseconds, and a client that does not read
//! its answer counts as idle. So when all places are taken, or all of one client, a new connection
//! displaces the connection that has been idle longest, of the client that has the most (RFC 7766
//! §6.2.3 lets a server close idle ones).

use crate::{
    shared::Shared,
    wire::{QUERY_LIMIT, reply::Transport},
};
use regionmesh_runtime::listener::{self, Door, DoorLimits, DropReason, PlaceLimits, Seat};
use std::{
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

const DOOR: DoorLimits = DoorLimits {
    // Resolvers use TCP for truncated answers only, and ours fit in UDP.
    places: PlaceLimits {
        total: 256,
        per_client: 8,
    },
    reserve: None,
    stop_timeout: Duration::ZERO,
};
/// A TCP connection is closed after this long without a whole query (RFC 7766 §6.2.3: a few
/// seconds).
const IDLE: Duration = Duration::from_secs(10);

/// Accepts until it is dropped.
pub(super) async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let count = {
        let shared = shared.clone();
        move |dropped: DropReason| shared.count_dropped(Transport::Tcp, reason(dropped))
    };
    let door = Door::new("dns", DOOR, shared.metrics.connections.clone(), count);
    let connection = move |stream, seat: Arc<Seat>| {
        let shared = shared.clone();
        async move {
            if let Err(reason) = serve_connection(stream, &seat, &shared).await {
                shared.count_dropped(Transport::Tcp, reason);
            }
        }
    };

    // The task that runs this is dropped at the stop.
    listener::accept(listener, door, CancellationToken::new(), connection).await;
}

fn reason(dropped: DropReason) -> &'static str {
    match dropped {
        DropReason::NotAccepted => "accept_failed",
        DropReason::OneClient => "too_many_of_one_client",
        DropReason::Full => "too_many",
    }
}

/// Answers queries one by one until the client closes, is idle for too long, or sends something
/// else.
async fn serve_connection(
    mut stream: TcpStream,
    seat: &Seat,
    shared: &Shared,
) -> Result<(), &'static str> {
    let client: IpAddr = seat.from().ip();
    let mut packet = Vec::new();
    let mut reply = Vec::new();

    loop {
        let read = async {
            let Ok(length) = stream.read_u16().await else {
                return Ok(false);
            };
            let length = usize::from(length);

            if length > QUERY_LIMIT {
                return Err("too_long");
            }
            packet.resize(length, 0);
            stream
                .read_exact(&mut packet)
                .await
                .map_err(|_| "cut_off")?;

            Ok(true)
        };

        match timeout(IDLE, read).await {
            Ok(Ok(true)) => {}
            Ok(Ok(false)) => return Ok(()),
            Ok(Err(reason)) => return Err(reason),
            Err(_) => return Err("idle"),
        }

        let begin = Instant::now();
        if !shared
            .snapshot()
            .respond(&packet, client, Transport::Tcp, begin, &mut reply)
        {
            return Err("not_a_query");
        }

        shared
            .metrics
            .duration
            .observe(begin.elapsed().as_secs_f64());

        // The connection with the latest query is displaced last.
        seat.set_idle();

        let Ok(length) = u16::try_from(reply.len()) else {
            return Err("too_long");
        };

        // One write: a length in a segment of its own would cost some clients a round trip (RFC
        // 7766 §8).
        let framed = [&length.to_be_bytes()[..], &reply].concat();
        match timeout(IDLE, stream.write_all(&framed)).await {
            Ok(Ok(())) => {}
            _ => return Err("send_failed"),
        }
    }
}
