//! The API over real connections, with a real store, scripted snapshots and a read-only replicator.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod changes;
mod document;
mod events;
mod failover;
mod limits;
mod models;
mod promotion;
mod reads;
mod uploads;

use super::{
    Api, conformance::assert_answers, events::Streams, metrics::ApiMetrics, routes::ROUTES, serve,
    server::Limits,
};
use crate::{
    actors::cost::CostMetrics,
    address::Address,
    config::{Config, fixture},
    cost::{archive::Archive, handler::CostHandler},
    failover::OrderHandler,
    operators::Operators,
    replication_adapters::publisher,
    snapshots::Snapshots,
    supervisor::{ChildHealth, Health},
};
use http::{Method, StatusCode};
use regionmesh_core::{
    gossip::{AgentView, SeenStatus},
    health::verdict::RegionVerdict,
};
use regionmesh_mesh::{LinkInfo, Peer, PeerError, Peers};
use regionmesh_protocol::{
    identity::AgentId,
    plan::{CommittedPlan, Plan, RegionPlan, TrafficState},
    register::ballot::{Ballot, Stamp},
    status::{StatusEntry, condition::Condition, entry::EntryVersion},
    wire::{PeerReply, PeerRequest},
};
use regionmesh_replication::HybridClock;
use regionmesh_runtime::metrics::Registry;
use regionmesh_store::{ModelStore, Settings};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};
use tempfile::TempDir;
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;

const TIMEOUT: Duration = Duration::from_secs(20);
const TOKEN: &str = "the-right-token";
const REGIONS: [(&str, &str); 3] = [
    ("us-west-2", "127.0.0.11"),
    ("eu-west-1", "127.0.0.12"),
    ("ap-south-1", "127.0.0.13"),
];

/// The part of a replicator that reads the store when it changes.
async fn read_changes(store: Arc<ModelStore>, snapshots: Snapshots) {
    let mut changes = store.changes();
    while changes.changed().await.is_ok() {
        let catalogue = store.catalogue().await.unwrap();
        snapshots.catalogue.send_replace(Arc::new(catalogue));
    }
}

/// A mesh without connections.
struct NoPeers;

#[async_trait::async_trait]
impl Peers for NoPeers {
    async fn call(&self, to: &Peer, _: PeerRequest, _: Duration) -> Result<PeerReply, PeerError> {
        Err(PeerError::NotConnected(to.clone()))
    }
}

/// A running API of agent `us-west-2/node-0`, and everything that it reads.
struct Fixture {
    address: SocketAddr,
    http: reqwest::Client,
    api: Api,
    snapshots: Snapshots,
    actors: watch::Sender<Arc<BTreeMap<&'static str, ChildHealth>>>,
    drain: watch::Sender<bool>,
    dir: TempDir,
    stop: CancellationToken,
    reader: JoinHandle<()>,
    server: JoinHandle<Result<(), String>>,
}

struct Reply {
    status: StatusCode,
    headers: http::HeaderMap,
    text: String,
}

impl Reply {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text)
            .unwrap_or_else(|error| panic!("{error}: {} {}", self.status, self.text))
    }

    fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    /// Asserts that the document describes this answer to a request.
    #[track_caller]
    fn assert_described(&self, method: &str, path: &str) {
        if self.header("content-type") == "application/json" {
            assert_answers(method, path, self.status.as_str(), &self.json());
        }
    }

    /// Asserts that this is an error of the common form; returns its text and hint.
    #[track_caller]
    fn error(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{}", self.text);
        assert_eq!(
            self.header("content-type"),
            "application/json",
            "{}",
            self.text
        );

        let body: regionmesh_client::ErrorBody = serde_json::from_str(&self.text).unwrap();
        assert!(!body.error.is_empty());
        format!("{}; {}", body.error, body.hint)
    }

    /// Asserts that this is such an error, with these words in its text or hint.
    #[track_caller]
    fn refused(&self, status: u16, words: &str) {
        let error = self.error(status);
        assert!(error.contains(words), "{error}");
    }

    #[track_caller]
    fn ok(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text);
        self
    }
}

fn config(dir: &std::path::Path) -> Config {
    let mut config = fixture::config(&REGIONS, "");
    config.data_dir = dir.join("data");
    config.store.url = format!("file://{}/store", dir.display());
    config.api.token_file = Some(dir.join("token"));
    config
}

