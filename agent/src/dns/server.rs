//! The sockets: UDP and TCP on `listen.dns`, answering from the latest zone snapshot.
//!
//! One task follows the plans and swaps the snapshot; a few tasks read UDP; each TCP connection has one. Nothing on
//! the way from packet to answer waits for a lock, and everything that a peer can hold is limited.

use super::{
    DnsArguments, DnsError,
    metrics::DnsMetrics,
    wire::{QUERY_LIMIT, Transport, respond},
    zone::Zone,
};
use crate::config::Config;
use arc_swap::ArcSwap;
use hickory_proto::op::ResponseCode;
use regionmesh_protocol::plan::CommittedPlan;
use std::{
    cmp::Ordering,
    collections::HashMap,
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
    sync::{Semaphore, watch},
    task::JoinSet,
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

/// Tasks that read UDP: two, so that one slow send does not hold up the next query.
const UDP_TASKS: usize = 2;
/// TCP connections open at once. Resolvers use TCP for truncated answers only, and ours fit in UDP.
const TCP_CONNECTIONS: usize = 256;
/// Of these, from one address.
const TCP_CONNECTIONS_PER_CLIENT: usize = 8;
/// A TCP connection is closed after this long without a whole query (RFC 7766 §6.2.3: a few seconds).
const TCP_IDLE: Duration = Duration::from_secs(10);
/// Pause after the system refuses to accept or receive (for example, no file descriptors left).
const ERROR_PAUSE: Duration = Duration::from_millis(50);

/// A bound, not yet answering DNS server.
#[derive(Debug)]
pub struct DnsServer {
    udp: UdpSocket,
    tcp: TcpListener,
    address: SocketAddr,
    plan: watch::Receiver<Option<Arc<CommittedPlan>>>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    config: Arc<Config>,
    zone: ArcSwap<Zone>,
    metrics: DnsMetrics,
}

impl DnsServer {
    /// Compiles the zone and binds both sockets.
    pub async fn bind(arguments: DnsArguments) -> Result<Self, DnsError> {
        let DnsArguments { config, mut plan, metrics } = arguments;
        let first = plan.borrow_and_update().clone();
        let zone = Zone::compile(&config, first.as_deref())?;
        let (udp, tcp, address) = bind(config.listen.dns).await?;
        announce(&zone, first.as_deref());
        metrics.plan_seq.set(plan_seq(&zone));
        let shared = Arc::new(Shared { config, zone: ArcSwap::from_pointee(zone), metrics });
        Ok(Self { udp, tcp, address, plan, shared })
    }

    /// The address that it listens on, UDP and TCP.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `stop`.
    pub async fn serve(self, stop: CancellationToken) {
        info!(address = %self.address, zone = %self.shared.config.dns.zone, "DNS answers");
        let mut tasks = JoinSet::new();
        let udp = Arc::new(self.udp);
        for _ in 0..UDP_TASKS {
            tasks.spawn(serve_udp(udp.clone(), self.shared.clone()));
        }
        tasks.spawn(serve_tcp(self.tcp, self.shared.clone()));
        tasks.spawn(follow_plans(self.plan, self.shared.clone()));
        stop.cancelled().await;
        // Dropping the set aborts the tasks; connections live in a set of the TCP task's own.
        tasks.shutdown().await;
    }
}

/// Both on the same port, also where the port is left to the system.
async fn bind(address: SocketAddr) -> Result<(UdpSocket, TcpListener, SocketAddr), DnsError> {
    let failed = |transport| move |source| DnsError::Bind { address, transport, source };
    let attempts = if address.port() == 0 { 16 } else { 1 };
    let mut attempt = 1;
    loop {
        let udp = UdpSocket::bind(address).await.map_err(failed("udp"))?;
        let bound = udp.local_addr().map_err(failed("udp"))?;
        match TcpListener::bind(bound).await {
            Ok(tcp) => return Ok((udp, tcp, bound)),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && attempt < attempts => attempt += 1,
            Err(error) => return Err(failed("tcp")(error)),
        }
    }
}

/// Swaps the snapshot for each plan that is newer than the one answered from; an older one is refused.
async fn follow_plans(mut plans: watch::Receiver<Option<Arc<CommittedPlan>>>, shared: Arc<Shared>) {
    while plans.changed().await.is_ok() {
        let Some(plan) = plans.borrow_and_update().clone() else { continue };
        let current = shared.zone.load().stamp.clone();
        let refuse = |reason| shared.metrics.refused_plans.with_label_values(&[reason]).inc();
        match current.as_ref().map(|current| plan.stamp.cmp(current)) {
            None | Some(Ordering::Greater) => {}
            Some(Ordering::Equal) => continue,
            Some(Ordering::Less) => {
                warn!(seq = plan.stamp.seq, "DNS keeps its plan: the one offered is older");
                refuse("older");
                continue;
            }
        }
        match Zone::compile(&shared.config, Some(&plan)) {
            Ok(zone) => {
                shared.metrics.plan_seq.set(plan_seq(&zone));
                announce(&zone, Some(&plan));
                shared.zone.store(Arc::new(zone));
            }
            Err(error) => {
                refuse("unanswerable");
                error!(seq = plan.stamp.seq, %error, "DNS keeps its plan: the new one can't be answered");
            }
        }
    }
    // The writer is gone (the agent ends, or restarts its leader part): the last plan goes on being answered.
    std::future::pending::<()>().await;
}

fn plan_seq(zone: &Zone) -> i64 {
    zone.stamp.as_ref().map_or(0, |stamp| i64::try_from(stamp.seq).unwrap_or(i64::MAX))
}

fn announce(zone: &Zone, plan: Option<&CommittedPlan>) {
    let weights: Vec<_> = zone.regions.iter().map(|region| format!("{}={}", region.name, region.weight_bp)).collect();
    let weights = weights.join(" ");
    match plan {
        Some(CommittedPlan { stamp, plan }) => {
            info!(seq = stamp.seq, ballot = stamp.ballot.number, %weights, reason = %plan.reason, "DNS answers a new plan");
        }
        None => warn!(%weights, "DNS answers all regions of the configuration: no plan is committed yet"),
    }
    if !zone.is_weighted() {
        error!(%weights, "no region has a share: DNS answers all of them");
    }
}

impl Shared {
    fn respond(&self, packet: &[u8], source: IpAddr, transport: Transport) -> Option<Vec<u8>> {
        let begin = Instant::now();
        let zone = self.zone.load();
        let Some(reply) = respond(&zone, packet, source, transport, rand::random()) else {
            self.count_dropped(transport, "not_a_query");
            return None;
        };
        self.metrics.queries.with_label_values(&[code_name(reply.code), transport.as_str()]).inc();
        if let Some(region) = reply.region {
            self.metrics.answers.with_label_values(&[region.as_str()]).inc();
        }
        self.metrics.duration.observe(begin.elapsed().as_secs_f64());
        Some(reply.packet)
    }

    fn count_dropped(&self, transport: Transport, reason: &str) {
        self.metrics.dropped.with_label_values(&[transport.as_str(), reason]).inc();
    }
}

/// The codes that this server sends, as `dig` spells them.
fn code_name(code: ResponseCode) -> &'static str {
    match code {
        ResponseCode::NoError => "NOERROR",
        ResponseCode::FormErr => "FORMERR",
        ResponseCode::ServFail => "SERVFAIL",
        ResponseCode::NXDomain => "NXDOMAIN",
        ResponseCode::NotImp => "NOTIMP",
        ResponseCode::Refused => "REFUSED",
        ResponseCode::BADVERS => "BADVERS",
        _ => "OTHER",
    }
}

