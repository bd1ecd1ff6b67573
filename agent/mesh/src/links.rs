//! The connections of this agent and what can be done with them: the [`Mesh`] handle.

use super::{
    endpoint::Dialling,
    handle::{BulkService, GossipInbox, GossipTransport, Peer, PeerError, Peers},
    metrics::MeshMetrics,
    published::{LinkInfo, published_links},
    reach::Reach,
    sessions::Sessions,
    settings::Settings,
    tls::{Identity, server_name},
};
use arc_swap::ArcSwapOption;
use async_trait::async_trait;
use parking_lot::Mutex;
use quinn::{Connection, RecvStream, SendStream};
use regionmesh_core::gateways::Gateways;
use regionmesh_protocol::{
    codec,
    identity::{AgentId, RegionName},
    status::Links,
    wire::{Envelope, PeerReply, PeerRequest, StreamKind},
};
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::watch;

/// How long a bulk connection may take to open.
const BULK_DIAL_DEADLINE: Duration = Duration::from_secs(5);

pub struct MeshArguments {
    /// Where we listen and what we stay connected to.
    pub settings: Settings,
    pub identity: Arc<Identity>,
    /// Where the mesh publishes its connections; the mesh is the only writer.
    pub links: watch::Sender<Arc<BTreeMap<AgentId, LinkInfo>>>,
    /// Which agents of this agent's region hold links to other regions.
    pub gateways: watch::Receiver<Arc<Gateways>>,
    /// Takes datagrams and exchanges.
    pub gossip: Arc<dyn GossipInbox>,
    /// Serves peers' bulk streams.
    pub bulk: Arc<dyn BulkService>,
    pub metrics: MeshMetrics,
}

/// One connection.
#[derive(Debug, Clone)]
struct Link {
    connection: Connection,
    since: Instant,
}

#[derive(Default)]
struct PeerLinks {
    /// Oldest first; the newest is used.
    links: Vec<Link>,
}

pub(crate) struct Inner {
    pub(crate) settings: Settings,
    pub(crate) identity: Arc<Identity>,
    pub(crate) id: AgentId,
    pub(crate) links: watch::Sender<Arc<BTreeMap<AgentId, LinkInfo>>>,
    pub(crate) gateways: watch::Receiver<Arc<Gateways>>,
    pub(crate) gossip: Arc<dyn GossipInbox>,
    pub(crate) bulk: Arc<dyn BulkService>,
    pub(crate) metrics: MeshMetrics,
    pub(crate) sessions: Sessions,
    /// Bound at the mesh actor's first start and kept across its restarts, so that no other process
    /// can take the port.
    pub(crate) port: ArcSwapOption<(quinn::Endpoint, Dialling)>,
    peers: Mutex<BTreeMap<AgentId, PeerLinks>>,
    /// Which regions to be linked with.
    pub(crate) reach: Mutex<Reach>,
    /// Counts changes of `peers`.
    changes: watch::Sender<u64>,
    bulk_connections: Mutex<BTreeMap<AgentId, Arc<tokio::sync::Mutex<Option<Connection>>>>>,
}

/// The mesh, as the rest of the agent uses it. Stays valid when the mesh actor restarts.
#[derive(Clone)]
pub struct Mesh {
    pub(crate) inner: Arc<Inner>,
}

impl Mesh {
    /// A mesh without connections; the [`super::actor::MeshActor`] opens them.
    pub fn new(arguments: MeshArguments) -> Self {
        let MeshArguments {
            settings,
            identity,
            links,
            gateways,
            gossip,
            bulk,
            metrics,
        } = arguments;

        Self {
            inner: Arc::new(Inner {
                id: identity.id().clone(),
                settings,
                identity,
                links,
                gateways,
                gossip,
                bulk,
                metrics,
                sessions: Sessions::default(),
                port: ArcSwapOption::empty(),
                peers: Mutex::default(),
                reach: Mutex::default(),
                changes: watch::Sender::default(),
                bulk_connections: Mutex::default(),
            }),
        }
    }

