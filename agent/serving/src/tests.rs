//! The server from a client's view: real connections, small models, an in-memory store.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod lifecycle;
mod limits;
mod memory;
mod models;
mod protocol;
mod test_loads;

use crate::{
    ModelSource, Server, ServingArguments, ServingConfig, ServingError, ServingMetrics, admission,
    choose, engine, loader, loading, outcomes, quarantine, routes, work,
};
use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use regionmesh_protocol::{
    clock::HybridTime,
    identity::RegionName,
    models::{
        catalogue::{AliasEntry, Catalogue},
        digest::Digest,
        manifest::{ModelName, VersionName, VersionSummary},
    },
    status::{
        ServingStatus,
        servability::{Outcome, Servability, VersionServability},
    },
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

type Files = BTreeMap<(String, String), BTreeMap<String, Bytes>>;

/// Files of versions in memory, with a count of reads, a switch to fail reads and a semaphore to
/// block them.
#[derive(Default)]
struct Memory {
    files: Mutex<Files>,
    reads: AtomicUsize,
    is_broken: std::sync::atomic::AtomicBool,
    read_permits: Mutex<Option<Arc<tokio::sync::Semaphore>>>,
    held: AtomicUsize,
}

#[async_trait]
impl ModelSource for Memory {
    async fn files(
        &self,
        model: &ModelName,
        version: &VersionName,
    ) -> Result<Vec<(String, u64)>, String> {
        if self.is_broken.load(Ordering::SeqCst) {
            return Err("the store is away".into());
        }

        let files = self.files.lock();
        let files = files
            .get(&(model.to_string(), version.to_string()))
            .ok_or("no such version")?;

        Ok(files
            .iter()
            .map(|(path, content)| (path.clone(), content.len() as u64))
            .collect())
    }

    async fn read(
        &self,
        model: &ModelName,
        version: &VersionName,
        path: &str,
    ) -> Result<Bytes, String> {
        let content = {
            let files = self.files.lock();
            files
                .get(&(model.to_string(), version.to_string()))
                .and_then(|files| files.get(path))
                .cloned()
        };
        let read_permits = self.read_permits.lock().clone();

        if let Some(read_permits) = read_permits {
            self.held.fetch_add(1, Ordering::SeqCst);
            read_permits.acquire().await.unwrap().forget();
        }

        self.reads.fetch_add(1, Ordering::SeqCst);
        content.ok_or("no such file".into())
    }
}

/// A running server.
struct Fixture {
    memory: Arc<Memory>,
    announce: watch::Sender<Arc<Catalogue>>,
    draining: watch::Sender<bool>,
    peers: watch::Sender<
        Arc<BTreeMap<RegionName, regionmesh_core::planning::servability::RegionModels>>,
    >,
    status: watch::Receiver<ServingStatus>,
    servability: watch::Receiver<Servability>,
    quarantine: Arc<quarantine::Quarantine>,
    registry: regionmesh_runtime::metrics::Registry,
    address: SocketAddr,
    stop: CancellationToken,
    server: JoinHandle<Result<(), ServingError>>,
}

impl Fixture {
    async fn start(config: ServingConfig) -> Self {
        Self::start_with(config, false).await
    }

    async fn start_with(config: ServingConfig, tests_versions: bool) -> Self {
        let memory = Arc::new(Memory::default());
        let registry = regionmesh_runtime::metrics::Registry::new();
        let (announce, catalogue) = watch::channel(Arc::default());
        let (draining, is_draining) = watch::channel(false);
        let (peers, of_peers) = watch::channel(Arc::default());
        let quarantine = quarantine::Quarantine::open(None);
        let server = Server::new(ServingArguments {
            region: "here".parse().unwrap(),
            config,
            source: memory.clone(),
            catalogue,
            peers: of_peers,
            tests_versions,
            state_dir: None,
            quarantine: quarantine.clone(),
            draining: is_draining,
            meter: Default::default(),
            metrics: ServingMetrics::new(&registry).unwrap(),
        });

        let status = server.status();
        let servability = server.servability();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let server = tokio::spawn(server.run(listener, stop.clone()));

        Self {
            memory,
            announce,
            draining,
            peers,
            status,
            servability,
            quarantine,
            registry,
            address,
            stop,
            server,
        }
    }

    /// A server with these models, version 1 each, ready.
    async fn with(models: &[(&str, Vec<u8>)]) -> Self {
        let fixture = Self::start(ServingConfig::default()).await;
        for (name, bytes) in models {
            fixture.put(name, "1", bytes.clone());
        }
        fixture.publish();
        fixture.wait_ready().await;
        fixture
    }

    fn put(&self, model: &str, version: &str, bytes: Vec<u8>) {
        self.put_files(
            model,
            version,
            [("model.onnx".to_owned(), bytes.into())].into(),
        );
    }

    fn put_files(&self, model: &str, version: &str, files: BTreeMap<String, Bytes>) {
        self.memory
            .files
            .lock()
            .insert((model.into(), version.into()), files);
    }

    fn remove(&self, model: &str, version: &str) {
        self.memory
            .files
            .lock()
            .remove(&(model.into(), version.into()));
    }

    /// The published outcome of a version.
    fn outcome(&self, model: &str, version: &str) -> Option<Outcome> {
        let published = self.servability.borrow();
        let matches_key = |known: &&VersionServability| {
            known.model.as_str() == model && known.version.as_str() == version
        };

        published
            .versions
            .iter()
            .find(matches_key)
            .map(|known| known.outcome.clone())
    }

    /// Publishes the store's catalogue.
    fn publish(&self) {
        self.publish_with(&[]);
    }

    /// Publishes the store's catalogue with `production` aliases: model and version.
    fn publish_with(&self, production: &[(&str, &str)]) {
        let summary = |((model, version), files): (&(String, String), &BTreeMap<String, Bytes>)| {
            let mut content = blake3::Hasher::new();
            for bytes in files.values() {
                content.update(bytes);
            }

            VersionSummary {
                model: model.parse().unwrap(),
                version: version.parse().unwrap(),
                content: Digest(*content.finalize().as_bytes()),
                size: files.values().map(|bytes| bytes.len() as u64).sum(),
                published: HybridTime::default(),
                origin: "here".parse().unwrap(),
            }
        };

        let alias = |(model, version): &(&str, &str)| AliasEntry {
            set: HybridTime::default(),
            origin: "here".parse().unwrap(),
            model: model.parse().unwrap(),
            alias: choose::PRODUCTION.parse().unwrap(),
            version: version.parse().unwrap(),
            by: String::new(),
        };

        let versions = self.memory.files.lock().iter().map(summary).collect();
        let aliases = production.iter().map(alias).collect();

        self.announce.send_replace(Arc::new(Catalogue {
            versions,
            aliases,
            tombstones: vec![],
        }));
    }

    async fn wait_ready(&self) {
        self.wait("ready", async || {
            self.get("/v2/health/ready").await.0 == 200
        })
        .await;
    }

    /// Waits until the model's default version is `version`.
    async fn wait_default(&self, model: &str, version: &str) {
        let path = format!("/v2/models/{model}/ready");
        self.wait(&format!("{model}@{version}"), async || {
            self.get(&path).await.1["version"] == version
        })
        .await;
    }

    async fn wait(&self, what: &str, condition: impl AsyncFn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !condition().await {
            assert!(
                Instant::now() < deadline,
                "still not {what}: {:?}",
                self.get("/v2/health/ready").await
            );

            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn connect(&self) -> SendRequest<Full<Bytes>> {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .unwrap();

        tokio::spawn(connection);
        sender
    }

    async fn call(&self, method: &str, path: &str, body: impl Into<Bytes>) -> (u16, Value) {
        let (parts, body) = self.exchange(method, path, body).await;
        (parts.status.as_u16(), body)
    }

    async fn exchange(
        &self,
        method: &str,
        path: &str,
        body: impl Into<Bytes>,
    ) -> (http::response::Parts, Value) {
        send(&mut self.connect().await, method, path, body).await
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        self.call("GET", path, "").await
    }

    async fn infer(&self, model: &str, request: Value) -> (u16, Value) {
        self.call(
            "POST",
            &format!("/v2/models/{model}/infer"),
            request.to_string(),
        )
        .await
    }

    #[track_caller]
    fn assert_metric(&self, line: &str) {
        let metrics = self.metrics();
        assert!(metrics.contains(line), "{metrics}");
    }

    fn metrics(&self) -> String {
        regionmesh_runtime::metrics::render(&self.registry).unwrap()
    }
}

/// Loads from `memory`, without stored outcomes.
fn loading_from(
    memory: &Arc<Memory>,
    config: ServingConfig,
    metrics: ServingMetrics,
) -> loading::Loading {
    loading::Loading::new(loading::LoadingArguments {
        source: memory.clone(),
        config,
        metrics,
        quarantine: quarantine::Quarantine::open(None),
        outcomes: Arc::new(outcomes::Outcomes::open(None, String::new())),
    })
}

async fn send(
    connection: &mut SendRequest<Full<Bytes>>,
    method: &str,
    path: &str,
    body: impl Into<Bytes>,
) -> (http::response::Parts, Value) {
    connection.ready().await.unwrap();
    let request = http::Request::builder()
        .method(method)
        .uri(path)
        .header("host", "test");
    let response = connection
        .send_request(request.body(Full::new(body.into())).unwrap())
        .await
        .unwrap();
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();

    (parts, serde_json::from_slice(&body).unwrap_or(Value::Null))
}

/// A request for [`models::add`].
fn floats(values: [f32; 2]) -> Value {
    json!({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": values}]})
}