async fn serve_udp(socket: Arc<UdpSocket>, shared: Arc<Shared>) {
    // One byte more than is read, so that a longer packet shows.
    let mut buffer = vec![0; QUERY_LIMIT + 1];
    loop {
        let (length, client) = match socket.recv_from(&mut buffer).await {
            Ok(received) => received,
            Err(error) => {
                debug!(%error, "receiving a DNS query failed");
                shared.count_dropped(Transport::Udp, "receive_failed");
                tokio::time::sleep(ERROR_PAUSE).await;
                continue;
            }
        };
        let Some(reply) = shared.respond(&buffer[..length], client.ip(), Transport::Udp) else { continue };
        if let Err(error) = socket.send_to(&reply, client).await {
            debug!(%client, %error, "sending a DNS answer failed");
            shared.count_dropped(Transport::Udp, "send_failed");
        }
    }
}

async fn serve_tcp(listener: TcpListener, shared: Arc<Shared>) {
    let total = Arc::new(Semaphore::new(TCP_CONNECTIONS));
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
    let mut packet = Vec::new();
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
        match timeout(TCP_IDLE, read).await {
            Ok(Ok(true)) => {}
            Ok(Ok(false)) => return Ok(()),
            Ok(Err(reason)) => return Err(reason),
            Err(_) => return Err("idle"),
        }
        let reply = shared.respond(&packet, client, Transport::Tcp).ok_or("not_a_query")?;
        let Ok(length) = u16::try_from(reply.len()) else { return Err("too_long") };
        // One write: a length in a segment of its own would cost some clients a round trip (RFC 7766 §8).
        let framed = [&length.to_be_bytes()[..], &reply].concat();
        match timeout(TCP_IDLE, stream.write_all(&framed)).await {
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
        if *count >= TCP_CONNECTIONS_PER_CLIENT {
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
