//! Keeps a connection to every other region that is wanted, and to every other agent of our own
//! region.

use super::{
    connection,
    endpoint::HANDSHAKE_DEADLINE,
    links::{Inner, Mesh},
    reach::Wanted,
    regions::sent_on,
    settings::Settings,
    tls::server_name,
};
use hickory_resolver::TokioResolver;
use quinn::Connection;
use rand::RngExt;
use regionmesh_core::backoff::Backoff;
use regionmesh_protocol::identity::{AgentId, RegionName};
use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};

/// First pause after a failed attempt; doubles up to [`LONGEST_PAUSE`], with full jitter.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// Longest pause between attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
const BACKOFF: Backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
/// How long the serving task may take to register a new connection.
const REGISTERED: Duration = Duration::from_secs(1);
/// Shortest wait for a new connection to be sent on.
const SENT_ON_MIN: Duration = Duration::from_millis(5);
/// Interval between DNS lookups of our region's agents.
const LOCAL_LOOKUP_EVERY: Duration = Duration::from_secs(5);
/// Most addresses used of one lookup.
const ADDRESSES_MAX: usize = 256;

/// What to stay connected to.
#[derive(Debug, Clone)]
pub(crate) enum Target {
    /// Any agent of another region, behind its endpoint, or those that this one sends us on to.
    Region {
        region: RegionName,
        endpoint: String,
    },
    /// Every agent of our region that this name resolves to.
    Local { endpoint: String },
}

impl Target {
    pub(crate) fn all(settings: &Settings, own: &RegionName) -> Vec<Self> {
        let regions = settings.regions.iter().filter(|region| region.name != *own);
        let regions = regions.map(|region| Target::Region {
            region: region.name.clone(),
            endpoint: region.endpoint.clone(),
        });
        let locals = settings.local_peers.iter().map(|endpoint| Target::Local {
            endpoint: endpoint.clone(),
        });

        regions.chain(locals).collect()
    }
}

/// Connects and reconnects to one target; hands each connection to `serve`.
pub(crate) async fn dial(mesh: Mesh, target: Target, serve: mpsc::Sender<(Connection, bool)>) {
    let resolver = match TokioResolver::builder_tokio().and_then(|builder| builder.build()) {
        Ok(resolver) => Some(resolver),
        Err(error) => {
            tracing::warn!(%error, "no usable resolv.conf: only addresses can be dialled, not \
                names");
            None
        }
    };

    match target {
        Target::Region { region, endpoint } => {
            dial_region(&mesh, &region, &endpoint, resolver.as_ref(), &serve).await
        }
        Target::Local { endpoint } => dial_local(&mesh, &endpoint, resolver.as_ref(), &serve).await,
    }
}

async fn dial_region(
    mesh: &Mesh,
    region: &RegionName,
    endpoint: &str,
    resolver: Option<&TokioResolver>,
    serve: &mpsc::Sender<(Connection, bool)>,
) {
    let inner = &mesh.inner;
    let mut changes = inner.watch();
    let mut backoff = BACKOFF;
    // Where the region's agents sent the last connection on to.
    let mut elsewhere = Vec::new();

    loop {
        changes.borrow_and_update();
        let wanted = inner.wanted(region);
        let is_linked = inner.nearest(region).is_some();
        if is_linked || wanted == Wanted::Never {
            if is_linked {
                backoff.reset();
            }
            if wanted == Wanted::Never {
                inner.close_unwanted(region);
            }
            if !changed(&mut changes, wanted).await {
                return;
            }
            continue;
        }

        let attempt = async {
            let addresses = match elsewhere.is_empty() {
                true => lookup(endpoint, resolver).await?,
                false => std::mem::take(&mut elsewhere),
            };
            // Any agent will do; a random one, to spread the diallers.
            let address = addresses[rand::rng().random_range(0..addresses.len())];
            connect(inner, region, address).await
        };

        match attempt.await {
            Ok((connection, _)) => {
                if let Some(addresses) = sent_on_soon(&connection).await {
                    elsewhere = addresses;
                    continue;
                }
                if serve.send((connection, true)).await.is_err() {
                    return;
                }

                // The serving task registers it; do not dial again before that, even if other
                // connections change.
                let registered = async {
                    while inner.nearest(region).is_none() && changes.changed().await.is_ok() {}
                };
                let _ = tokio::time::timeout(REGISTERED, registered).await;
            }
            Err(why) => {
                let pause = backoff.next_pause();
                report_failure(inner, region, endpoint, &why, pause);
                // Wakes early if the peer connects to us.
                let _ = tokio::time::timeout(jittered(pause), changes.changed()).await;
            }
        }
    }
}

/// Waits until the connections, or what is wanted of them, change. False: the mesh has ended.
async fn changed(changes: &mut watch::Receiver<u64>, wanted: Wanted) -> bool {
    let Wanted::Until(until) = wanted else {
        return changes.changed().await.is_ok();
    };

    let timeout = tokio::time::timeout_at(until.into(), changes.changed());
    !matches!(timeout.await, Ok(Err(_)))
}