/// The state of an API over an empty store in `dir`.
fn state(
    config: Arc<Config>,
    dir: &TempDir,
    snapshots: Snapshots,
    health: Health,
    draining: watch::Receiver<bool>,
) -> Api {
    let clock = HybridClock::default();
    let url = format!("file://{}/store", dir.path().display());
    let options = BTreeMap::new();
    let store = regionmesh_store::open(&Settings { url, options }).unwrap();
    let store = Arc::new(ModelStore::new(store));

    let publisher = publisher(&config, &store, &clock, &snapshots, None).unwrap();
    let registry = Registry::new();
    let live = watch::channel(config.clone()).1;
    let operators = Operators::new(config.mesh.clone(), config.id(), live.clone());
    let archive = Archive {
        store: store.clone(),
        publisher: publisher.clone(),
        clock: clock.clone(),
        region: config.region.clone(),
        staging: dir.path().join("cost"),
    };

    Api {
        live,
        config,
        metrics: ApiMetrics::new(&registry).unwrap(),
        health,
        store,
        publisher,
        clock,
        orders: OrderHandler {
            core: Address::vacant("core"),
            peers: Arc::new(NoPeers),
            snapshots: snapshots.clone(),
            operators,
        },
        cost: CostHandler::new(
            archive,
            watch::channel(Arc::default()).1,
            watch::channel(Arc::default()).1,
            CostMetrics::new(&registry).unwrap(),
        ),
        quarantine: Some(regionmesh_serving::Quarantine::open(None)),
        streams: Streams::new(&registry).unwrap(),
        draining,
        snapshots,
        registry,
    }
}

impl Fixture {
    async fn start() -> Self {
        Self::with(Limits::default(), |_| {}).await
    }