    /// Opens a stream on the bulk connection to a connected agent; dials if it is missing or
    /// broken.
    pub async fn open_bulk(&self, to: &AgentId) -> Result<(SendStream, RecvStream), PeerError> {
        let peer = || Peer::Agent(to.clone());
        let slot = self
            .inner
            .bulk_connections
            .lock()
            .entry(to.clone())
            .or_default()
            .clone();

        // Locked while dialling, so that concurrent requests to one peer share a connection.
        let mut slot = slot.lock().await;
        if let Some(connection) = &*slot
            && connection.close_reason().is_none()
            && let Ok(stream) = connection.open_bi().await
        {
            return Ok(stream);
        }

        let remote = self
            .inner
            .newest(to)
            .ok_or_else(|| PeerError::NotConnected(peer()))?
            .remote_address();
        let port = self
            .inner
            .port
            .load_full()
            .ok_or_else(|| PeerError::NotConnected(peer()))?;
        let broken = |why: String| PeerError::Broken(peer(), why);

        let connecting = port
            .0
            .connect_with(port.1.bulk.clone(), remote, &server_name(&to.region))
            .map_err(|error| broken(error.to_string()))?;
        let connection = tokio::time::timeout(BULK_DIAL_DEADLINE, connecting)
            .await
            .map_err(|_| PeerError::TimedOut(peer(), BULK_DIAL_DEADLINE))?
            .map_err(|error| broken(error.to_string()))?;
        let stream = connection
            .open_bi()
            .await
            .map_err(|error| broken(error.to_string()))?;

        *slot = Some(connection);
        Ok(stream)
    }

    /// Closes all connections and notifies the peers.
    pub async fn close(&self) {
        if let Some(port) = self.inner.port.load_full() {
            port.0.close(quinn::VarInt::from_u32(0), b"the agent stops");
            let _ = tokio::time::timeout(Duration::from_millis(500), port.0.wait_idle()).await;
        }
    }
}

impl Inner {
    /// The connection to use towards an agent.
    pub(crate) fn newest(&self, to: &AgentId) -> Option<Connection> {
        self.peers
            .lock()
            .get(to)
            .and_then(|peer| peer.links.last())
            .map(|link| link.connection.clone())
    }

    /// The agent of a region with the shortest round trip, and the connection to it.
    pub(crate) fn nearest(&self, region: &RegionName) -> Option<(AgentId, Connection)> {
        self.peers
            .lock()
            .iter()
            .filter(|(id, _)| &id.region == region)
            .filter_map(|(id, peer)| Some((id.clone(), peer.links.last()?.connection.clone())))
            .min_by_key(|(_, connection)| connection.rtt())
    }

    /// The connections to these agents.
    pub(crate) fn connections(
        &self,
        is_meant: impl Fn(&AgentId) -> bool,
    ) -> Vec<(AgentId, Connection)> {
        let peers = self.peers.lock();
        let meant = peers.iter().filter(|(id, _)| is_meant(id));
        let links = meant.flat_map(|(id, peer)| peer.links.iter().map(move |link| (id, link)));
        links
            .map(|(id, link)| (id.clone(), link.connection.clone()))
            .collect()
    }

    /// Lets those who dial look at what is wanted.
    pub(crate) fn wake_diallers(&self) {
        self.changes.send_modify(|changes| *changes += 1);
    }

    /// Changes whenever the connections, or what is wanted of them, change.
    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Adds a connection; notifies gossip if it is the first to that agent.
    pub(crate) fn add(&self, peer: &AgentId, connection: &Connection) {
        let is_first = {
            let mut peers = self.peers.lock();
            let links = &mut peers.entry(peer.clone()).or_default().links;
            links.push(Link {
                connection: connection.clone(),
                since: Instant::now(),
            });

            links.len() == 1
        };

        self.metrics
            .connections
            .with_label_values(&[peer.region.as_str(), "control"])
            .inc();

        self.publish();
        if is_first {
            tracing::info!(peer = %peer, address = %connection.remote_address(), "connected");
            self.gossip.link_up(peer);
        }
    }

    /// Removes a connection; notifies gossip if it was the last to that agent.
    pub(crate) fn remove(&self, peer: &AgentId, connection: &Connection, why: &str) {
        let is_last = {
            let mut peers = self.peers.lock();
            let Some(entry) = peers.get_mut(peer) else {
                return;
            };

            entry
                .links
                .retain(|link| link.connection.stable_id() != connection.stable_id());

            let is_last = entry.links.is_empty();
            if is_last {
                peers.remove(peer);
            }

            is_last
        };

        self.metrics
            .connections
            .with_label_values(&[peer.region.as_str(), "control"])
            .dec();

        self.publish();
        if is_last {
            self.reach.lock().closed(peer);
            tracing::info!(peer = %peer, why, "disconnected");
            self.gossip.link_down(peer);
        }
    }

    /// Closes all connections when the mesh actor restarts.
    pub(crate) fn clear(&self) {
        for (peer, connection) in self.connections(|_| true) {
            connection.close(quinn::VarInt::from_u32(0), b"restarting");
            self.remove(&peer, &connection, "the mesh actor restarts");
        }
    }

