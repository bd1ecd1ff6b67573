//! A small S3: objects, listings, conditional writes, uploads in parts; and the faults that real
//! stores have.

mod clock;

use crate::mesh::{Setup, TestMesh};
use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use clock::Moment;
use http::{HeaderMap, Method, StatusCode, header};
use regionmesh::config::Config;
use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

/// The only bucket.
pub const BUCKET: &str = "models";
/// Credentials for agents: any are right.
pub const ENVIRONMENT: [(&str, &str); 2] =
    [("AWS_ACCESS_KEY_ID", "k"), ("AWS_SECRET_ACCESS_KEY", "s")];
/// Longest body that is taken, bytes.
const BODY_MAX: usize = 64 << 20;
/// How long a request that is held back waits at most.
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
    /// Writes of objects are answered 200 and not kept.
    Forgetful,
    /// `If-None-Match` is ignored.
    Unconditional,
    /// Requests wait until the fault ends.
    Held,
}

#[derive(Debug, Clone)]
struct Object {
    bytes: Bytes,
    at: Moment,
    tag: String,
}

#[derive(Debug, Default)]
struct Upload {
    key: String,
    parts: BTreeMap<u32, Bytes>,
}

#[derive(Debug, Default)]
struct Contents {
    objects: BTreeMap<String, Object>,
    uploads: HashMap<String, Upload>,
    written: u64,
    requests: HashMap<String, u64>,
}

#[derive(Debug)]
struct Inner {
    contents: Mutex<Contents>,
    /// The fault, and what a request must contain to suffer it.
    fault: watch::Sender<Option<(Fault, String)>>,
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().expect("not poisoned")
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

    /// A running mesh whose first region keeps its store in an S3, and the S3.
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

    /// Makes an agent keep its region's store here, below the region's name.
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

    /// Writes an object behind the agents' backs.
    pub fn put(&self, key: &str, bytes: impl Into<Bytes>) {
        self.inner.lock().store(key, bytes.into());
    }

    /// From now on requests whose path, query and body, decoded, contain `matching` suffer `fault`.
    pub fn fails(&self, fault: Fault, matching: &str) {
        self.inner
            .fault
            .send_replace(Some((fault, matching.to_owned())));
    }

    /// From now on nothing goes wrong.
    pub fn works(&self) {
        self.inner.fault.send_replace(None);
    }

    /// The keys that begin with `prefix`.
    pub fn keys(&self, prefix: &str) -> Vec<String> {
        self.inner
            .lock()
            .objects
            .keys()
            .filter(|key| key.starts_with(prefix))
            .cloned()
            .collect()
    }

    /// Deletes an object behind the agents' backs.
    pub fn remove(&self, key: &str) {
        self.inner.lock().objects.remove(key);
    }

    /// Uploads in parts that were begun and neither completed nor aborted.
    pub fn open_uploads(&self) -> usize {
        self.inner.lock().uploads.len()
    }

    /// How many requests of this kind came: `PUT`, `GET`, `LIST`, `BEGIN` (an upload in parts), ...
    pub fn requests(&self, kind: &str) -> u64 {
        self.inner.lock().requests.get(kind).copied().unwrap_or(0)
    }
}

/// A request, taken apart.
struct Ask {
    method: Method,
    key: String,
    query: HashMap<String, String>,
    headers: HeaderMap,
    body: Bytes,
}

