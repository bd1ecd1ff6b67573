//! An attacker who holds one agent's certificate and key, and nothing else of the mesh: no
//! operator's token, no store, no machine.

use crate::{
    command::regionmesh,
    loopback::Loopback,
    mesh::TestMesh,
    wait::{seconds, until},
};
use async_trait::async_trait;
use parking_lot::Mutex;
use ractor::Actor;
use regionmesh::{actors::messages::CoreMessage, address::Address, config::Config};
use regionmesh_core::gossip::{Board, BoardLimits, Digest, ExchangeRequest, skew::ClockReading};
use regionmesh_mesh::{
    BulkService, GossipTransport, Identity, Mesh, MeshActor, MeshArguments, MeshMetrics, Peer,
    PeerError, Peers, issue_certificate,
};
use regionmesh_protocol::{
    identity::AgentId,
    plan::{CommittedPlan, Plan},
    register::{
        acceptor::AcceptorState,
        ballot::{Ballot, Stamp},
        members::Incarnation,
    },
    status::StatusEntry,
    wire::{PeerReply, PeerRequest},
};
use regionmesh_runtime::metrics::Registry;
use serde::{Deserialize, Serialize};
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::{Duration, Instant},
};
use tempfile::TempDir;
use tokio::{
    process::Child,
    sync::{Semaphore, SemaphorePermit, watch},
};

/// An address that no configuration names.
pub const EVIL: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 66, 66, 66));
/// The token that the thief made up.
const OWN_TOKEN: &str = "thiefs-own-token-0123456789abcdef";
/// How long one call may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// Sessions are numbered per process, so that two thieves in one would take each other's
/// connections.
static TURN: Semaphore = Semaphore::const_new(1);

/// Offers nothing.
struct Nothing;

#[async_trait]
impl BulkService for Nothing {
    async fn serve(
        &self,
        _: AgentId,
        _: quinn::SendStream,
        _: quinn::RecvStream,
    ) -> Result<(), String> {
        Err("nothing is held here".into())
    }
}

/// The thief. One at a time in a program: a second one waits.
pub struct Thief {
    /// Whose certificate it is.
    pub id: AgentId,
    mesh: Mesh,
    identity: Arc<Identity>,
    board: Mutex<Board>,
    config: Config,
    directory: TempDir,
    _turn: SemaphorePermit<'static>,
}

impl Thief {
    /// With the certificate of an agent of region `region` whose machine is gone.
    pub async fn of(mesh: &TestMesh, region: usize) -> Self {
        let turn = TURN.acquire().await.expect("is never closed");
        let directory = tempfile::tempdir().expect("a directory");
        let id: AgentId = format!("{}/node-66", mesh.region(region))
            .parse()
            .expect("an agent's name");
        let stolen = issue_certificate(
            &mesh.layout().data_dir.join("ca"),
            &id,
            30,
            directory.path(),
        )
        .expect("a certificate");
        let config = own_config(mesh, region, &id, stolen, directory.path());

        let identity = Identity::load(config.mesh.clone(), id.clone(), config.tls.clone())
            .expect("the stolen certificate");
        let connections = Mesh::new(MeshArguments {
            settings: config.mesh_settings(),
            identity: identity.clone(),
            links: watch::Sender::default(),
            gateways: watch::Sender::default().subscribe(),
            gossip: Arc::new(Address::<CoreMessage>::vacant("core")),
            bulk: Arc::new(Nothing),
            metrics: MeshMetrics::new(&Registry::new()).expect("metrics"),
        });

        Actor::spawn(None, MeshActor, connections.clone())
            .await
            .expect("a mesh actor");

        let started_ms = regionmesh_runtime::time::unix_ms();
        let board = Board::new(
            config.mesh.clone(),
            id.clone(),
            started_ms,
            BoardLimits::default(),
        );

        Self {
            id,
            mesh: connections,
            identity,
            board: Mutex::new(board),
            config,
            directory,
            _turn: turn,
        }
    }

    /// A ballot of the thief's own.
    pub fn ballot(&self, number: u64) -> Ballot {
        Ballot {
            number,
            agent: self.id.clone(),
            boot: 66,
        }
    }

    /// A plan that was never committed: `plan` with other addresses, in a later place.
    pub fn forge(&self, plan: &Plan, ballot: Ballot, seq: u64) -> CommittedPlan {
        let mut plan = plan.clone();
        plan.reason = "forged by one agent".into();
        plan.regions
            .values_mut()
            .for_each(|region| region.addresses = vec![EVIL]);
        CommittedPlan {
            stamp: Stamp { ballot, seq },
            plan,
            certificate: Default::default(),
        }
    }

    /// Puts a signed entry on the status board of an agent, and so on that of all.
    pub async fn publish(&self, to: &AgentId, entry: StatusEntry) {
        let request = {
            let mut board = self.board.lock();
            board
                .certify(&*self.identity, Instant::now())
                .expect("a certificate entry");
            board
                .publish(entry, &*self.identity, Instant::now())
                .expect("an entry");

            let delta = board.delta_for(&Digest::default(), 1 << 20);
            ExchangeRequest {
                delta,
                clock: ClockReading {
                    unix_ms: regionmesh_runtime::time::unix_ms(),
                    plan: None,
                },
                ..ExchangeRequest::default()
            }
            .encode()
            .expect("bytes")
        };

        until(
            &format!("{to} takes the thief's entries"),
            seconds(20),
            async || {
                let taken = self.mesh.exchange(to, request.clone(), CALL_TIMEOUT).await;
                taken.map(drop).map_err(|error| error.to_string())
            },
        )
        .await;
    }

