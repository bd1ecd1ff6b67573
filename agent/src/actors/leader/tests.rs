//! Three dns-leader actors in one process, over scripted calls, stores in memory and a board that
//! all share.

mod orders;
mod restarts;
mod signatures;

use super::*;
use crate::{
    actors::messages::GossipMessage,
    address::Address,
    config::Config,
    refusals::{RefusalMetrics, Refusals},
};
use object_store::memory::InMemory;
use parking_lot::Mutex;
use ractor::ActorStatus;
use regionmesh_core::gossip::SeenStatus;
use regionmesh_mesh::{
    Identity, Peer, PeerError, PeerLink, TlsConfig, init_authority, issue_certificate,
};
use regionmesh_protocol::{
    identity::{AgentId, RegionName},
    plan::{CommittedPlan, Order, OrderAction, OverrideKind},
    status::{StatusEntry, entry::EntryVersion},
    wire::{OrderRefusal, PeerReply, PeerRequest},
};
use regionmesh_runtime::metrics::Registry;
use regionmesh_store::{SlotMetrics, SlotStore, load_committed_plan, read_history};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

const REGIONS: [&str; 3] = ["ap-south-1", "eu-west-1", "us-west-2"];

/// Copies what one agent publishes to every board.
struct Gossip;

#[derive(Clone)]
struct GossipArguments {
    id: AgentId,
    boards: Vec<Snapshots>,
}

impl Actor for Gossip {
    type Msg = GossipMessage;
    type State = GossipArguments;
    type Arguments = GossipArguments;
    async fn pre_start(
        &self,
        _: ActorRef<GossipMessage>,
        arguments: GossipArguments,
    ) -> Result<GossipArguments, ActorProcessingErr> {
        Ok(arguments)
    }
    async fn handle(
        &self,
        _: ActorRef<GossipMessage>,
        message: GossipMessage,
        state: &mut GossipArguments,
    ) -> Result<(), ActorProcessingErr> {
        if let GossipMessage::Publish(status_entry) = message {
            state
                .boards
                .iter()
                .for_each(|snapshots| publish_to(snapshots, &state.id, &status_entry));
        }

        Ok(())
    }
}

fn publish_to(snapshots: &Snapshots, id: &AgentId, status_entry: &StatusEntry) {
    snapshots.board.send_modify(|board| {
        let view = Arc::make_mut(board).agents.entry(id.clone()).or_default();
        view.is_alive = true;

        let seen = SeenStatus {
            status_entry: Arc::new(status_entry.clone()),
            version: EntryVersion::default(),
            seen_at: Instant::now(),
        };

        view.status_entries.insert(status_entry.kind(), seen);
    });
}

/// Calls that reach the actor of the region.
#[derive(Clone, Default)]
struct Network {
    actors: Arc<Mutex<BTreeMap<RegionName, ActorRef<LeaderMessage>>>>,
}

struct Link {
    network: Network,
}

#[async_trait::async_trait]
impl PeerLink for Link {
    async fn call(
        &self,
        to: &Peer,
        request: PeerRequest,
        timeout: Duration,
    ) -> Result<PeerReply, PeerError> {
        let Peer::Region(region) = to else {
            return Err(PeerError::NotConnected(to.clone()));
        };
        let actor = self.network.actors.lock().get(region).cloned();
        let actor = actor.ok_or(PeerError::NotConnected(to.clone()))?;
        let broken = || PeerError::Broken(to.clone(), "gone".into());
        match request {
            PeerRequest::Acceptor(request) => {
                let asked = actor
                    .call(
                        |reply| LeaderMessage::Acceptor(request, reply),
                        Some(timeout),
                    )
                    .await;

                match asked.map_err(|_| broken())?.success_or(broken())? {
                    Ok(reply) => Ok(PeerReply::Acceptor(reply)),
                    Err(error) => Ok(PeerReply::Failed(error)),
                }
            }
            PeerRequest::PreVote(request) => {
                let asked = actor
                    .call(
                        |reply| LeaderMessage::PreVote(request, reply),
                        Some(timeout),
                    )
                    .await;

                Ok(PeerReply::PreVote(
                    asked.map_err(|_| broken())?.success_or(broken())?,
                ))
            }
            _ => Err(broken()),
        }
    }
}

struct Mesh {
    network: Network,
    agents: BTreeMap<RegionName, LeaderArguments>,
    _dir: tempfile::TempDir,
}

impl Mesh {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        init_authority(&dir.path().join("ca"), &"test".parse().unwrap(), 30).unwrap();

        let network = Network::default();
        let boards: Vec<_> = REGIONS.iter().map(|_| Snapshots::default()).collect();
        let mut agents = BTreeMap::new();

        for (index, name) in REGIONS.iter().enumerate() {
            let config = config(name, &dir.path().join(name));
            let id = config.id();
            let signing = signing(&config, dir.path());
            let region = config.region.clone();
            let gossip = Address::vacant("gossip");
            let arguments = GossipArguments {
                id: id.clone(),
                boards: boards.clone(),
            };

            gossip.occupy(Actor::spawn(None, Gossip, arguments).await.unwrap().0);
            let registry = Registry::new();
            let slots = SlotMetrics::new(&registry).unwrap();
            let store = Arc::new(InMemory::new());

            let store = SlotStore::new(store, &"".into(), "region", Duration::from_secs(2), slots);
            let arguments = LeaderArguments {
                config: Arc::new(config),
                id,
                boot: index as u64,
                snapshots: boards[index].clone(),
                gossip,
                peers: Arc::new(Link {
                    network: network.clone(),
                }),
                store: Arc::new(store),
                witness: None,
                signing,
                metrics: LeaderMetrics::new(&registry).unwrap(),
                refusals: Refusals::new(
                    RefusalMetrics::new(&registry).unwrap(),
                    boards[index].problems.clone(),
                ),
            };

            agents.insert(region, arguments);
        }

