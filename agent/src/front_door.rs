//! The front door: a TCP forwarder on localhost that finds a living region through the mesh's own DNS.
//!
//! Per connection it resolves the service name as any client would (hickory-resolver, honouring the TTL), connects and
//! copies bytes both ways. As long as connecting fails nothing was sent, so it forgets the cached answer, asks again
//! and tries another address, for at most three seconds. It never replays bytes: a backend that dies in the middle
//! of a connection ends that connection, within seconds even if its host falls silent.

use hickory_resolver::{
    TokioResolver,
    config::{ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig},
    net::{NetError, runtime::TokioRuntimeProvider},
    proto::rr::Name,
};
use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry};
use socket2::{SockRef, TcpKeepalive};
use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

/// Connections forwarded at once.
const CONNECTIONS: usize = 1_024;
/// How long one attempt to connect may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a connection may look for a backend in all.
const SEARCH_TIMEOUT: Duration = Duration::from_secs(3);
/// How long one lookup may take: agents are near, and several are asked at once.
const LOOKUP_TIMEOUT: Duration = Duration::from_millis(500);
/// Agents asked at once, so that one that hangs costs nothing.
const PARALLEL_LOOKUPS: usize = 3;
/// Pause before asking again when every address known has failed: DNS needs a moment to change.
const SEARCH_PAUSE: Duration = Duration::from_millis(50);
/// How long one connection avoids an address that failed, before it may be back.
const AVOID_FOR: Duration = Duration::from_millis(500);
/// A peer that acknowledges nothing for this long is dead (TCP_USER_TIMEOUT, RFC 5482).
const DEAD_AFTER: Duration = Duration::from_secs(3);

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
    /// Counters.
    pub metrics: FrontDoorMetrics,
}

/// Why the front door can't open.
#[derive(Debug, thiserror::Error)]
pub enum FrontDoorError {
    /// No address to listen on works.
    #[error("the front door can't listen on {address}: {}; free the port or choose another with --front-door", crate::describe::io_error(.source))]
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

/// The front door's metrics. Cheap to clone; clones count together.
#[derive(Debug, Clone)]
pub struct FrontDoorMetrics {
    /// Connections ended, by result: `forwarded`, `broken`, `no_backend`, `too_many`.
    pub connections: IntCounterVec,
    /// Connections open now.
    pub open: IntGauge,
    /// Attempts to connect that failed and were followed by another.
    pub retries: IntCounter,
    /// Time until a backend was connected.
    pub search: Histogram,
}

impl FrontDoorMetrics {
    /// Registers the metrics.
    pub fn new(registry: &Registry) -> prometheus::Result<Self> {
        let metrics = Self {
            connections: IntCounterVec::new(
                Opts::new("regionmesh_front_door_connections_total", "Connections to the front door, by result."),
                &["result"],
            )?,
            open: IntGauge::new("regionmesh_front_door_open_connections", "Connections being forwarded.")?,
            retries: IntCounter::new(
                "regionmesh_front_door_connect_failures_total",
                "Attempts to connect to a region that failed before anything was sent.",
            )?,
            search: Histogram::with_opts(
                HistogramOpts::new(
                    "regionmesh_front_door_connect_duration_seconds",
                    "Time to find and connect to a region.",
                )
                .buckets(vec![1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0]),
            )?,
        };
        registry.register(Box::new(metrics.connections.clone()))?;
        registry.register(Box::new(metrics.open.clone()))?;
        registry.register(Box::new(metrics.retries.clone()))?;
        registry.register(Box::new(metrics.search.clone()))?;
        Ok(metrics)
    }

    /// What was counted, for people; none if nobody came.
    pub fn summary(&self) -> Option<String> {
        let results = [
            ("forwarded", "forwarded"),
            ("broken", "broken off"),
            ("no_backend", "found no region"),
            ("too_many", "were too many"),
        ];
        let told = results.map(|(result, words)| (self.connections.with_label_values(&[result]).get(), words));
        let told: Vec<String> =
            told.iter().filter(|(count, _)| *count > 0).map(|(count, words)| format!("{count} {words}")).collect();
        let retries = self.retries.get();
        (!told.is_empty()).then(|| format!("{}; {retries} times a region could not be reached", told.join(", ")))
    }
}

/// A bound front door.
#[derive(Debug)]
pub struct FrontDoor {
    listeners: Vec<TcpListener>,
    door: Arc<Door>,
}

struct Door {
    resolver: TokioResolver,
    service: Name,
    port: u16,
    metrics: FrontDoorMetrics,
}

impl std::fmt::Debug for Door {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Door").field("service", &self.service).field("port", &self.port).finish_non_exhaustive()
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
        let FrontDoorArguments { listen, service, name_servers, port, metrics } = arguments;
        let failed = |why: String| FrontDoorError::Resolver { service: service.clone(), why };
        let mut name = Name::from_ascii(&service).map_err(|error| failed(error.to_string()))?;
        // Absolute, so that no search list of the machine is tried.
        name.set_fqdn(true);
        let resolver = resolver(&name_servers).map_err(|error| failed(error.to_string()))?;
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
        Ok(Self { listeners, door: Arc::new(Door { resolver, service: name, port, metrics }) })
    }

