//! TCP, with limits on everything that a client can hold. A client of TCP has shown that its address is its own, so its
//! answers are not limited in rate.

use super::{
    metrics::DnsMetrics,
    server::Shared,
    wire::{QUERY_LIMIT, Transport},
};
use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
    time::timeout,
};
use tracing::debug;

/// TCP connections open at once. Resolvers use TCP for truncated answers only, and ours fit in UDP.
const CONNECTIONS: usize = 256;
/// Of these, from one address.
const CONNECTIONS_PER_CLIENT: usize = 8;
/// A TCP connection is closed after this long without a whole query (RFC 7766 §6.2.3: a few seconds).
const IDLE: Duration = Duration::from_secs(10);
/// Pause after the system refuses to accept (for example, no file descriptors left).
const ERROR_PAUSE: Duration = Duration::from_millis(50);

/// Accepts until it is dropped.
pub(super) async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let total = Arc::new(Semaphore::new(CONNECTIONS));
    let clients = Arc::new(Clients::default());
    let mut connections = JoinSet::new();
    loop {
        let (stream, client) = tokio::select! {
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    debug!(%error, "accepting a DNS connection failed");
                    shared.count_dropped(Transport::Tcp, "accept_failed");
                    tokio::time::sleep(ERROR_PAUSE).await;
                    continue;
                }
            },
        };
        let Ok(permit) = total.clone().try_acquire_owned() else {
            shared.count_dropped(Transport::Tcp, "too_many");
            continue;
        };
        let Some(seat) = clients.admit(client.ip()) else {
            shared.count_dropped(Transport::Tcp, "too_many_of_one_client");
            continue;
        };
        let shared = shared.clone();
        connections.spawn(async move {
            let _open = (permit, seat, Open::new(&shared.metrics));
            if let Err(reason) = serve_connection(stream, client.ip(), &shared).await {
                shared.count_dropped(Transport::Tcp, reason);
            }
        });
    }
}

/// Queries one after the other until the client closes, falls silent, or sends what is no query.
async fn serve_connection(mut stream: TcpStream, client: IpAddr, shared: &Shared) -> Result<(), &'static str> {
    let (mut packet, mut reply) = (Vec::new(), Vec::new());
    loop {
        let read = async {
            let Ok(length) = stream.read_u16().await else { return Ok(false) };
            let length = usize::from(length);
            if length > QUERY_LIMIT {
                return Err("too_long");
            }
            packet.resize(length, 0);
            stream.read_exact(&mut packet).await.map_err(|_| "cut_off")?;
            Ok(true)
        };
        match timeout(IDLE, read).await {
            Ok(Ok(true)) => {}
            Ok(Ok(false)) => return Ok(()),
            Ok(Err(reason)) => return Err(reason),
            Err(_) => return Err("idle"),
        }
        let begin = Instant::now();
        if !shared.snapshot().respond(&packet, client, Transport::Tcp, begin, &mut reply) {
            return Err("not_a_query");
        }
        shared.metrics.duration.observe(begin.elapsed().as_secs_f64());
        let Ok(length) = u16::try_from(reply.len()) else { return Err("too_long") };
        // One write: a length in a segment of its own would cost some clients a round trip (RFC 7766 §8).
        let framed = [&length.to_be_bytes()[..], &reply].concat();
        match timeout(IDLE, stream.write_all(&framed)).await {
            Ok(Ok(())) => {}
            _ => return Err("send_failed"),
        }
    }
}

/// How many connections each client has open. Locked when one opens or closes, not when one is answered.
#[derive(Debug, Default)]
struct Clients(Mutex<HashMap<IpAddr, usize>>);

impl Clients {
    fn admit(self: &Arc<Self>, client: IpAddr) -> Option<Seat> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(client).or_default();
        if *count >= CONNECTIONS_PER_CLIENT {
            return None;
        }
        *count += 1;
        Some(Seat { clients: self.clone(), client })
    }
}

/// One open connection of a client; given back when dropped.
#[derive(Debug)]
struct Seat {
    clients: Arc<Clients>,
    client: IpAddr,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut open = self.clients.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.client);
            }
        }
    }
}

struct Open<'a>(&'a DnsMetrics);

impl<'a> Open<'a> {
    fn new(metrics: &'a DnsMetrics) -> Self {
        metrics.connections.inc();
        Self(metrics)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.connections.dec();
    }
}
