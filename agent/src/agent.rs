//! The agent: what is started, in what order, and who is told what.
//!
//! Everything is assembled here; nothing else creates actors. The order is that of need: the mesh
//! carries what gossip says, health and the leader read what gossip knows, and the faces come last.

mod stores;

use crate::{
    actors::{
        alerts::{self, AlertsArguments},
        cost::{CostActor, CostArguments, CostMetrics},
        events::{self, EventMetrics, EventsArguments},
        gossip::{GossipActor, GossipArguments, GossipMetrics, GossipSetup},
        health::{HealthActor, HealthArguments, HealthMetrics},
        leader::{LeaderActor, LeaderArguments, LeaderMetrics},
        messages::{GossipMessage, HealthMessage},
        provider::{self, ProviderArguments},
        replicator::{ReplicatorActor, ReplicatorArguments},
    },
    address::Address,
    alerts::ReceiverMetrics,
    api::{self, Api, metrics::ApiMetrics},
    config::Config,
    cost::{
        archive::Archive,
        books::Books,
        view::{CostHandler, LiveView},
    },
    failover::OrderHandler,
    operators::{Operators, link::AttestedLink},
    peer_service::RequestHandler,
    refusals::Refusals,
    reload::Reloader,
    replication_adapters::{BulkAdapter, MeshTransport, StoreAdapter, fetcher, publisher},
    service::{Service, ServiceArguments},
    serving::BucketModels,
    snapshots::Snapshots,
    supervisor::{
        Child, Health, Supervisor, SupervisorArguments, SupervisorMessage, SupervisorMetrics,
    },
};
use anyhow::{Context, Result};
use futures::{FutureExt, future::BoxFuture};
use prometheus::Registry;
use ractor::{Actor, ActorRef};
use regionmesh_core::planning::servability::RegionModels;
use regionmesh_dns::{DnsArguments, DnsMetrics, Guide};
use regionmesh_mesh::{
    Identity, Mesh, MeshActor, MeshArguments, MeshMetrics, PeerActor, PeerArguments, PeerLink,
};
use regionmesh_protocol::{
    identity::RegionName,
    status::{AgentInfo, ServingStatus, StatusEntry, servability::Servability},
};
use regionmesh_replication::{BulkServer, HybridClock, ReplicationMetrics};
use regionmesh_runtime::{describe::io_error, meter::Meter, problems::Problems, time::unix_ms};
use regionmesh_serving::{Quarantine, Server, ServingArguments, ServingMetrics};
use regionmesh_store::{ModelStore, SlotMetrics, SlotStore};
use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};
use stores::Stores;
use tokio::{net::TcpListener, sync::watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How long one operation of the store that holds the register may take.
const REGISTER_TIMEOUT: Duration = Duration::from_secs(5);
/// How often what an agent says of itself is said again: gossip may have been restarted in between.
const REPEAT_FACTS: Duration = Duration::from_secs(5);

/// How long services may take to end what is in progress at the stop; they have limits of their
/// own, which are shorter.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(25);

/// A running agent.
pub struct Agent {
    /// What every part may read.
    pub snapshots: Snapshots,
    /// How the actors do.
    pub health: Health,
    supervisor: ActorRef<SupervisorMessage>,
    mesh: Mesh,
    drain: watch::Sender<bool>,
    reloader: Reloader,
    /// Whether it has the embedded model server.
    is_serving: bool,
    health_actor: Address<HealthMessage>,
    services: TaskTracker,
    stop: CancellationToken,
}

impl Agent {
    /// Starts an agent. Fails only where waiting would not help: bad certificates, a store that
    /// can't be opened or used.
    pub async fn start(config: Config) -> Result<Self> {
        let config = Arc::new(config);
        let id = config.id();
        let started_ms = unix_ms();
        let boot = rand::random::<u64>();
        let registry = Registry::new();
        let snapshots = Snapshots::default();
        let stop = CancellationToken::new();

        register_process(&registry)?;
        let reloader = Reloader::new(config.clone(), &registry)?;
        events::begin(&snapshots, boot);

        let identity = Identity::load(config.mesh.clone(), id.clone(), config.tls.clone())?;
        std::fs::create_dir_all(&config.data_dir)
            .with_context(|| format!("cannot create data_dir {}", config.data_dir.display()))?;

        let gossip = Address::vacant("gossip");
        let health_actor = Address::vacant("health");
        let leader = Address::vacant("dns-leader");
        let replicator = Address::vacant("replicator");

        let stores = Stores::open(&config, boot).await?;
        let monitor = stores.monitor(&config, snapshots.problems.clone(), &registry)?;
        let models = Arc::new(ModelStore::new(stores.region.clone()));
        let slot_metrics = SlotMetrics::new(&registry)?;
        let slots = |opened: &regionmesh_store::OpenStore, acceptor| {
            let objects = opened.objects.clone();
            let root = object_store::path::Path::default();
            Arc::new(SlotStore::new(
                objects,
                &root,
                acceptor,
                REGISTER_TIMEOUT,
                slot_metrics.clone(),
            ))
        };

        let own_slots = slots(&stores.region, "region");
        let witness = stores
            .witness
            .as_ref()
            .map(|opened| slots(opened, "witness"));

        let replication_metrics = ReplicationMetrics::new(&registry)?;
        let meter = Meter::default();
        let mesh = Mesh::new(MeshArguments {
            settings: config.mesh_settings(),
            identity: identity.clone(),
            links: snapshots.links.clone(),
            gossip: Arc::new(gossip.clone()),
            bulk: Arc::new(BulkAdapter(BulkServer::new(
                Arc::new(StoreAdapter(models.clone())),
                replication_metrics.clone(),
                meter.clone(),
            ))),
            metrics: MeshMetrics::new(&registry)?,
        });

        let peers = Arc::new(mesh.clone());

        let (drain, draining) = watch::channel(false);
        let serving_dir = config.data_dir.join("serving");
        let quarantine = config
            .serving
            .embedded
            .then(|| Quarantine::open(Some(&serving_dir)));
        let (tell_peers, peers_serve) = watch::channel(Arc::default());
        let serving = ServingArguments {
            region: config.region.clone(),
            peers: peers_serve,
            tests_versions: true,
            state_dir: Some(serving_dir),
            quarantine: quarantine.clone().unwrap_or_else(|| Quarantine::open(None)),
            config: config.serving.clone(),
            source: Arc::new(BucketModels(models.clone())),
            catalogue: snapshots.catalogue.subscribe(),
            draining,
            metrics: ServingMetrics::new(&registry)?,
            meter: meter.clone(),
        };

        let (tell_serving, serving_facts) = watch::channel(ServingStatus::default());
        // An agent without the embedded server tells nothing of versions.
        let (tell_servability, servability) =
            watch::channel(config.serving.embedded.then(Servability::default));

        let clock = HybridClock::default();
        let refusals = Refusals::new(&registry, snapshots.problems.clone())?;
        let operators = Operators::new(config.mesh.clone(), id.clone(), reloader.live());

        // What regions say of models is believed with an operator's proof alone.
        let proven: Arc<dyn PeerLink> = Arc::new(AttestedLink {
            peers: peers.clone(),
            operators: operators.clone(),
            refusals: refusals.clone(),
        });
        let transport = Arc::new(MeshTransport {
            mesh: mesh.clone(),
            peers: proven.clone(),
            links: snapshots.links.subscribe(),
        });
        let fetcher = fetcher(&config, &models, transport.clone(), replication_metrics);
        let publisher = publisher(&config, &models, &clock, &snapshots, Some(transport))?;

        let archive = Archive {
            store: models.clone(),
            publisher: publisher.clone(),
            clock: clock.clone(),
            region: config.region.clone(),
            staging: models
                .staging_folder(&config.data_dir)
                .join("cost")
                .join(id.agent.as_str()),
        };

        let (show_books, books) = watch::channel(Arc::<Books>::default());
        let (show_live_cost, live_cost) = watch::channel(Arc::<LiveView>::default());
        let cost_metrics = CostMetrics::new(&registry)?;
        let cost_arguments = CostArguments {
            live: reloader.live(),
            id: id.clone(),
            started_ms,
            snapshots: snapshots.clone(),
            gossip: gossip.clone(),
            meter,
            archive: archive.clone(),
            books: Arc::new(show_books),
            view: Arc::new(show_live_cost),
            metrics: cost_metrics.clone(),
        };

        let cost = CostHandler::new(archive, books.clone(), live_cost, cost_metrics);

        let orders = OrderHandler {
            leader: leader.clone(),
            peers: peers.clone(),
            snapshots: snapshots.clone(),
            operators: operators.clone(),
        };

        let handler = Arc::new(RequestHandler {
            leader: leader.clone(),
            orders: orders.clone(),
            replicator: replicator.clone(),
            publisher: publisher.clone(),
            operators,
            refusals: refusals.clone(),
        });

        let gossip_setup = GossipSetup {
            own: id.clone(),
            mesh: config.mesh.clone(),
            boot,
            started_ms,
            transport: peers.clone(),
            signer: identity.clone(),
            verifier: identity.clone(),
            snapshots: snapshots.clone(),
            metrics: GossipMetrics::new(&registry)?,
        };

        let own_serving = config.serving.embedded.then(|| serving_facts.clone());
        let health_metrics = HealthMetrics::new(&registry)?;
        let leader_metrics = LeaderMetrics::new(&registry)?;
        let health_arguments = HealthArguments::new(
            config.clone(),
            snapshots.clone(),
            gossip.clone(),
            health_metrics,
            own_serving,
        );

        let leader_arguments = LeaderArguments {
            config: config.clone(),
            id: id.clone(),
            boot,
            snapshots: snapshots.clone(),
            gossip: gossip.clone(),
            peers: peers.clone(),
            store: own_slots,
            witness,
            metrics: leader_metrics,
            refusals: refusals.clone(),
        };

        let replicator_arguments = ReplicatorArguments {
            config: config.clone(),
            id: id.clone(),
            store: models.clone(),
            snapshots: snapshots.clone(),
            gossip: gossip.clone(),
            peers: proven,
            fetcher,
            clock: clock.clone(),
            books,
            quarantine: quarantine.clone(),
        };

        let dns_config = Arc::new(config.for_dns());
        let dns_arguments = DnsArguments {
            config: dns_config.clone(),
            plan: snapshots.plan.subscribe(),
            board: snapshots.board.subscribe(),
            metrics: DnsMetrics::new(&registry)?,
        };

        let events_arguments = EventsArguments {
            config: config.clone(),
            snapshots: snapshots.clone(),
            metrics: EventMetrics::new(&registry)?,
        };
        let alerts_arguments = AlertsArguments {
            config: config.clone(),
            live: reloader.live(),
            snapshots: snapshots.clone(),
            gossip: gossip.clone(),
            metrics: ReceiverMetrics::new(&registry)?,
        };

        let dns_snapshots = snapshots.clone();
        let problems = snapshots.problems.clone();
        let status_entries = AgentInfo {
            version: crate::VERSION.into(),
            started_ms,
            boot,
            api_url: format!("http://{}", config.listen.api),
            cloud: config
                .region(&config.region)
                .map(|region| region.cloud.clone())
                .unwrap_or_default(),
        };

        let publishing = mesh.clone();
        let services = TaskTracker::new();
        let service = |name,
                       make: Arc<
            dyn Fn(CancellationToken) -> BoxFuture<'static, Result<(), String>> + Send + Sync,
        >| {
            let arguments = ServiceArguments {
                make,
                stop: stop.clone(),
                running: services.clone(),
            };

            Child::new(name, || Service, arguments, Address::vacant(name))
        };

        let mut children = vec![
            Child::new("mesh", || MeshActor, mesh.clone(), Address::vacant("mesh")),
            Child::new(
                "gossip",
                || GossipActor,
                GossipArguments::from(gossip_setup),
                gossip.clone(),
            ),
            Child::new(
                "peer",
                || PeerActor,
                PeerArguments { service: handler },
                Address::vacant("peer"),
            ),
            Child::new(
                "health",
                || HealthActor,
                health_arguments,
                health_actor.clone(),
            ),
            Child::new(
                "replicator",
                || ReplicatorActor,
                replicator_arguments,
                replicator.clone(),
            ),
            Child::new(
                "dns-leader",
                || LeaderActor,
                leader_arguments,
                leader.clone(),
            ),
            Child::new(
                "cost",
                || CostActor,
                cost_arguments,
                Address::vacant("cost"),
            ),
            service(
                "herald",
                Arc::new(move |stop| {
                    let mesh = publishing.clone();
                    let told = Told {
                        agent: status_entries.clone(),
                        serving: serving_facts.clone(),
                        servability: servability.clone(),
                    };
                    let status_publisher =
                        status_publisher(told, gossip.clone(), problems.clone(), stop);
                    async move {
                        tokio::select! {
                            ended = status_publisher => ended,
                            never = mesh.publish_links(REPEAT_FACTS) => match never {},
                        }
                    }
                    .boxed()
                }),
            ),
            service(
                "events",
                Arc::new(move |stop| events::keep(events_arguments.clone(), stop).boxed()),
            ),
            service(
                "dns",
                Arc::new(move |stop| {
                    run_dns(dns_arguments.clone(), dns_snapshots.clone(), stop).boxed()
                }),
            ),
            service(
                "store-monitor",
                Arc::new(move |stop| regionmesh_store::run_monitor(monitor.clone(), stop).boxed()),
            ),
            service("uploads", {
                let publisher = publisher.clone();
                Arc::new(move |stop| publisher.clone().expire(stop).boxed())
            }),
        ];

        let tell_receivers = move |stop| alerts::keep(alerts_arguments.clone(), stop).boxed();
        children.push(service("alerts", Arc::new(tell_receivers)));
        if config.serving.embedded {
            let address = config.listen.serving;
            let relay = ServingRelay {
                status_entries: tell_serving,
                servability: tell_servability,
                peers: Arc::new(tell_peers),
                snapshots: snapshots.clone(),
            };
            let relay = Arc::new(relay);
            let run =
                move |stop| run_serving(serving.clone(), address, relay.clone(), stop).boxed();

            children.push(service("serving", Arc::new(run)));
        }

        for provider in regionmesh_dns::configured(&dns_config, &registry).await? {
            let name = provider.name();
            let arguments = ProviderArguments::new(dns_config.clone(), provider, snapshots.clone());
            children.push(service(
                name,
                Arc::new(move |stop| provider::keep(arguments.clone(), stop).boxed()),
            ));
        }

        let (tell_health, health) = watch::channel(Arc::default());
        let api = Api {
            config: config.clone(),
            live: reloader.live(),
            snapshots: snapshots.clone(),
            registry: registry.clone(),
            metrics: ApiMetrics::new(&registry)?,
            health: health.clone(),
            store: models,
            publisher,
            clock,
            orders,
            cost,
            quarantine,
            streams: api::events::Streams::new(&registry)?,
            draining: drain.subscribe(),
        };

        children.push(service(
            "api",
            Arc::new(move |stop| run_api(api.clone(), stop).boxed()),
        ));

        let arguments = SupervisorArguments {
            children,
            metrics: SupervisorMetrics::new(&registry)?,
            health: tell_health,
        };
        let (supervisor, _) = Actor::spawn(None, Supervisor, arguments).await?;
        let is_serving = config.serving.embedded;

        Ok(Self {
            snapshots,
            health,
            supervisor,
            mesh,
            drain,
            reloader,
            is_serving,
            health_actor,
            services,
            stop,
        })
    }

    /// Kills one actor where it stands, as a crash would; its supervisor starts it again.
    pub fn kill(&self, actor: &'static str) -> Result<()> {
        Ok(self.supervisor.cast(SupervisorMessage::Kill(actor))?)
    }

    /// Asks for no more traffic: this agent is not ready any more, and where it serves models
    /// itself the mesh is told. Where others serve them the region's endpoint goes on without it.
    pub fn drain(&self) {
        self.drain.send_replace(true);
        if !self.is_serving {
            return;
        }
        if let Err(error) = self.health_actor.cast(HealthMessage::SetDraining(true)) {
            tracing::warn!(%error, "the mesh could not be told that this agent drains");
        }
    }

    /// Reads the configuration again, takes up what can change while the agent runs, and says the
    /// rest in the log.
    pub async fn reload(&self, path: &Path) {
        self.reloader.reload(path).await;
    }

    /// Stops everything; requests in progress are answered first.
    pub async fn stop(self) {
        self.stop.cancel();
        self.services.close();

        let _ = tokio::time::timeout(SHUTDOWN_TIMEOUT, self.services.wait()).await;
        self.mesh.close().await;
        self.supervisor.stop(None);

        let _ = self.supervisor.wait(Some(Duration::from_secs(2))).await;
    }
}

/// Process metrics (CPU, memory, descriptors) where the platform has them.
fn register_process(registry: &Registry) -> Result<()> {
    #[cfg(target_os = "linux")]
    registry.register(Box::new(
        prometheus::process_collector::ProcessCollector::for_self(),
    ))?;

    let build = prometheus::IntGaugeVec::new(
        prometheus::Opts::new(
            "regionmesh_build_info",
            "1, labelled with the version of the binary.",
        ),
        &["version"],
    )?;

    build.with_label_values(&[crate::VERSION]).set(1);
    registry.register(Box::new(build))?;
    Ok(())
}

/// What an agent says of itself.
struct Told {
    agent: AgentInfo,
    serving: watch::Receiver<ServingStatus>,
    /// None without the embedded server.
    servability: watch::Receiver<Option<Servability>>,
}

/// Publishes what the agent says of itself: its process, what it serves, and its problems.
async fn status_publisher(
    mut told: Told,
    gossip: Address<GossipMessage>,
    problems: Problems,
    stop: CancellationToken,
) -> Result<(), String> {
    let mut problem_changes = problems.subscribe();
    loop {
        problem_changes.mark_unchanged();
        let servability = told
            .servability
            .borrow_and_update()
            .clone()
            .map(StatusEntry::Servability);
        let served = told.serving.borrow_and_update().clone();
        let status_entries = [
            StatusEntry::Agent(told.agent.clone()),
            StatusEntry::Serving(served),
            StatusEntry::Problems(problems.active()),
        ];

        for status_entry in status_entries.into_iter().chain(servability) {
            // Gossip is being restarted: said again soon.
            let _ = gossip.cast(GossipMessage::Publish(Box::new(status_entry)));
        }

        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            // Without an embedded server nobody writes; then only the clock counts.
            Ok(()) = told.serving.changed() => {}
            Ok(()) = told.servability.changed() => {}
            Ok(()) = problem_changes.changed() => {}
            () = tokio::time::sleep(REPEAT_FACTS) => {}
        }
    }
}

