//! A webhook receiver: records messages, and can refuse them or be slow.

use axum::{Router, body::Bytes, extract::State, routing::post};
use http::{HeaderMap, StatusCode};
use parking_lot::Mutex;
use serde_json::Value;
use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};
use tokio::{net::TcpListener, task::JoinHandle};

/// One message.
#[derive(Debug, Clone)]
pub struct Message {
    pub headers: HeaderMap,
    /// The body as it came, for signatures.
    pub bytes: Vec<u8>,
    /// The body as JSON; null if it is none.
    pub body: Value,
    /// The status that it was answered with.
    pub answered: u16,
}

impl Message {
    /// A header's text; empty without it.
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }
}

/// How the next messages are treated.
#[derive(Debug, Clone, Copy)]
pub struct Treatment {
    /// The status code of the answer.
    pub answer: u16,
    /// How long it takes.
    pub pause: Duration,
}

#[derive(Debug, Default)]
struct Inner {
    messages: Mutex<Vec<Message>>,
    treatments: Mutex<VecDeque<Treatment>>,
}

/// A running receiver; ends with the value.
#[derive(Debug)]
pub struct Receiver {
    address: SocketAddr,
    inner: Arc<Inner>,
    server: JoinHandle<()>,
}

impl Receiver {
    /// Treats the first messages like this, one after the other, and accepts all others.
    pub async fn start(treatments: impl IntoIterator<Item = Treatment>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let inner = Arc::new(Inner {
            treatments: Mutex::new(treatments.into_iter().collect()),
            ..Inner::default()
        });
        let router = Router::new()
            .route("/hook", post(take))
            .with_state(inner.clone());
        let server =
            tokio::spawn(async move { axum::serve(listener, router).await.expect("a server") });

        Self {
            address,
            inner,
            server,
        }
    }

    pub fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// Every message so far.
    pub fn messages(&self) -> Vec<Message> {
        self.inner.messages.lock().clone()
    }

    /// The accepted messages.
    pub fn taken(&self) -> Vec<Message> {
        self.messages()
            .into_iter()
            .filter(|message| message.answered == 200)
            .collect()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// How often each event was accepted, by its idempotency key.
pub fn counts_by_key(messages: &[Message]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for message in messages {
        let key = message.header("idempotency-key");
        *counts.entry(key.to_owned()).or_default() += 1;
    }

    counts
}

async fn take(State(inner): State<Arc<Inner>>, headers: HeaderMap, bytes: Bytes) -> StatusCode {
    let treatment = inner.treatments.lock().pop_front();
    let Treatment { answer, pause } = treatment.unwrap_or(Treatment {
        answer: 200,
        pause: Duration::ZERO,
    });

    tokio::time::sleep(pause).await;
    let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
    let message = Message {
        headers,
        bytes: bytes.to_vec(),
        body,
        answered: answer,
    };

    inner.messages.lock().push(message);

    StatusCode::from_u16(answer).expect("a status")
}