    /// Calls an agent's peer actor.
    pub async fn call(&self, to: &AgentId, request: PeerRequest) -> PeerReply {
        until(
            &format!("{to} answers the thief"),
            seconds(20),
            async || match self
                .mesh
                .call(&Peer::Agent(to.clone()), request.clone(), CALL_TIMEOUT)
                .await
            {
                Ok(reply) => Ok(reply),
                Err(error @ (PeerError::NotConnected(_) | PeerError::Broken(..))) => {
                    Err(error.to_string())
                }
                Err(error) => panic!("{to}: {error}"),
            },
        )
        .await
    }

    /// Ends the client and runs the product itself with the stolen certificate, and a store and a
    /// token of the thief's own.
    pub async fn run_the_product(mut self) -> ThievesAgent {
        self.mesh.close().await;
        // The client's socket stays bound as long as this program runs.
        self.config.listen.mesh.set_port(7444);

        let file = self.directory.path().join("agent.toml");
        std::fs::write(&file, toml::to_string(&self.config).expect("TOML")).expect("a file");

        let log = std::fs::File::create(self.directory.path().join("log")).expect("a log");
        let process = regionmesh(&["agent", "--config"])
            .arg(&file)
            .stdout(log.try_clone().expect("a log"))
            .stderr(Stdio::from(log))
            .spawn()
            .expect("an agent");

        let api = format!("http://{}", self.config.listen.api);
        ThievesAgent {
            api,
            _process: process,
            _directory: self.directory,
        }
    }
}

/// The configuration of an agent of region `region` that listens and stores for itself.
fn own_config(
    mesh: &TestMesh,
    region: usize,
    id: &AgentId,
    stolen: regionmesh_mesh::IssuedPaths,
    directory: &Path,
) -> Config {
    let mut config = Config::load(&mesh.agent(region).config_file()).expect("a configuration");
    let network = Loopback::reserve();
    let at = |port| SocketAddr::from((network.at(66), port));

    config.agent = id.agent.clone();
    config.data_dir = directory.join("data");

    // The other agent of its region, which no region's address leads to.
    config
        .local_peers
        .push(mesh.agent(region).mesh().to_string());
    config.tls.certificate = stolen.certificate;
    config.tls.key = stolen.key;
    config.listen.mesh = at(7443);
    config.listen.dns = at(5300);
    config.listen.api = at(9080);
    config.listen.serving = at(8080);
    config.store.url = format!("file://{}/store", directory.display());

    let token = directory.join("token");
    std::fs::create_dir_all(directory.join("store")).expect("a store");
    std::fs::write(&token, OWN_TOKEN).expect("a token");
    config.api.token_file = Some(token);

    config
}

/// The product, run by the thief.
pub struct ThievesAgent {
    /// Where its API is.
    pub api: String,
    _process: Child,
    _directory: TempDir,
}

impl ThievesAgent {
    /// Requests a change from its API, with the thief's own token.
    pub async fn post(
        &self,
        path: &str,
        body: reqwest::Body,
    ) -> Result<(u16, serde_json::Value), String> {
        let request = crate::api::client()
            .post(format!("{}{path}", self.api))
            .bearer_auth(OWN_TOKEN)
            .body(body);
        crate::api::answer(request).await
    }
}

/// A register slot, as `agent/src/store/slots.rs` lays it out.
#[derive(Serialize, Deserialize)]
struct Slot {
    state: Option<AcceptorState>,
    mark: (u64, u64),
    after: Option<(u64, u64)>,
}

/// Opens every slot.
const SLOT_LAYOUT: &[u8] = b"regionmesh slot 5\n";

/// The newest slot in a store and its file; none while its agents are about to write.
fn newest_slot(store: &Path) -> Option<(PathBuf, Slot)> {
    let folder = store.join("register").join("acc");
    let newest = std::fs::read_dir(&folder)
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .max()?;
    let bytes = std::fs::read(&newest).ok()?;
    let body = bytes
        .strip_prefix(SLOT_LAYOUT)
        .expect("a slot of this layout");

    Some((newest, regionmesh_protocol::codec::decode(body).ok()?))
}

/// The acceptor whose state is in a store; 0 if there is none now.
pub fn acceptor_in(store: &Path) -> Incarnation {
    newest_slot(store)
        .and_then(|(_, slot)| slot.state)
        .map(|state| state.incarnation)
        .unwrap_or_default()
}

/// Rewrites the newest slot in a store with a promise to `ballot`, as anyone with its
/// credentials could. Its acceptor.
pub fn poison_register(store: &Path, ballot: Ballot) -> Incarnation {
    let (newest, mut slot) = newest_slot(store).expect("a slot");
    let state = slot.state.as_mut().expect("a state");
    state.promised = Some(ballot);

    let incarnation = state.incarnation;
    let body = regionmesh_protocol::codec::encode(&slot).expect("bytes");
    std::fs::write(&newest, [SLOT_LAYOUT, &body].concat()).expect("a forged slot");
    incarnation
}
