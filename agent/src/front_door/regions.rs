//! The regions that requests can be sent to: what the mesh's DNS answers, without addresses that
//! just failed.
//!
//! All requests share one search: one lookup at a time, and at most one per [`SEARCH_PAUSE`].

use super::error::FrontDoorError;
use hickory_resolver::{
    TokioResolver,
    config::{ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig},
    net::{NetError, runtime::TokioRuntimeProvider},
    proto::rr::Name,
};
use parking_lot::Mutex;
use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};
use tokio::time::{Instant, sleep_until, timeout_at};

/// Timeout of one lookup: agents are near, and several are queried in parallel.
const LOOKUP_TIMEOUT: Duration = Duration::from_millis(500);
/// Agents queried in parallel, so that one that hangs causes no delay.
const PARALLEL_LOOKUPS: usize = 3;
/// Pause before DNS is queried again when every known address has failed.
const SEARCH_PAUSE: Duration = Duration::from_millis(50);
/// Time that an address is avoided after it failed.
pub(super) const AVOID_FOR: Duration = Duration::from_millis(500);

pub(super) struct Regions {
    resolver: TokioResolver,
    service: Name,
    port: u16,
    search: tokio::sync::Mutex<Search>,
    /// Start of the outage; none while a region answers.
    outage: Mutex<Option<Instant>>,
}

struct Search {
    avoided: Vec<(IpAddr, Instant)>,
    /// When the cache was last cleared.
    cleared_at: Instant,
    /// Incremented by each lookup, so that a region's addresses take turns.
    turn: usize,
}

impl Regions {
    pub(super) fn new(
        service: &str,
        name_servers: &[SocketAddr],
        port: u16,
    ) -> Result<Self, FrontDoorError> {
        let failed = |why: String| FrontDoorError::Resolver {
            service: service.to_owned(),
            why,
        };
        let mut name = Name::from_ascii(service).map_err(|error| failed(error.to_string()))?;

        // Absolute, so that the machine's search list does not apply.
        name.set_fqdn(true);

        let resolver = resolver(name_servers).map_err(|error| failed(error.to_string()))?;
        let search = Search {
            avoided: Vec::new(),
            cleared_at: Instant::now(),
            turn: 0,
        };

        Ok(Self {
            resolver,
            service: name,
            port,
            search: tokio::sync::Mutex::new(search),
            outage: Mutex::new(None),
        })
    }

    /// An address that DNS names, that did not fail recently, and that is not in `unwanted`. If
    /// there is none until the deadline, the last reason.
    pub(super) async fn find(
        &self,
        unwanted: &[(IpAddr, Instant)],
        deadline: Instant,
    ) -> Result<SocketAddr, String> {
        let mut last = String::from("DNS was not queried");
        loop {
            match timeout_at(deadline, self.lookup(unwanted)).await {
                Ok(Ok(address)) => return Ok(address),
                Ok(Err(why)) => last = why,
                Err(_) => return Err(format!("DNS did not answer in time; before that: {last}")),
            }

            let next = Instant::now() + SEARCH_PAUSE;
            if next >= deadline {
                return Err(last);
            }
            sleep_until(next).await;
        }
    }

    async fn lookup(&self, unwanted: &[(IpAddr, Instant)]) -> Result<SocketAddr, String> {
        let mut search = self.search.lock().await;
        let now = Instant::now();
        search.avoided.retain(|(_, until)| *until > now);

        let answer = self.resolver.lookup_ip(self.service.clone()).await;
        let answer = answer.map_err(|error| format!("DNS: {error}"));
        let known: Vec<IpAddr> = answer
            .as_ref()
            .map(|answer| answer.iter().collect())
            .unwrap_or_default();
        let is_avoided = |address: &IpAddr| {
            search
                .avoided
                .iter()
                .chain(unwanted)
                .any(|(avoided, until)| avoided == address && *until > now)
        };

        let usable: Vec<IpAddr> = known
            .iter()
            .copied()
            .filter(|address| !is_avoided(address))
            .collect();

        if !usable.is_empty() {
            search.turn = search.turn.wrapping_add(1);
            return Ok(SocketAddr::new(
                usable[search.turn % usable.len()],
                self.port,
            ));
        }

        // No usable address: the next answer may name another region.
        if search.cleared_at.elapsed() >= SEARCH_PAUSE {
            self.resolver.clear_cache();
            search.cleared_at = now;
        }

        answer.and_then(|_| Err(format!("DNS names {known:?}, which does not answer")))
    }

    /// An address could not be reached: it is avoided for a while.
    pub(super) async fn lost(&self, address: SocketAddr, why: &str) {
        let mut search = self.search.lock().await;
        search
            .avoided
            .push((address.ip(), Instant::now() + AVOID_FOR));
        self.resolver.clear_cache();
        search.cleared_at = Instant::now();

        let mut outage = self.outage.lock();
        if outage.is_none() {
            *outage = Some(Instant::now());
            tracing::info!(%address, why, "a region does not answer; requests wait until DNS names \
                one that does");
        }
    }

    /// An address was reached.
    pub(super) fn found(&self, address: SocketAddr) {
        let begun = self.outage.lock().take();

        if let Some(begun) = begun {
            let after_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
            tracing::info!(%address, after_ms, "a region answers; waiting requests are \
                sent to it");
        }
    }

    pub(super) fn service(&self) -> &Name {
        &self.service
    }
}

fn resolver(name_servers: &[SocketAddr]) -> Result<TokioResolver, NetError> {
    let server = |address: &SocketAddr| {
        let at_port = |mut connection: ConnectionConfig| {
            connection.port = address.port();
            connection
        };
        let connections = vec![
            at_port(ConnectionConfig::udp()),
            at_port(ConnectionConfig::tcp()),
        ];

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
