//! Agents of one process, without a mesh, DNS and an API.

use super::{
    network::{Home, Script, Wire, Wires},
    *,
};
use crate::{
    actors::{
        gossip::{GossipActor, GossipArguments, GossipMetrics},
        health::{HealthActor, HealthArguments, HealthMetrics},
        leader::{CoreJudge, LeaderActor, LeaderArguments, LeaderMetrics, Signing, load_plan},
    },
    address::Address,
    catalogue_pages::CataloguePages,
    config::Config,
    core_settings::core_settings,
    refusals::{RefusalMetrics, Refusals},
    snapshots::Snapshots,
};
use object_store::memory::InMemory;
use parking_lot::Mutex;
use ractor::{ActorStatus, Message};
use regionmesh_core::{Keys, OrderVerifier};
use regionmesh_mesh::{Identity, LinkInfo, TlsConfig, init_authority, issue_certificate};
use regionmesh_protocol::{identity::MeshName, plan::Order};
use regionmesh_replication::ReplicationMetrics;
use regionmesh_runtime::{metrics::Registry, time::unix_ms};
use regionmesh_store::{ModelStore, SlotMetrics, SlotStore};
use std::path::{Path, PathBuf};
use tokio::sync::watch;

pub(super) struct Node {
    pub(super) id: AgentId,
    pub(super) core: CoreArguments,
    pub(super) leader: LeaderArguments,
    pub(super) health: HealthArguments,
    gossip: GossipArguments,
    pub(super) home: Home,
    pub(super) snapshots: Snapshots,
    pub(super) registry: Registry,
}

impl Node {
    pub(super) fn new(
        config: Config,
        script: &Script,
        serving: Option<watch::Receiver<ServingStatus>>,
        wires: &Arc<Mutex<Wires>>,
    ) -> Self {
        let config = Arc::new(config);
        let id = config.id();
        let signing = signing(&config);
        let registry = Registry::new();
        let snapshots = Snapshots::default();
        let home = Home {
            core: Address::vacant("core"),
            leader: Address::vacant("dns-leader"),
        };
        wires.lock().homes.insert(id.clone(), home.clone());
        let wire = Arc::new(Wire {
            own: id.clone(),
            wires: wires.clone(),
        });

        let metrics = CoreMetrics {
            gossip: GossipMetrics::new(&registry).unwrap(),
            health: HealthMetrics::new(&registry).unwrap(),
            leader: LeaderMetrics::new(&registry).unwrap(),
            replication: ReplicationMetrics::new(&registry).unwrap(),
        };
        let refusals = Refusals::new(
            RefusalMetrics::new(&registry).unwrap(),
            snapshots.problems.clone(),
        );
        let slots = SlotStore::new(
            Arc::new(InMemory::new()),
            &"".into(),
            "region",
            Duration::from_secs(2),
            SlotMetrics::new(&registry).unwrap(),
        );
        let judge = Arc::new(CoreJudge(home.core.clone()));
        let slots = Arc::new(slots.with_judge(judge));

        let settings = core_settings(&config, unix_ms()).unwrap();
        let models = regionmesh_store::open(&config.store).unwrap();
        let core = CoreArguments {
            config: config.clone(),
            core: new_core(settings, load_plan(&config.data_dir), &signing),
            actors: IoActors {
                gossip: Address::vacant("gossip"),
                health: Address::vacant("health"),
                leader: home.leader.clone(),
                replicator: Address::vacant("replicator"),
            },
            snapshots: snapshots.clone(),
            slots: vec![slots.clone()],
            store: Arc::new(ModelStore::new(models)),
            pages: CataloguePages::default(),
            books: watch::channel(Arc::default()).1,
            own_serving: serving,
            quarantine: None,
            refusals: refusals.clone(),
            metrics: metrics.clone(),
        };

        let mut health = HealthArguments::new(config.clone(), metrics.health);
        health.prober = Arc::new(script.clone());
        let leader = LeaderArguments {
            config,
            id: id.clone(),
            snapshots: snapshots.clone(),
            core: home.core.clone(),
            peers: wire.clone(),
            store: slots,
            witness: None,
            signing,
            metrics: metrics.leader,
            refusals,
        };

        Self {
            id,
            core,
            leader,
            health,
            gossip: GossipArguments {
                transport: wire,
                metrics: metrics.gossip,
            },
            home,
            snapshots,
            registry,
        }
    }

    pub(super) async fn start_core(&self) {
        start(CoreActor, self.core.clone(), &self.home.core).await;
    }

    pub(super) async fn start_gossip(&self) {
        let address = &self.core.actors.gossip;
        start(GossipActor, self.gossip.clone(), address).await;
    }