    /// The addresses that it listens on.
    pub fn local_addrs(&self) -> Vec<SocketAddr> {
        self.listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect()
    }

    /// Forwards until `stop`; then open connections are cut.
    pub async fn serve(self, stop: CancellationToken) {
        let limit = Arc::new(Semaphore::new(CONNECTIONS));
        let mut doors = JoinSet::new();
        for listener in self.listeners {
            doors.spawn(accept(listener, self.door.clone(), limit.clone()));
        }
        stop.cancelled().await;
        doors.shutdown().await;
    }
}

fn no_ipv6(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EAFNOSUPPORT))
}

fn resolver(name_servers: &[SocketAddr]) -> Result<TokioResolver, NetError> {
    let server = |address: &SocketAddr| {
        let at_port = |mut connection: ConnectionConfig| {
            connection.port = address.port();
            connection
        };
        let connections = vec![at_port(ConnectionConfig::udp()), at_port(ConnectionConfig::tcp())];
        NameServerConfig::new(address.ip(), true, connections)
    };
    let config = ResolverConfig::from_name_servers(name_servers.iter().map(server).collect());
    let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    let options = builder.options_mut();
    options.timeout = LOOKUP_TIMEOUT;
    options.attempts = 1;
    options.num_concurrent_reqs = PARALLEL_LOOKUPS;
    options.ip_strategy = LookupIpStrategy::Ipv4thenIpv6;
    options.use_hosts_file = ResolveHosts::Never;
    options.recursion_desired = false;
    builder.build()
}

async fn accept(listener: TcpListener, door: Arc<Door>, limit: Arc<Semaphore>) {
    let mut connections = JoinSet::new();
    loop {
        let (client, from) = tokio::select! {
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    warn!(%error, "the front door could not accept a connection");
                    sleep(SEARCH_PAUSE).await;
                    continue;
                }
            },
        };
        let Ok(permit) = limit.clone().try_acquire_owned() else {
            door.metrics.connections.with_label_values(&["too_many"]).inc();
            continue;
        };
        let door = door.clone();
        connections.spawn(async move {
            let _permit = permit;
            door.metrics.open.inc();
            let result = door.forward(client, from).await;
            door.metrics.open.dec();
            door.metrics.connections.with_label_values(&[result]).inc();
        });
    }
}

impl Door {
    /// One connection from beginning to end; says how it ended.
    async fn forward(&self, mut client: TcpStream, from: SocketAddr) -> &'static str {
        let begin = Instant::now();
        let mut backend = match self.search(begin + SEARCH_TIMEOUT).await {
            Ok(backend) => backend,
            Err(why) => {
                warn!(%from, service = %self.service, why, "no region could be reached; the connection is closed");
                return "no_backend";
            }
        };
        self.metrics.search.observe(begin.elapsed().as_secs_f64());
        for stream in [&client, &backend] {
            if let Err(error) = notice_death(stream) {
                debug!(%error, "TCP time-outs could not be set");
            }
        }
        // Copies until both sides have ended; a half that ended is passed on as such.
        match tokio::io::copy_bidirectional(&mut client, &mut backend).await {
            Ok(_) => "forwarded",
            Err(error) => {
                debug!(%from, %error, "a forwarded connection broke");
                "broken"
            }
        }
    }

    /// Finds a backend that accepts the connection.
    async fn search(&self, deadline: Instant) -> Result<TcpStream, String> {
        let mut failed: Vec<(IpAddr, Instant)> = Vec::new();
        let mut last = String::from("DNS was not asked");
        while Instant::now() < deadline {
            failed.retain(|(_, when)| when.elapsed() < AVOID_FOR);
            let left = deadline.saturating_duration_since(Instant::now());
            let address = match timeout(left, self.resolver.lookup_ip(self.service.clone())).await {
                Ok(Ok(answer)) => answer.iter().find(|address| failed.iter().all(|(bad, _)| bad != address)),
                Ok(Err(error)) => {
                    last = format!("DNS: {error}");
                    None
                }
                Err(_) => {
                    last = String::from("DNS did not answer in time");
                    None
                }
            };
            let Some(address) = address else {
                // Nothing new: DNS draws another region in a moment, or is about to change.
                self.resolver.clear_cache();
                sleep(SEARCH_PAUSE).await;
                continue;
            };
            let target = SocketAddr::new(address, self.port);
            let left = CONNECT_TIMEOUT.min(deadline.saturating_duration_since(Instant::now()));
            match timeout(left, TcpStream::connect(target)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => last = format!("{target}: {error}"),
                Err(_) => last = format!("{target}: no answer within {CONNECT_TIMEOUT:?}"),
            }
            info!(why = last, "the front door tries another region");
            self.metrics.retries.inc();
            failed.push((address, Instant::now()));
            self.resolver.clear_cache();
        }
        Err(last)
    }
}

