//! Meshes over real sockets, with an event recorder in place of gossip.

use async_trait::async_trait;
use parking_lot::Mutex;
use quinn::{RecvStream, SendStream};
use ractor::{Actor, ActorCell};
use regionmesh_mesh::{
    BulkService, GossipInbox, GossipTransport, Identity, LinkInfo, Mesh, MeshActor, MeshArguments,
    MeshMetrics, RegionEndpoint, Settings, TlsConfig, init_authority, issue_certificate,
};
use regionmesh_protocol::{identity::AgentId, status::Links};
use regionmesh_runtime::metrics::Registry;
use std::{
    collections::BTreeMap,
    net::{SocketAddr, UdpSocket},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};
use tempfile::TempDir;
use tokio::sync::watch;

pub(crate) const TIMEOUT: Duration = Duration::from_secs(20);

/// Waits until `claim` holds.
pub(crate) async fn eventually(what: &str, claim: impl Fn() -> bool) {
    let start = Instant::now();
    while !claim() {
        assert!(start.elapsed() < TIMEOUT, "not within {TIMEOUT:?}: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Replaces gossip: records the mesh's events and answers an exchange with the reversed request.
#[derive(Clone, Default)]
pub(crate) struct GossipRecorder(Arc<Mutex<Vec<String>>>);

impl GossipRecorder {
    fn put(&self, line: String) {
        self.0.lock().push(line);
    }
}

#[async_trait]
impl GossipInbox for GossipRecorder {
    fn link_up(&self, peer: &AgentId) {
        self.put(format!("up {peer}"));
    }

    fn link_down(&self, peer: &AgentId) {
        self.put(format!("down {peer}"));
    }

    fn datagram(&self, from: AgentId, payload: Vec<u8>) {
        self.put(format!("{from}: {}", String::from_utf8_lossy(&payload)));
    }

    async fn exchange(
        &self,
        _from: &AgentId,
        mut request: Vec<u8>,
        _timeout: Duration,
    ) -> Option<Vec<u8>> {
        request.reverse();
        Some(request)
    }

    fn certificate_reloaded(&self) {
        self.put("reloaded".into());
    }

    fn publish(&self, _links: Links) {}
}

/// Answers a bulk stream with what came in.
pub(crate) struct Echo;

#[async_trait]
impl BulkService for Echo {
    async fn serve(
        &self,
        _: AgentId,
        mut send: SendStream,
        mut recv: RecvStream,
    ) -> Result<(), String> {
        let bytes = recv
            .read_to_end(1 << 20)
            .await
            .map_err(|error| error.to_string())?;

        send.write_all(&bytes)
            .await
            .map_err(|error| error.to_string())?;
        send.finish().map_err(|error| error.to_string())
    }
}

pub(crate) struct Node {
    pub(crate) mesh: Mesh,
    recorder: GossipRecorder,
    registry: Registry,
    pub(crate) actor: ActorCell,
    links: watch::Receiver<Arc<BTreeMap<AgentId, LinkInfo>>>,
}

impl Node {
    /// A running mesh.
    pub(crate) async fn start(setup: Setup) -> Self {
        let recorder = GossipRecorder::default();
        let registry = Registry::new();
        let (links_sender, links) = watch::channel(Arc::default());
        let gateways = watch::Sender::default();
        let mesh = Mesh::new(MeshArguments {
            settings: setup.settings.clone(),
            identity: setup.identity(),
            links: links_sender,
            gateways: gateways.subscribe(),
            gossip: Arc::new(recorder.clone()),
            bulk: Arc::new(Echo),
            metrics: MeshMetrics::new(&registry).unwrap(),
        });

        let (actor, _) = Actor::spawn(None, MeshActor, mesh.clone()).await.unwrap();
        Self {
            mesh,
            recorder,
            registry,
            actor: actor.get_cell(),
            links,
        }
    }

    /// The reply to an exchange with that peer.
    pub(crate) async fn ask(&self, peer: &str, request: &str) -> Vec<u8> {
        let peer = peer.parse().unwrap();
        let reply = self.mesh.exchange(&peer, request.into(), TIMEOUT);
        reply.await.unwrap()
    }

    pub(crate) fn has_event(&self, line: &str) -> bool {
        self.event_count(line) > 0
    }

    pub(crate) fn event_count(&self, line: &str) -> usize {
        let lines = self.recorder.0.lock();
        lines.iter().filter(|event| *event == line).count()
    }

    pub(crate) fn is_linked(&self, peer: &str) -> bool {
        self.links.borrow().contains_key(&peer.parse().unwrap())
    }

    pub(crate) fn has_no_links(&self) -> bool {
        self.links.borrow().is_empty()
    }

    /// The metric of this name, without a label or with this label value; 0 if missing.
    pub(crate) fn metric(&self, name: &str, label: &str) -> u64 {
        let families = self.registry.gather();
        let metrics = families
            .iter()
            .filter(|family| family.name() == name)
            .flat_map(|family| family.get_metric());
        let mut found = metrics.filter(|metric| {
            let labels = metric.get_label();
            labels.is_empty() || labels.iter().any(|pair| pair.value() == label)
        });

        found.next().map_or(0, |metric| {
            (metric.get_counter().get_value() + metric.get_gauge().get_value()) as u64
        })
    }

    /// How often something was refused for `reason`.
    pub(crate) fn refused(&self, reason: &str) -> u64 {
        self.metric("regionmesh_mesh_refused_total", reason)
    }
}

/// What one agent's mesh is started with.
pub(crate) struct Setup {
    pub(crate) id: AgentId,
    pub(crate) tls: TlsConfig,
    pub(crate) settings: Settings,
}

impl Setup {
    pub(crate) fn identity(&self) -> Arc<Identity> {
        Identity::load("m".parse().unwrap(), self.id.clone(), self.tls.clone()).unwrap()
    }
}

/// The files of an agent in `dir`.
pub(crate) fn files(dir: &Path, id: &AgentId) -> TlsConfig {
    let stem = format!("{}.{}", id.region, id.agent);
    TlsConfig {
        ca: dir.join("ca.pem"),
        certificate: dir.join(format!("{stem}.pem")),
        key: dir.join(format!("{stem}.key")),
    }
}

/// A mesh named `m` with an authority, and free ports for its agents.
pub(crate) struct Bench {
    pub(crate) dir: TempDir,
    ports: Vec<(AgentId, SocketAddr)>,
}

impl Bench {
    pub(crate) fn new(agents: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        init_authority(&dir.path().join("ca"), &"m".parse().unwrap(), 30).unwrap();

        let ports = agents
            .iter()
            .map(|agent| {
                let id: AgentId = agent.parse().unwrap();
                issue_certificate(&dir.path().join("ca"), &id, 30, dir.path()).unwrap();
                (
                    id,
                    UdpSocket::bind("127.0.0.1:0")
                        .unwrap()
                        .local_addr()
                        .unwrap(),
                )
            })
            .collect();

        Self { dir, ports }
    }

    pub(crate) fn address(&self, agent: &str) -> SocketAddr {
        self.ports
            .iter()
            .find(|(id, _)| id.to_string() == agent)
            .unwrap()
            .1
    }

    /// What an agent is started with: it dials the first agent of each region and all of its own.
    pub(crate) fn setup(&self, agent: &str) -> Setup {
        let id: AgentId = agent.parse().unwrap();
        let mut regions: Vec<&AgentId> = self.ports.iter().map(|(id, _)| id).collect();
        regions.dedup_by_key(|id| id.region.clone());

        let regions = regions.iter().map(|first| RegionEndpoint {
            name: first.region.clone(),
            endpoint: self.address(&first.to_string()).to_string(),
        });
        let locals = self
            .ports
            .iter()
            .filter(|(other, _)| other.region == id.region)
            .map(|(_, address)| address.to_string());

        Setup {
            tls: files(self.dir.path(), &id),
            settings: Settings {
                listen: self.address(agent),
                regions: regions.collect(),
                local_peers: locals.collect(),
            },
            id,
        }
    }

    pub(crate) async fn start(&self, agent: &str) -> Node {
        Node::start(self.setup(agent)).await
    }

    /// Issues a certificate to a further agent.
    pub(crate) fn issue(&self, agent: &str) {
        let dir = self.dir.path();
        issue_certificate(&dir.join("ca"), &agent.parse().unwrap(), 30, dir).unwrap();
    }
}