    pub(super) async fn start_health(&self) {
        let address = &self.core.actors.health;
        start(HealthActor, self.health.clone(), address).await;
    }

    pub(super) async fn start_leader(&self) {
        start(LeaderActor, self.leader.clone(), &self.home.leader).await;
    }

    pub(super) async fn start(&self) {
        self.start_gossip().await;
        self.start_health().await;
        self.start_leader().await;
        self.start_core().await;
    }

    pub(super) fn publish(&self, status_entry: StatusEntry) {
        self.home
            .core
            .cast(CoreMessage::publish(status_entry))
            .unwrap();
    }

    /// Waits until the board shows `claim`; returns how long it took.
    pub(super) async fn sees(&self, claim: impl Fn(&BoardView) -> bool) -> Duration {
        let mut board = self.snapshots.board.subscribe();
        let begin = tokio::time::Instant::now();
        let waited =
            tokio::time::timeout(Duration::from_secs(60), board.wait_for(|view| claim(view))).await;

        assert!(waited.is_ok(), "{} never saw it", self.id);
        begin.elapsed()
    }

    pub(super) fn counter(&self, name: &str, label: &str) -> u64 {
        let families = self.registry.gather();
        let metrics = families
            .iter()
            .filter(|family| family.name() == name)
            .flat_map(|family| family.get_metric());

        metrics
            .filter(|metric| metric.get_label().iter().any(|pair| pair.value() == label))
            .map(|metric| metric.get_counter().get_value() as u64)
            .sum()
    }

    pub(super) fn data_dir(&self) -> &Path {
        &self.core.config.data_dir
    }
}

async fn start<A: Actor>(actor: A, arguments: A::Arguments, address: &Address<A::Msg>) {
    let (actor, _) = Actor::spawn(None, actor, arguments).await.unwrap();
    address.occupy(actor);
}

/// Kills an actor, as a crash would, and waits until it is gone.
pub(super) async fn kill<M: Message>(address: &Address<M>) {
    let actor = address.actor().unwrap();
    address.vacate();
    actor.kill();
    eventually("the actor stops", || {
        (actor.get_status() == ActorStatus::Stopped).then_some(())
    })
    .await;
}

pub(super) async fn eventually<T>(what: &str, mut check: impl FnMut() -> Option<T>) -> T {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(found) = check() {
            return found;
        }
        assert!(
            tokio::time::Instant::now() < deadline,
            "waited in vain: {what}"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A key of the agent, certified by the authority beside its data directory.
fn signing(config: &Config) -> Signing {
    let id = config.id();
    let dir = config.data_dir.parent().unwrap();
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
        keys: Keys {
            signer: identity.clone(),
            verifier: identity,
            orders: Arc::new(AnyOrder),
        },
    }
}

/// Believes all orders.
struct AnyOrder;

impl OrderVerifier for AnyOrder {
    fn check_order(&self, _mesh: &MeshName, _order: &Order) -> Result<(), String> {
        Ok(())
    }
}

/// The configuration of the agent of the region `own`. The endpoint of the n-th region is at
/// 127.0.0.(11 + n).
pub(super) fn config(regions: &[&str], own: &str, health: &str, dir: &Path) -> Config {
    let data_dir = dir.join(own);
    let store = data_dir.join("store");
    std::fs::create_dir_all(&store).unwrap();

    let regions: String = regions
        .iter()
        .enumerate()
        .map(|(index, name)| {
            let host = 11 + index;
            format!(
                "[[regions]]\nname = {name:?}\nendpoint = \"127.0.0.{host}:1\"\nserving_url = \
                \"http://127.0.0.{host}:2\"\n"
            )
        })
        .collect();

    let text = format!(
        "mesh = \"test\"\nregion = {own:?}\nagent = \"node-0\"\ndata_dir = {data_dir:?}\n\
         [tls]\nca = \"x\"\ncertificate = \"x\"\nkey = \"x\"\n\
         [listen]\nmesh = \"127.0.0.1:1\"\ndns = \"127.0.0.1:1\"\napi = \"127.0.0.1:1\"\nserving = \
         \"127.0.0.1:1\"\n\
         [store]\nurl = \"file://{}\"\n[health]\n{health}\n{regions}",
        store.display()
    );

    toml::from_str(&text).unwrap()
}

/// An authority for agents in a new directory.
pub(super) fn directory() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    init_authority(&dir.path().join("ca"), &"test".parse().unwrap(), 30).unwrap();
    let path = dir.path().to_owned();
    (dir, path)
}