/// Answers DNS, as soon as the plan can be acted on: until then a resolver asks another of the
/// mesh's name servers.
async fn run_dns(
    arguments: DnsArguments,
    snapshots: Snapshots,
    stop: CancellationToken,
) -> Result<(), String> {
    let mut is_current = snapshots.is_current.subscribe();
    // The sender lives in the snapshots, so waiting ends with the stop alone.
    let Some(_) = stop
        .run_until_cancelled(is_current.wait_for(|&is_current| is_current))
        .await
    else {
        return Ok(());
    };

    let guide = Guide {
        freeze: snapshots.freeze.subscribe(),
        resumed: snapshots.resumed.clone(),
        is_current: snapshots.is_current.clone(),
    };

    regionmesh_dns::run(arguments, guide, stop)
        .await
        .map_err(|error| error.to_string())
}

async fn run_api(api: Api, stop: CancellationToken) -> Result<(), String> {
    let address = api.config.listen.api;
    let listener = TcpListener::bind(address).await.map_err(|error| {
        format!(
            "the API can't listen on {address}: {}; free the port or change listen.api",
            io_error(&error)
        )
    })?;

    api::run(api, listener, stop).await
}

/// Between the model server and the mesh.
struct ServingRelay {
    status_entries: watch::Sender<ServingStatus>,
    servability: watch::Sender<Option<Servability>>,
    peers: Arc<watch::Sender<Arc<BTreeMap<RegionName, RegionModels>>>>,
    snapshots: Snapshots,
}