/// Where a new connection is sent on to: its peer decides that with the end of the handshake.
async fn sent_on_soon(connection: &Connection) -> Option<Vec<SocketAddr>> {
    let round_trips = (connection.rtt() * 2).max(SENT_ON_MIN);
    let _ = tokio::time::timeout(round_trips, connection.closed()).await;
    sent_on(connection)
}

fn report_failure(inner: &Inner, region: &RegionName, endpoint: &str, why: &str, pause: Duration) {
    inner
        .metrics
        .dial_failures
        .with_label_values(&[region.as_str()])
        .inc();

    tracing::debug!(%region, endpoint, why, "cannot connect");
    // Logged once per loss of a region, after the short pauses.
    if pause < LONGEST_PAUSE && pause * 2 >= LONGEST_PAUSE {
        tracing::warn!(%region, endpoint, why, "cannot connect; retrying");
    }
}

async fn dial_local(
    mesh: &Mesh,
    endpoint: &str,
    resolver: Option<&TokioResolver>,
    serve: &mpsc::Sender<(Connection, bool)>,
) {
    let inner = &mesh.inner;
    let own_port = inner.settings.listen;

    // Per address: the agent that answered, or when to try again.
    let mut known: HashMap<SocketAddr, AgentId> = HashMap::new();
    let mut paused: HashMap<SocketAddr, (Instant, Backoff)> = HashMap::new();

    loop {
        let addresses = lookup(endpoint, resolver).await.unwrap_or_default();
        known.retain(|address, _| addresses.contains(address));
        paused.retain(|address, _| addresses.contains(address));

        let mut attempts = JoinSet::new();
        for address in addresses {
            let is_linked = known
                .get(&address)
                .is_some_and(|id| id == &inner.id || inner.newest(id).is_some());
            let is_paused = paused
                .get(&address)
                .is_some_and(|(until, _)| *until > Instant::now());

            if address != own_port && !is_linked && !is_paused {
                let mesh = mesh.clone();
                attempts.spawn(async move {
                    (
                        address,
                        connect(&mesh.inner, &mesh.inner.id.region, address).await,
                    )
                });
            }
        }

        while let Some(attempt) = attempts.join_next().await {
            match attempt {
                Ok((address, Ok((connection, id)))) => {
                    paused.remove(&address);
                    let is_new = id != inner.id && inner.newest(&id).is_none();
                    known.insert(address, id);
                    if is_new && serve.send((connection, true)).await.is_err() {
                        return;
                    }
                }
                Ok((address, Err(why))) => {
                    tracing::debug!(%address, why, "cannot connect to an agent of our region");
                    let now = Instant::now();
                    let (until, backoff) = paused.entry(address).or_insert((now, BACKOFF));
                    *until = now + jittered(backoff.next_pause());
                }
                Err(_) => {}
            }
        }

        let soonest = paused
            .values()
            .map(|(until, _)| until.saturating_duration_since(Instant::now()))
            .min();
        let wait = soonest
            .unwrap_or(LOCAL_LOOKUP_EVERY)
            .clamp(FIRST_PAUSE, LOCAL_LOOKUP_EVERY);
        let mut changes = inner.watch();

        changes.mark_unchanged();
        let _ = tokio::time::timeout(wait, changes.changed()).await;
        // Several changes need only one check.
        tokio::time::sleep(FIRST_PAUSE).await;
    }
}

/// Between half of `pause` and one and a half.
fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(rand::rng().random_range(0.5..1.5))
}

async fn connect(
    inner: &Inner,
    region: &RegionName,
    address: SocketAddr,
) -> Result<(Connection, AgentId), String> {
    let port = inner.port.load_full().ok_or("the port is not open")?;
    let connecting = port
        .0
        .connect_with(port.1.control.clone(), address, &server_name(region))
        .map_err(|error| error.to_string())?;
    let connection = tokio::time::timeout(HANDSHAKE_DEADLINE, connecting)
        .await
        .map_err(|_| format!("{address} did not finish the handshake"))?
        .map_err(|error| format!("{address}: {}", connection::explain(&error)))?;
    let id = connection::peer_of(&connection)
        .ok_or_else(|| format!("{address} presented no agent certificate"))?;

    Ok((connection, id))
}

/// Resolves `host:port`; never empty.
async fn lookup(
    endpoint: &str,
    resolver: Option<&TokioResolver>,
) -> Result<Vec<SocketAddr>, String> {
    if let Ok(address) = endpoint.parse::<SocketAddr>() {
        return Ok(vec![address]);
    }

    let (host, port) = endpoint
        .rsplit_once(':')
        .ok_or_else(|| format!("{endpoint:?} is not host:port"))?;
    let port: u16 = port
        .parse()
        .map_err(|_| format!("{endpoint:?} is not host:port"))?;
    let resolver =
        resolver.ok_or_else(|| format!("cannot resolve {host}: no usable resolv.conf"))?;
    let found = resolver
        .lookup_ip(host)
        .await
        .map_err(|error| format!("cannot resolve {host}: {error}"))?;

    let addresses: Vec<_> = found
        .iter()
        .take(ADDRESSES_MAX)
        .map(|address: IpAddr| SocketAddr::new(address, port))
        .collect();

    if addresses.is_empty() {
        Err(format!("{host} has no address"))
    } else {
        Ok(addresses)
    }
}