pub(super) struct Mesh {
    pub(super) nodes: Vec<Node>,
    wires: Arc<Mutex<Wires>>,
    _dir: tempfile::TempDir,
}

impl Mesh {
    fn new(regions: &[&str]) -> Self {
        let (dir, path) = directory();
        let wires = Arc::new(Mutex::new(Wires::default()));
        let script = Script::default();
        let node = |own: &&str| {
            let config = config(regions, own, "", &path);
            Node::new(config, &script, None, &wires)
        };

        Self {
            nodes: regions.iter().map(node).collect(),
            wires,
            _dir: dir,
        }
    }

    /// Five agents that only gossip, in a star: all know each other through the first.
    pub(super) async fn star() -> Self {
        let mesh = Self::new(&["region-0", "region-1", "region-2", "region-3", "region-4"]);
        for node in &mesh.nodes {
            node.start_gossip().await;
            node.start_core().await;
        }
        for index in 1..mesh.nodes.len() {
            mesh.link(0, index);
        }

        mesh
    }

    /// Three agents, all connected.
    pub(super) async fn full() -> Self {
        let mesh = Self::new(&["ap-south-1", "eu-west-1", "us-west-2"]);
        for node in &mesh.nodes {
            node.start().await;
        }
        for (a, b) in [(0, 1), (0, 2), (1, 2)] {
            mesh.link(a, b);
        }

        mesh
    }

    fn link(&self, a: usize, b: usize) {
        self.nodes[a].connect(&self.nodes[b], &self.wires);
    }

    pub(super) async fn all_see(&self, claim: impl Fn(&BoardView) -> bool) -> Duration {
        let mut longest = Duration::ZERO;
        for node in self.running() {
            longest += node.sees(&claim).await;
        }
        longest
    }

    pub(super) async fn all_alive(&self) {
        let ids: Vec<_> = self.nodes.iter().map(|node| node.id.clone()).collect();
        self.all_see(|view| ids.iter().all(|id| is_alive(view, id)))
            .await;
    }

    pub(super) fn running(&self) -> Vec<&Node> {
        let nodes = self.nodes.iter();
        nodes
            .filter(|node| node.home.core.actor().is_some())
            .collect()
    }

    pub(super) fn node(&self, region: &RegionName) -> &Node {
        let mut nodes = self.nodes.iter();
        nodes.find(|node| node.id.region == *region).unwrap()
    }

    /// Ends the agent of a region.
    pub(super) async fn kill(&self, region: &RegionName) {
        let node = self.node(region);
        kill(&node.home.core).await;
        kill(&node.home.leader).await;
        kill(&node.core.actors.gossip).await;
        kill(&node.core.actors.health).await;

        self.wires.lock().homes.remove(&node.id);
        for other in self.running() {
            other.set_link(&node.id, false);
        }
    }

    /// The leader, once exactly one running agent leads and all running agents follow it.
    pub(super) async fn leader(&self) -> RegionName {
        eventually("one leader that all follow", || {
            let views: Vec<_> = self
                .running()
                .iter()
                .map(|node| (node.id.clone(), node.snapshots.leader.borrow().clone()))
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
    pub(super) async fn plan(
        &self,
        is_wanted: impl Fn(&CommittedPlan) -> bool,
    ) -> Arc<CommittedPlan> {
        eventually("one plan that all know", || {
            let plans: Vec<_> = self
                .running()
                .iter()
                .map(|node| node.snapshots.plan.borrow().clone())
                .collect::<Option<_>>()?;

            (plans.windows(2).all(|pair| pair[0] == pair[1]) && is_wanted(&plans[0]))
                .then(|| plans[0].clone())
        })
        .await
    }
}

impl Node {
    /// Connects two agents.
    pub(super) fn connect(&self, other: &Self, wires: &Mutex<Wires>) {
        for (from, to) in [(self, other), (other, self)] {
            let pair = (from.id.clone(), to.id.clone());
            wires.lock().links.insert(pair);
            from.set_link(&to.id, true);
        }
    }

    fn set_link(&self, to: &AgentId, is_up: bool) {
        self.snapshots.links.send_modify(|links| {
            let links = Arc::make_mut(links);
            if is_up {
                let info = LinkInfo {
                    round_trip_us: 1,
                    since: Instant::now(),
                };
                links.insert(to.clone(), info);
            } else {
                links.remove(to);
            }
        });

        let input = if is_up {
            gossip::Input::LinkUp(to.clone())
        } else {
            gossip::Input::LinkDown(to.clone())
        };
        let _ = self.home.core.cast(CoreMessage::input(input));
    }
}