        let mesh = Self {
            network,
            agents,
            _dir: dir,
        };

        for region in mesh.agents.keys() {
            mesh.spawn(region).await;
        }
        mesh
    }

    async fn spawn(&self, region: &RegionName) {
        let (actor, _) = Actor::spawn(None, LeaderActor, self.agents[region].clone())
            .await
            .unwrap();
        self.network.actors.lock().insert(region.clone(), actor);
    }

    /// Kills a region's actor, and marks its agent dead on every board.
    async fn kill(&self, region: &RegionName) {
        let actor = self.network.actors.lock().remove(region).unwrap();
        actor.kill();

        let id = &self.agents[region].id;
        eventually("the actor stops", || {
            (actor.get_status() == ActorStatus::Stopped).then_some(())
        })
        .await;

        for agent in self.agents.values() {
            agent.snapshots.board.send_modify(|board| {
                Arc::make_mut(board).agents.get_mut(id).unwrap().is_alive = false;
            });
        }
    }

    fn running(&self) -> Vec<&LeaderArguments> {
        let actors = self.network.actors.lock();
        self.agents
            .values()
            .filter(|agent| actors.contains_key(&agent.id.region))
            .collect()
    }

    /// The leader, once exactly one running agent leads and all running agents follow it.
    async fn leader(&self) -> RegionName {
        eventually("one leader that all follow", || {
            let views: Vec<_> = self
                .running()
                .iter()
                .map(|agent| (agent.id.clone(), agent.snapshots.leader.borrow().clone()))
                .collect();
            let leaders: Vec<_> = views.iter().filter(|(_, view)| view.is_self).collect();
            let [(id, view)] = leaders[..] else {
                return None;
            };

            views
                .iter()
                .all(|(_, other)| other.ballot == view.ballot)
                .then(|| id.region.clone())
        })
        .await
    }

    /// The plan that all running agents hold.
    async fn plan(&self, is_wanted: impl Fn(&CommittedPlan) -> bool) -> Arc<CommittedPlan> {
        eventually("one plan that all know", || {
            let plans: Vec<_> = self
                .running()
                .iter()
                .map(|agent| agent.snapshots.plan.borrow().clone())
                .collect::<Option<_>>()?;

            (plans.windows(2).all(|pair| pair[0] == pair[1]) && is_wanted(&plans[0]))
                .then(|| plans[0].clone())
        })
        .await
    }
}

async fn eventually<T>(what: &str, mut check: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(found) = check() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A key of the agent, certified by the authority in `dir`.
fn signing(config: &Config, dir: &std::path::Path) -> Signing {
    let id = config.id();
    let out = tempfile::tempdir_in(dir).unwrap();
    let issued = issue_certificate(&dir.join("ca"), &id, 30, out.path()).unwrap();
    let files = TlsConfig {
        ca: issued.ca,
        certificate: issued.certificate,
        key: issued.key,
    };
    let identity = Identity::load(config.mesh.clone(), id.clone(), files).unwrap();

    Signing {
        mesh: config.mesh.clone(),
        id,
        signer: identity.clone(),
        verifier: identity,
    }
}

fn config(region: &str, data_dir: &std::path::Path) -> Config {
    let regions: String = REGIONS
        .iter()
        .map(|name| {
            format!(
                "[[regions]]\nname = {name:?}\nendpoint = \"127.0.0.1:1\"\nserving_url = \
                \"http://127.0.0.1:2\"\n"
            )
        })
        .collect();

    let text = format!(
        "mesh = \"test\"\nregion = {region:?}\nagent = \"a\"\ndata_dir = {data_dir:?}\n\
         [tls]\nca = \"x\"\ncertificate = \"x\"\nkey = \"x\"\n\
         [listen]\nmesh = \"127.0.0.1:1\"\ndns = \"127.0.0.1:1\"\napi = \"127.0.0.1:1\"\nserving = \
         \"127.0.0.1:1\"\n\
         [store]\nurl = \"memory:///\"\n{regions}"
    );

    toml::from_str(&text).unwrap()
}

impl Mesh {
    fn others(&self, than: &RegionName) -> Vec<RegionName> {
        let mut regions: Vec<_> = self.agents.keys().cloned().collect();
        regions.retain(|region| region != than);
        regions
    }

    async fn order(
        &self,
        to: &RegionName,
        kind: OverrideKind,
        region: &str,
    ) -> Result<CommittedPlan, OrderRefusal> {
        let order = Order {
            action: OrderAction::Set(kind),
            region: Some(region.parse().unwrap()),
            by: "ann".into(),
            why: "test".into(),
            for_ms: 600_000,
            is_forced: false,
            is_immediate: false,
            proof: None,
        };

        let actor = self.network.actors.lock()[to].clone();
        let asked = actor.call(
            |reply| LeaderMessage::Order(Box::new(order), reply),
            Some(Duration::from_secs(20)),
        );

        match asked.await.unwrap() {
            ractor::rpc::CallResult::Success(answer) => answer,
            other => panic!("{other:?}"),
        }
    }
}
