//! A small S3: objects, listings, conditional writes, uploads in parts; and the faults that real
//! stores have.

mod answer;
mod clock;
mod contents;
mod request;

use crate::mesh::{Setup, TestMesh};
use answer::{decode, error, tagged};
use axum::{
    Router,
    body::Bytes,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use contents::{Contents, get, list};
use http::StatusCode;
use parking_lot::Mutex;
use regionmesh::config::Config;
use request::Ask;
pub use request::BUCKET;
use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

/// Credentials for agents: any are accepted.
pub const ENVIRONMENT: [(&str, &str); 2] =
    [("AWS_ACCESS_KEY_ID", "k"), ("AWS_SECRET_ACCESS_KEY", "s")];
/// Longest accepted body, bytes.
const BODY_MAX: usize = 64 << 20;
/// How long a delayed request waits at most.
const HELD_MAX: Duration = Duration::from_secs(60);

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Every request is answered 503.
    Away,
    /// The bucket does not exist.
    NoBucket,
    /// Writes are answered with 507.
    Full,
    /// Writes of objects are answered 200 and not stored.
    Forgetful,
    /// `If-None-Match` is ignored.
    Unconditional,
    /// Requests wait until the fault ends.
    Held,
}

#[derive(Debug)]
struct Inner {
    contents: Mutex<Contents>,
    /// The fault, and what a request must contain to suffer it.
    fault: watch::Sender<Option<(Fault, String)>>,
}

impl Inner {
    /// What goes wrong with a request whose path, query and body are `whole`.
    fn fault_of(&self, whole: &str) -> Option<Fault> {
        self.fault
            .borrow()
            .clone()
            .filter(|(_, matching)| whole.contains(matching))
            .map(|(fault, _)| fault)
    }
}

/// A running store; ends with the value.
#[derive(Debug)]
pub struct S3 {
    address: SocketAddr,
    inner: Arc<Inner>,
    server: JoinHandle<()>,
}

impl Drop for S3 {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl S3 {
    /// An empty store that works.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let inner = Arc::new(Inner {
            contents: Mutex::default(),
            fault: watch::Sender::new(None),
        });
        let router = Router::new().fallback(serve).with_state(inner.clone());
        let server = tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });

        Self {
            address,
            inner,
            server,
        }
    }

    /// A running mesh whose first region has its store in an S3, and the S3.
    pub async fn with_mesh() -> (Self, TestMesh) {
        let s3 = Self::start().await;
        let mesh = TestMesh::prepare(Setup {
            environment: &ENVIRONMENT,
            ..Setup::default()
        })
        .await;
        let first = mesh.region(0).to_owned();

        mesh.configure(|config| {
            if config.region.as_str() == first {
                s3.configure(config);
            }
        });

        mesh.start().await.unwrap_or_else(|error| panic!("{error}"));
        (s3, mesh)
    }

    /// Makes an agent have its region's store here, below the region's name.
    pub fn configure(&self, config: &mut Config) {
        config.store.url = format!("s3://{BUCKET}/{}", config.region);
        config.store.options = self.options();
    }

    /// How a store here is reached.
    pub fn options(&self) -> BTreeMap<String, String> {
        let options = [
            ("aws_endpoint", format!("http://{}", self.address)),
            ("allow_http", "true".to_owned()),
            ("aws_region", "us-east-1".to_owned()),
        ];

        options
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value))
            .collect()
    }

    /// Writes an object without the agents' knowledge.
    pub fn put(&self, key: &str, bytes: impl Into<Bytes>) {
        self.inner.contents.lock().store(key, bytes.into());
    }

    /// From now on requests whose path, query and body, decoded, contain `matching` suffer `fault`.
    pub fn fails(&self, fault: Fault, matching: &str) {
        self.inner
            .fault
            .send_replace(Some((fault, matching.to_owned())));
    }

    /// Removes the fault.
    pub fn works(&self) {
        self.inner.fault.send_replace(None);
    }

    /// The keys that begin with `prefix`.
    pub fn keys(&self, prefix: &str) -> Vec<String> {
        self.inner
            .contents
            .lock()
            .objects
            .keys()
            .filter(|key| key.starts_with(prefix))
            .cloned()
            .collect()
    }

    /// Deletes an object without the agents' knowledge.
    pub fn remove(&self, key: &str) {
        self.inner.contents.lock().objects.remove(key);
    }

    /// Uploads in parts that were begun and neither completed nor aborted.
    pub fn open_uploads(&self) -> usize {
        self.inner.contents.lock().uploads.len()
    }

    /// How many requests of this kind came: `PUT`, `GET`, `LIST`, `BEGIN` (an upload in parts), ...
    pub fn requests(&self, kind: &str) -> u64 {
        self.inner
            .contents
            .lock()
            .requests
            .get(kind)
            .copied()
            .unwrap_or(0)
    }
}