/// Without this a peer whose host vanishes would hold the connection for a quarter of an hour.
fn notice_death(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    let keepalive = TcpKeepalive::new().with_time(DEAD_AFTER / 3).with_interval(DEAD_AFTER / 3).with_retries(2);
    socket.set_tcp_keepalive(&keepalive)?;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    socket.set_tcp_user_timeout(Some(DEAD_AFTER))?;
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;
    use crate::{
        config::rig,
        dns::{DnsArguments, metrics::DnsMetrics, server::DnsServer},
    };
    use regionmesh_protocol::{
        plan::{CommittedPlan, Plan, RegionPlan, Standing},
        register::{Ballot, Stamp},
    };
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        sync::watch,
        task::JoinHandle,
    };
    use tokio_util::sync::DropGuard;

    const ADDRESSES: [&str; 2] = ["127.0.0.41", "127.0.0.42"];

    fn plan(seq: u64, weights: [u16; 2]) -> Option<Arc<CommittedPlan>> {
        let region = |index: usize| RegionPlan {
            weight_bp: weights[index],
            standing: Standing::Serving,
            addresses: vec![ADDRESSES[index].parse().unwrap()],
            flaps: 0,
            failed_ms: 0,
            ..RegionPlan::default()
        };
        let regions = [("a".parse().unwrap(), region(0)), ("b".parse().unwrap(), region(1))].into();
        let stamp = Stamp { ballot: Ballot { number: 1, agent: "a/node-0".parse().unwrap(), boot: 1 }, seq };
        Some(Arc::new(CommittedPlan { stamp, plan: Plan { regions, ..Plan::default() } }))
    }

    async fn dns(plan: watch::Receiver<Option<Arc<CommittedPlan>>>, stop: &CancellationToken) -> SocketAddr {
        let config = rig::config(&[("a", ADDRESSES[0])], "");
        let metrics = DnsMetrics::new(&Registry::new()).unwrap();
        let server = DnsServer::bind(DnsArguments {
            config: Arc::new(config),
            plan,
            board: watch::channel(Arc::default()).1,
            metrics,
        })
        .await
        .unwrap();
        let address = server.local_addr();
        tokio::spawn(server.serve(stop.clone()));
        address
    }

    /// Answers every connection with its letter, reads until the client's end, and says how much that was.
    fn backend(listener: TcpListener, letter: u8) -> JoinHandle<()> {
        tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                connections.spawn(async move {
                    stream.write_all(&[letter]).await.unwrap();
                    let mut all = Vec::new();
                    if stream.read_to_end(&mut all).await.is_ok() {
                        let _ = stream.write_all(all.len().to_string().as_bytes()).await;
                    }
                });
            }
        })
    }

    struct Scene {
        door: SocketAddr,
        backends: [JoinHandle<()>; 2],
        plans: watch::Sender<Option<Arc<CommittedPlan>>>,
        metrics: FrontDoorMetrics,
        _stop: DropGuard,
    }

    async fn scene(weights: [u16; 2]) -> Scene {
        let first = TcpListener::bind((ADDRESSES[0], 0)).await.unwrap();
        let port = first.local_addr().unwrap().port();
        let second = TcpListener::bind((ADDRESSES[1], port)).await.unwrap();
        let (plans, plan_cell) = watch::channel(plan(1, weights));
        let stop = CancellationToken::new();
        // The second name server is an agent that is gone.
        let name_servers = vec![dns(plan_cell, &stop).await, "127.0.0.43:9".parse().unwrap()];
        let metrics = FrontDoorMetrics::new(&Registry::new()).unwrap();
        let arguments = FrontDoorArguments {
            listen: vec!["127.0.0.1:0".parse().unwrap()],
            service: "serving.regionmesh.test".into(),
            name_servers,
            port,
            metrics: metrics.clone(),
        };
        let door = FrontDoor::bind(arguments).await.unwrap();
        let address = door.local_addrs()[0];
        tokio::spawn(door.serve(stop.clone()));
        let backends = [backend(first, b'a'), backend(second, b'b')];
        Scene { door: address, backends, plans, metrics, _stop: stop.drop_guard() }
    }

    impl Scene {
        /// One connection: the letter of whom it reached, none if it was closed without one.
        async fn knock(&self) -> Option<u8> {
            let mut stream = TcpStream::connect(self.door).await.unwrap();
            timeout(Duration::from_secs(10), stream.read_u8()).await.expect("not stuck").ok()
        }
    }

    #[test]
    fn counts_are_told_in_words_if_anybody_came() {
        let metrics = FrontDoorMetrics::new(&Registry::new()).unwrap();
        metrics.retries.inc();
        assert_eq!(metrics.summary(), None);
        metrics.connections.with_label_values(&["forwarded"]).inc_by(12);
        metrics.connections.with_label_values(&["no_backend"]).inc();
        let told = "12 forwarded, 1 found no region; 1 times a region could not be reached";
        assert_eq!(metrics.summary().as_deref(), Some(told));
    }

    #[tokio::test]
    async fn a_connection_reaches_the_region_that_dns_answers_and_both_halves_end_on_their_own() {
        let scene = scene([0, 1]).await;
        let mut stream = TcpStream::connect(scene.door).await.unwrap();
        assert_eq!(stream.read_u8().await.unwrap(), b'b');
        stream.write_all(&vec![7; 300_000]).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, "300000");
    }

    #[tokio::test]
    async fn a_region_that_dies_costs_no_new_connection_anything_while_dns_still_names_it() {
        let scene = scene([1, 1]).await;
        scene.backends[0].abort();
        for _ in 0..40 {
            assert_eq!(scene.knock().await, Some(b'b'));
        }
    }

    #[tokio::test]
    async fn a_connection_waits_for_dns_to_change() {
        let scene = scene([1, 0]).await;
        scene.backends[0].abort();
        let (letter, ()) = tokio::join!(scene.knock(), async {
            while scene.metrics.retries.get() == 0 {
                sleep(Duration::from_millis(5)).await;
            }
            scene.plans.send_replace(plan(2, [0, 1]));
        });
        assert_eq!(letter, Some(b'b'));
    }

    #[tokio::test]
    async fn with_no_region_left_a_connection_is_closed_within_the_search_time_and_counted() {
        let scene = scene([1, 1]).await;
        scene.backends.iter().for_each(JoinHandle::abort);
        let begin = Instant::now();
        assert_eq!(scene.knock().await, None);
        assert!(begin.elapsed() < SEARCH_TIMEOUT + Duration::from_secs(2), "{:?}", begin.elapsed());
        let counted = || scene.metrics.connections.with_label_values(&["no_backend"]).get();
        while counted() == 0 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_backend_that_dies_in_the_middle_ends_the_connection() {
        let scene = scene([1, 0]).await;
        let mut stream = TcpStream::connect(scene.door).await.unwrap();
        assert_eq!(stream.read_u8().await.unwrap(), b'a');
        scene.backends[0].abort();
        let end = timeout(Duration::from_secs(10), stream.read_u8()).await.expect("not stuck");
        assert!(end.is_err());
    }

    #[tokio::test]
    async fn a_taken_address_is_an_error_that_names_it() {
        let scene = scene([1, 1]).await;
        let arguments = FrontDoorArguments {
            listen: vec![scene.door],
            service: "serving.regionmesh.test".into(),
            name_servers: Vec::new(),
            port: 1,
            metrics: FrontDoorMetrics::new(&Registry::new()).unwrap(),
        };
        let error = FrontDoor::bind(arguments).await.unwrap_err().to_string();
        assert!(error.contains(&scene.door.to_string()), "{error}");
    }
}