    async fn with(limits: Limits, change: impl FnOnce(&mut Config)) -> Self {
        // reqwest needs a provider even without TLS.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("token"), format!("{TOKEN}\n")).unwrap();

        let mut config = config(dir.path());
        change(&mut config);

        let snapshots = Snapshots::default();
        let (actors, health) = watch::channel(Arc::default());
        let (drain, draining) = watch::channel(false);
        let api = state(Arc::new(config), &dir, snapshots.clone(), health, draining);
        let reader = tokio::spawn(read_changes(api.store.clone(), snapshots.clone()));

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let server = tokio::spawn(serve(api.clone(), listener, limits, stop.clone()));
        let http = reqwest::Client::builder()
            .no_proxy()
            .timeout(TIMEOUT)
            .build()
            .unwrap();

        Self {
            address,
            http,
            api,
            snapshots,
            actors,
            drain,
            dir,
            stop,
            reader,
            server,
        }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Reply {
        let response = request.send().await.unwrap();
        let status = response.status();
        let headers = response.headers().clone();

        Reply {
            status,
            headers,
            text: response.text().await.unwrap(),
        }
    }

    async fn get(&self, path: &str) -> Reply {
        let reply = self.send(self.http.get(self.url(path))).await;
        reply.assert_described("get", path);
        reply
    }

    /// The JSON of a successful answer.
    async fn read(&self, path: &str) -> Value {
        self.get(path).await.ok(200).json()
    }

    /// The JSON of a successful change.
    async fn change(&self, path: &str, body: impl Into<reqwest::Body>) -> Value {
        self.post(path, body).await.ok(200).json()
    }

    /// A request with another `Host`, without a token.
    async fn ask_as(&self, method: Method, path: &str, host: &str) -> Reply {
        let request = self.http.request(method, self.url(path));
        self.send(request.header("host", host)).await
    }

    /// Connections that were refused for this reason.
    fn refused_connections(&self, reason: &str) -> u64 {
        let counted = &self.api.metrics.refused_connections;
        counted.with_label_values(&[reason]).get()
    }

    /// A change with the right token and this body.
    async fn post(&self, path: &str, body: impl Into<reqwest::Body>) -> Reply {
        let request = self.http.post(self.url(path)).bearer_auth(TOKEN);
        let reply = self.send(request.body(body)).await;
        reply.assert_described("post", path);
        reply
    }

    async fn promote(&self, version: &str, body: &'static str) -> Reply {
        let path = format!("/v1/models/resnet/versions/{version}/promote");
        self.post(&path, body).await
    }

    async fn begin(&self, model: &str, version: &str) -> String {
        let reply = self
            .post(
                &format!("/v1/models/{model}/versions/{version}/uploads"),
                "",
            )
            .await
            .ok(201);

        reply.json()["upload"].as_str().unwrap().to_owned()
    }

    async fn add(&self, upload: &str, path: &str, bytes: impl Into<reqwest::Body>) -> Reply {
        self.post(&format!("/v1/uploads/{upload}/files?path={path}"), bytes)
            .await
    }

    /// Adds a file of declared length zero.
    async fn add_empty(&self, upload: &str) {
        let path = format!("/v1/uploads/{upload}/files?path=empty");
        let empty = self.http.post(self.url(&path)).bearer_auth(TOKEN);
        self.send(empty.header("content-length", "0")).await.ok(201);
    }

    async fn commit(&self, upload: &str) -> Reply {
        self.post(&format!("/v1/uploads/{upload}/commit"), "").await
    }

    /// Publishes one file, and waits until the catalogue shows it.
    async fn publish(&self, model: &str, version: &str, content: &str) -> Value {
        let upload = self.begin(model, version).await;
        self.add(&upload, "model.onnx", content.to_owned())
            .await
            .ok(201);

        let committed = self.commit(&upload).await.ok(200).json();
        let model = model.parse().unwrap();
        let version = version.parse().unwrap();

        self.catalogued(|catalogue| catalogue.version(&model, &version).is_some())
            .await;
        committed
    }

    async fn catalogued(
        &self,
        claim: impl Fn(&regionmesh_protocol::models::catalogue::Catalogue) -> bool,
    ) {
        let mut catalogue = self.snapshots.catalogue.subscribe();
        tokio::time::timeout(TIMEOUT, catalogue.wait_for(|catalogue| claim(catalogue)))
            .await
            .expect("not in the catalogue in time")
            .unwrap();
    }

    /// Puts an agent's status entries on the board, heard just now.
    fn set_status(&self, agent: &str, is_alive: bool, status_entries: Vec<StatusEntry>) {
        let view = AgentView {
            is_alive,
            status_entries: status_entries
                .into_iter()
                .map(|status_entry| {
                    let kind = status_entry.kind();
                    let seen_at = Instant::now();
                    (
                        kind,
                        SeenStatus {
                            status_entry: Arc::new(status_entry),
                            version: EntryVersion::default(),
                            seen_at,
                        },
                    )
                })
                .collect(),
        };

        let agent: AgentId = agent.parse().unwrap();
        self.snapshots.board.send_modify(|board| {
            Arc::make_mut(board).agents.insert(agent, view);
        });
    }

    fn set_verdict(&self, region: &str, condition: Condition) {
        let verdict = RegionVerdict {
            condition,
            since_ms: 77,
            votes: vec![("eu-west-1".parse().unwrap(), condition)],
            reason: "as the test says".into(),
            addresses: Vec::new(),
        };

        self.snapshots.verdicts.send_modify(|verdicts| {
            Arc::make_mut(verdicts).insert(region.parse().unwrap(), verdict);
        });
    }

    /// Commits a plan: us-west-2 serves, eu-west-1 ramps, ap-south-1 is out.
    fn plan(&self) {
        let region = |weight_bp, traffic_state, ip: &str, flaps, failed_ms| RegionPlan {
            weight_bp,
            traffic_state,
            addresses: vec![ip.parse().unwrap()],
            flaps,
            failed_ms,
            ..RegionPlan::default()
        };

        let regions = [
            (
                "us-west-2",
                region(7_500, TrafficState::Serving, "127.0.0.11", 0, 0),
            ),
            (
                "eu-west-1",
                region(
                    2_500,
                    TrafficState::Ramping {
                        step: 3,
                        since_ms: 41,
                    },
                    "127.0.0.12",
                    2,
                    40,
                ),
            ),
            (
                "ap-south-1",
                region(0, TrafficState::Out { since_ms: 42 }, "127.0.0.13", 1, 42),
            ),
        ];

        let plan = Plan {
            regions: regions
                .into_iter()
                .map(|(name, region)| (name.parse().unwrap(), region))
                .collect(),
            reason: "ap-south-1 failed".into(),
            made_ms: 1_000,
            ..Plan::default()
        };

        let ballot = Ballot {
            number: 9,
            agent: "eu-west-1/node-0".parse().unwrap(),
            boot: 1,
        };

        let leader = &self.snapshots.leader;
        leader.send_modify(|view| view.ballot = Some(ballot.clone()));

        let committed = CommittedPlan {
            stamp: Stamp { ballot, seq: 12 },
            plan,
            certificate: Default::default(),
        };
        self.snapshots.plan.send_replace(Some(Arc::new(committed)));
    }

    fn link(&self, agent: &str, round_trip_us: u64) {
        let link = LinkInfo {
            round_trip_us,
            since: Instant::now(),
        };

        self.snapshots.links.send_modify(|links| {
            Arc::make_mut(links).insert(agent.parse().unwrap(), link);
        });
    }

    fn token_file(&self) -> PathBuf {
        self.dir.path().join("token")
    }
}

/// A route's path with its parameters filled in.
fn example(path: &str) -> String {
    path.replace("{region}", "us-west-2")
        .replace("{model}", "resnet")
        .replace("{version}", "1")
        .replace("{upload}", "0123456789abcdef")
}