async fn serve(State(inner): State<Arc<Inner>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, BODY_MAX).await else {
        return error(StatusCode::BAD_REQUEST, "TooLarge");
    };
    let decoded = url::Url::parse(&format!("http://s3{}", head.uri)).expect("a URL");
    let path = decode(decoded.path());
    let query = decoded.query_pairs().into_owned().collect();
    let asked = decode(decoded.query().unwrap_or_default());
    let key = path
        .trim_start_matches('/')
        .strip_prefix(BUCKET)
        .unwrap_or_default()
        .trim_start_matches('/')
        .to_owned();

    let ask = Ask {
        method: head.method,
        key,
        query,
        headers: head.headers,
        body,
    };
    let kind = ask.kind();

    *inner
        .contents
        .lock()
        .requests
        .entry(kind.to_owned())
        .or_default() += 1;
    let body = String::from_utf8_lossy(&ask.body[..ask.body.len().min(4_096)]);
    let fault = inner.fault_of(&format!("{path}?{asked} {body}"));
    if let Some(refused) = suffer(&inner, fault, kind).await {
        return refused;
    }

    perform(&mut inner.contents.lock(), &ask, fault)
}

/// Applies a fault to a request; the answer, if the fault determines it.
async fn suffer(inner: &Inner, fault: Option<Fault>, kind: &str) -> Option<Response> {
    let is_write = !matches!(kind, "GET" | "HEAD" | "LIST");
    match fault? {
        Fault::Away => Some(error(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable")),
        Fault::NoBucket => Some(error(StatusCode::NOT_FOUND, "NoSuchBucket")),
        Fault::Full if is_write => {
            Some(error(StatusCode::INSUFFICIENT_STORAGE, "XMinioStorageFull"))
        }
        Fault::Forgetful if kind == "PUT" => Some(tagged(StatusCode::OK, "\"0\"")),
        Fault::Held => {
            let mut changes = inner.fault.subscribe();
            let over = changes.wait_for(|fault| {
                fault
                    .as_ref()
                    .is_none_or(|(fault, _)| *fault != Fault::Held)
            });
            let _ = tokio::time::timeout(HELD_MAX, over).await;
            None
        }
        _ => None,
    }
}

fn perform(contents: &mut Contents, ask: &Ask, fault: Option<Fault>) -> Response {
    match ask.kind() {
        "LIST" => list(contents, &ask.query("prefix")),
        "GET" | "HEAD" => get(contents, ask),
        "PUT" => contents.put(ask, fault == Some(Fault::Unconditional)),
        "COPY" => contents.copy(ask),
        "REMOVE" => contents.remove(&String::from_utf8_lossy(&ask.body)),
        "DELETE" => {
            contents.objects.remove(&ask.key);
            StatusCode::NO_CONTENT.into_response()
        }
        "BEGIN" => contents.begin(ask),
        "PART" => contents.part(ask),
        "COMPLETE" => contents.complete(ask),
        "ABORT" => match contents.uploads.remove(&ask.query("uploadId")) {
            Some(_) => StatusCode::NO_CONTENT.into_response(),
            None => error(StatusCode::NOT_FOUND, "NoSuchUpload"),
        },
        _ => error(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed"),
    }
}