    /// Publishes the current connections and their round-trip times.
    pub(crate) fn publish(&self) {
        // Under the cell's lock: of two concurrent calls the later one sees all connections.
        self.links
            .send_modify(|links| *links = Arc::new(self.current_links()));

        let links = self.links.borrow().clone();
        for region in &self.settings.regions {
            let nearest = links
                .iter()
                .filter(|(id, _)| id.region == region.name)
                .map(|(_, link)| link.round_trip_us)
                .min();

            if let Some(us) = nearest {
                self.metrics
                    .round_trip
                    .with_label_values(&[region.name.as_str()])
                    .set(us as f64 / 1e6);
            }
        }

        let unreachable = self.published(&links).unreachable.len();
        self.metrics
            .unreachable_regions
            .set(i64::try_from(unreachable).unwrap_or(i64::MAX));
        self.wake_diallers();
    }

    /// What the status board shows of the connections.
    pub(crate) fn published(&self, links: &BTreeMap<AgentId, LinkInfo>) -> Links {
        published_links(&self.settings, &self.id, self.is_gateway(), links)
    }

    fn current_links(&self) -> BTreeMap<AgentId, LinkInfo> {
        let info = |link: &Link| LinkInfo {
            round_trip_us: u64::try_from(link.connection.rtt().as_micros()).unwrap_or(u64::MAX),
            since: link.since,
        };

        self.peers
            .lock()
            .iter()
            .filter_map(|(id, peer)| Some((id.clone(), info(peer.links.last()?))))
            .collect()
    }

    /// The connected agent to call now.
    pub(crate) fn target(&self, to: &Peer) -> Option<AgentId> {
        match to {
            Peer::Agent(agent) => self.sessions.has(agent).then(|| agent.clone()),
            // The nearest agent may still be starting and have no session yet.
            Peer::Region(region) => self
                .peers
                .lock()
                .iter()
                .filter(|(id, _)| &id.region == region && self.sessions.has(id))
                .filter_map(|(id, peer)| Some((id, peer.links.last()?.connection.rtt())))
                .min_by_key(|(_, round_trip)| *round_trip)
                .map(|(id, _)| id.clone()),
        }
    }
}

#[async_trait]
impl Peers for Mesh {
    async fn call(
        &self,
        to: &Peer,
        request: PeerRequest,
        timeout: Duration,
    ) -> Result<PeerReply, PeerError> {
        let answer = match self.inner.reach(to, timeout).await {
            Some(agent) => {
                let sessions = &self.inner.sessions;
                sessions.call(&agent, to, request, timeout).await
            }
            None => Err(PeerError::NotConnected(to.clone())),
        };
        let outcome = match &answer {
            Ok(_) => "answered",
            Err(PeerError::NotConnected(_)) => "not-connected",
            Err(PeerError::Busy(_)) => "busy",
            Err(PeerError::TimedOut(..)) => "timed-out",
            Err(PeerError::Broken(..)) => "broken",
            Err(PeerError::Malformed(..)) => "malformed",
        };

        self.inner.metrics.calls.with_label_values(&[outcome]).inc();
        answer
    }
}

#[async_trait]
impl GossipTransport for Mesh {
    fn send_datagram(&self, to: &AgentId, payload: Vec<u8>) {
        self.inner.post(&Envelope {
            from: self.inner.id.clone(),
            to: to.clone(),
            payload,
        });
    }

    async fn exchange(
        &self,
        to: &AgentId,
        request: Vec<u8>,
        timeout: Duration,
    ) -> Result<Vec<u8>, PeerError> {
        let peer = || Peer::Agent(to.clone());
        let connection = self
            .inner
            .newest(to)
            .ok_or_else(|| PeerError::NotConnected(peer()))?;
        let exchange = async {
            let (mut send, mut recv) = connection
                .open_bi()
                .await
                .map_err(|error| error.to_string())?;

            send.write_all(&[StreamKind::Exchange as u8])
                .await
                .map_err(|error| error.to_string())?;
            send.write_all(&request)
                .await
                .map_err(|error| error.to_string())?;
            send.finish().map_err(|error| error.to_string())?;
            recv.read_to_end(codec::DOCUMENT_LIMIT)
                .await
                .map_err(|error| error.to_string())
        };

        tokio::time::timeout(timeout, exchange)
            .await
            .map_err(|_| PeerError::TimedOut(peer(), timeout))?
            .map_err(|why| PeerError::Broken(peer(), why))
    }
}