impl Ask {
    fn kind(&self) -> &'static str {
        let has = |name: &str| self.query.contains_key(name);
        match self.method.as_str() {
            "GET" if has("list-type") => "LIST",
            "POST" if has("delete") => "REMOVE",
            "POST" if has("uploads") => "BEGIN",
            "POST" if has("uploadId") => "COMPLETE",
            "PUT" if has("uploadId") => "PART",
            "DELETE" if has("uploadId") => "ABORT",
            "PUT" if self.headers.contains_key("x-amz-copy-source") => "COPY",
            "PUT" => "PUT",
            "GET" => "GET",
            "HEAD" => "HEAD",
            "DELETE" => "DELETE",
            _ => "OTHER",
        }
    }

    fn query(&self, name: &str) -> String {
        self.query.get(name).cloned().unwrap_or_default()
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

    *inner.lock().requests.entry(kind.to_owned()).or_default() += 1;
    let body = String::from_utf8_lossy(&ask.body[..ask.body.len().min(4_096)]);
    let whole = format!("{path}?{asked} {body}");
    let fault = inner
        .fault
        .borrow()
        .clone()
        .filter(|(_, matching)| whole.contains(matching))
        .map(|(fault, _)| fault);

    let is_write = !matches!(kind, "GET" | "HEAD" | "LIST");
    match fault {
        Some(Fault::Away) => return error(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable"),
        Some(Fault::NoBucket) => return error(StatusCode::NOT_FOUND, "NoSuchBucket"),
        Some(Fault::Full) if is_write => {
            return error(StatusCode::INSUFFICIENT_STORAGE, "XMinioStorageFull");
        }
        Some(Fault::Forgetful) if kind == "PUT" => return tagged(StatusCode::OK, "\"0\""),
        Some(Fault::Held) => {
            let mut changes = inner.fault.subscribe();
            let over = changes.wait_for(|fault| {
                fault
                    .as_ref()
                    .is_none_or(|(fault, _)| *fault != Fault::Held)
            });
            let _ = tokio::time::timeout(HELD_MAX, over).await;
        }
        _ => {}
    }

    let mut contents = inner.lock();
    match kind {
        "LIST" => list(&contents, &ask.query("prefix")),
        "GET" | "HEAD" => get(&contents, &ask),
        "PUT" => contents.put(&ask, fault == Some(Fault::Unconditional)),
        "COPY" => contents.copy(&ask),
        "REMOVE" => contents.remove(&String::from_utf8_lossy(&ask.body)),
        "DELETE" => {
            contents.objects.remove(&ask.key);
            StatusCode::NO_CONTENT.into_response()
        }
        "BEGIN" => contents.begin(&ask),
        "PART" => contents.part(&ask),
        "COMPLETE" => contents.complete(&ask),
        "ABORT" => match contents.uploads.remove(&ask.query("uploadId")) {
            Some(_) => StatusCode::NO_CONTENT.into_response(),
            None => error(StatusCode::NOT_FOUND, "NoSuchUpload"),
        },
        _ => error(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed"),
    }
}

impl Contents {
    fn store(&mut self, key: &str, bytes: Bytes) -> String {
        self.written += 1;
        let tag = format!("\"{:x}\"", self.written);
        self.objects.insert(
            key.to_owned(),
            Object {
                bytes,
                at: Moment::now(),
                tag: tag.clone(),
            },
        );

        tag
    }

    fn put(&mut self, ask: &Ask, is_unconditional: bool) -> Response {
        let is_conditional = ask.headers.contains_key(header::IF_NONE_MATCH) && !is_unconditional;
        if is_conditional && self.objects.contains_key(&ask.key) {
            return error(StatusCode::PRECONDITION_FAILED, "PreconditionFailed");
        }

        let tag = self.store(&ask.key, ask.body.clone());
        tagged(StatusCode::OK, &tag)
    }

    fn copy(&mut self, ask: &Ask) -> Response {
        let source = ask.headers["x-amz-copy-source"]
            .to_str()
            .map(decode)
            .unwrap_or_default();
        let source = source
            .trim_start_matches('/')
            .strip_prefix(&format!("{BUCKET}/"))
            .unwrap_or_default()
            .to_owned();
        let Some(bytes) = self.objects.get(&source).map(|object| object.bytes.clone()) else {
            return error(StatusCode::NOT_FOUND, "NoSuchKey");
        };
        let tag = self.store(&ask.key, bytes);

        xml(format!(
            "<CopyObjectResult><ETag>{}</ETag></CopyObjectResult>",
            escape(&tag)
        ))
    }

    fn remove(&mut self, request: &str) -> Response {
        let keys = request
            .split("<Key>")
            .skip(1)
            .filter_map(|rest| rest.split("</Key>").next());
        let mut answer = String::new();

        for key in keys {
            self.objects
                .remove(&key.replace("&amp;", "&").replace("&apos;", "'"));
            answer += &format!("<Deleted><Key>{key}</Key></Deleted>");
        }

        xml(format!("<DeleteResult>{answer}</DeleteResult>"))
    }

    fn begin(&mut self, ask: &Ask) -> Response {
        self.written += 1;
        let id = format!("upload-{}", self.written);
        self.uploads.insert(
            id.clone(),
            Upload {
                key: ask.key.clone(),
                parts: BTreeMap::new(),
            },
        );

        let key = escape(&ask.key);
        xml(format!(
            "<InitiateMultipartUploadResult><Bucket>{BUCKET}</Bucket><Key>{key}</Key><UploadId>{id}</UploadId></InitiateMultipartUploadResult>"
        ))
    }

    fn part(&mut self, ask: &Ask) -> Response {
        let number = ask.query("partNumber").parse().unwrap_or(0);
        match self.uploads.get_mut(&ask.query("uploadId")) {
            Some(upload) => {
                upload.parts.insert(number, ask.body.clone());
                tagged(StatusCode::OK, &format!("\"part-{number}\""))
            }
            None => error(StatusCode::NOT_FOUND, "NoSuchUpload"),
        }
    }

    fn complete(&mut self, ask: &Ask) -> Response {
        let Some(upload) = self.uploads.remove(&ask.query("uploadId")) else {
            return error(StatusCode::NOT_FOUND, "NoSuchUpload");
        };
        let bytes: Vec<u8> = upload.parts.into_values().flatten().collect();
        let tag = self.store(&upload.key, bytes.into());

        xml(format!(
            "<CompleteMultipartUploadResult><ETag>{}</ETag></CompleteMultipartUploadResult>",
            escape(&tag)
        ))
    }
}

fn get(contents: &Contents, ask: &Ask) -> Response {
    let Some(object) = contents.objects.get(&ask.key) else {
        return error(StatusCode::NOT_FOUND, "NoSuchKey");
    };
    let size = object.bytes.len();
    let range = ask.headers.get(header::RANGE).and_then(|range| {
        let (first, last) = range
            .to_str()
            .ok()?
            .strip_prefix("bytes=")?
            .split_once('-')?;
        let first: usize = first.parse().ok()?;

        Some((
            first,
            last.parse::<usize>()
                .map_or(size, |last| last + 1)
                .min(size),
        ))
    });

    let response = Response::builder()
        .header(header::ETAG, &object.tag)
        .header(header::LAST_MODIFIED, object.at.http());
    let response = match range {
        Some((first, end)) if first < end => response
            .status(StatusCode::PARTIAL_CONTENT)
            .header(
                header::CONTENT_RANGE,
                format!("bytes {first}-{}/{size}", end - 1),
            )
            .header(header::CONTENT_LENGTH, end - first)
            .body(Body::from(object.bytes.slice(first..end))),
        Some(_) => return error(StatusCode::RANGE_NOT_SATISFIABLE, "InvalidRange"),
        None if ask.method == Method::HEAD => response
            .header(header::CONTENT_LENGTH, size)
            .body(Body::empty()),
        None => response
            .header(header::CONTENT_LENGTH, size)
            .body(Body::from(object.bytes.clone())),
    };

    response.expect("a response")
}

fn list(contents: &Contents, prefix: &str) -> Response {
    let entry = |(key, object): (&String, &Object)| {
        format!(
            "<Contents><Key>{}</Key><LastModified>{}</LastModified><ETag>{}</ETag><Size>{}</Size></Contents>",
            escape(key),
            object.at.iso(),
            escape(&object.tag),
            object.bytes.len()
        )
    };

    let entries: String = contents
        .objects
        .iter()
        .filter(|(key, _)| key.starts_with(prefix))
        .map(entry)
        .collect();

    xml(format!(
        "<ListBucketResult><Name>{BUCKET}</Name><IsTruncated>false</IsTruncated>{entries}</ListBucketResult>"
    ))
}

fn tagged(status: StatusCode, tag: &str) -> Response {
    (status, [(header::ETAG, tag.to_owned())]).into_response()
}

fn xml(body: String) -> Response {
    (
        [(header::CONTENT_TYPE, "application/xml")],
        format!("<?xml version=\"1.0\"?>{body}"),
    )
        .into_response()
}

fn error(status: StatusCode, code: &str) -> Response {
    let body = format!(
        "<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>{code}</Message></Error>"
    );
    (status, [(header::CONTENT_TYPE, "application/xml")], body).into_response()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('"', "&quot;")
}

fn decode(text: &str) -> String {
    // As a form's value, where a plus sign would be a space.
    let form = format!(
        "x={}",
        text.replace('+', "%2B")
            .replace('&', "%26")
            .replace('=', "%3D")
    );

    url::form_urlencoded::parse(form.as_bytes())
        .next()
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default()
}