async fn run_serving(
    arguments: ServingArguments,
    address: std::net::SocketAddr,
    relay: Arc<ServingRelay>,
    stop: CancellationToken,
) -> Result<(), String> {
    let listener = TcpListener::bind(address).await.map_err(|error| {
        format!(
            "serving can't listen on {address}: {}; free the port or change listen.serving",
            io_error(&error)
        )
    })?;
    let own = arguments.region.clone();
    let server = Server::new(arguments);
    let mut status_entries = server.facts();
    let mut servability = server.servability();
    let mut problems = server.problems();

    let tell = async {
        loop {
            relay
                .status_entries
                .send_replace(status_entries.borrow_and_update().clone());
            relay
                .servability
                .send_replace(Some(servability.borrow_and_update().clone()));
            crate::servability::report(
                &relay.snapshots.problems,
                &problems.borrow_and_update().clone(),
            );

            // The senders live as long as the server.
            tokio::select! {
                Ok(()) = status_entries.changed() => {}
                Ok(()) = servability.changed() => {}
                Ok(()) = problems.changed() => {}
                else => std::future::pending().await,
            }
        }
    };

    tokio::select! {
        ended = server.run(listener, stop) => ended.map_err(|error| error.to_string()),
        () = tell => Ok(()),
        () = crate::servability::watch_others(relay.snapshots.board.subscribe(), own, relay.peers.clone()) => Ok(()),
    }
}
