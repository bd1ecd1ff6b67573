//! Measures a running mesh from outside, as its users and their resolvers see it.
//!
//! The guided tour, the figures and the end-to-end tests share these: a steady load of inferences,
//! each on a new connection, and single questions to a single DNS server.

use futures::future::join_all;
use hickory_proto::{
    op::{Message, MessageType, OpCode, Query},
    rr::{Name, RData, RecordType},
};
use parking_lot::Mutex;
use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::net::UdpSocket;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// One request of a load.
#[derive(Debug, Clone)]
pub struct Sample {
    /// When it was sent, since the load began.
    pub sent: Duration,
    /// How long it took.
    pub took: Duration,
    /// The region that answered, or the error.
    pub outcome: Result<String, String>,
}

/// A steady load of inferences on one URL.
pub struct Load {
    started: Instant,
    progress: Progress,
    stop: CancellationToken,
    requests: TaskTracker,
}

/// The progress of a load.
#[derive(Clone, Default)]
struct Progress(Arc<Mutex<(Vec<Sample>, BTreeSet<Duration>)>>);

/// How long a client waits for an answer before it counts an error: longer than the front door
/// holds a request, so that the client sees the reason.
const TIMEOUT: Duration = Duration::from_secs(15);
/// How much of an error's text is kept, characters.
const QUOTE_MAX: usize = 300;
/// Time between two polls.
const POLL_INTERVAL: Duration = Duration::from_millis(20);
/// Longest time for one DNS query while polling for a change.
const DNS_TIMEOUT: Duration = Duration::from_millis(500);

impl Load {
    /// Starts sending `body` to `url`, one request every `interval`, whether or not earlier ones
    /// were answered.
    pub fn start(
        url: String,
        body: serde_json::Value,
        interval: Duration,
    ) -> Result<Self, reqwest::Error> {
        // No kept-alive connections: every request is a new client that resolves and connects.
        let client = reqwest::Client::builder()
            .pool_max_idle_per_host(0)
            .timeout(TIMEOUT)
            .build()?;
        let load = Self {
            started: Instant::now(),
            progress: Progress::default(),
            stop: CancellationToken::new(),
            requests: TaskTracker::new(),
        };

        let started = load.started;
        let progress = load.progress.clone();
        let stop = load.stop.clone();
        let requests = load.requests.clone();

        tokio::spawn(async move {
            let mut ticks = tokio::time::interval(interval);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            while stop.run_until_cancelled(ticks.tick()).await.is_some() {
                let client = client.clone();
                let url = url.clone();
                let body = body.clone();
                let progress = progress.clone();
                let sent = started.elapsed();

                progress.0.lock().1.insert(sent);
                requests.spawn(async move {
                    let outcome = infer(&client, &url, &body).await.map(|(region, _)| region);
                    let (samples, under_way) = &mut *progress.0.lock();
                    samples.push(Sample {
                        sent,
                        took: started.elapsed() - sent,
                        outcome,
                    });

                    under_way.remove(&sent);
                });
            }
        });

        Ok(load)
    }

    /// Time since the load began: the clock of its samples.
    pub fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// The requests that ended so far, in order of sending.
    pub fn samples(&self) -> Vec<Sample> {
        let mut samples = self.progress.0.lock().0.clone();
        samples.sort_by_key(|sample| sample.sent);
        samples
    }

    /// Every request sent before this has ended, one way or the other.
    pub fn ended_until(&self) -> Duration {
        self.progress
            .0
            .lock()
            .1
            .first()
            .copied()
            .unwrap_or_else(|| self.now())
    }

    /// Stops sending, waits for the last answers, and returns everything.
    pub async fn finish(self) -> Vec<Sample> {
        self.stop.cancel();
        self.requests.close();
        self.requests.wait().await;
        self.samples()
    }
}

/// One inference: the region that answered, and its answer.
pub async fn infer(
    client: &reqwest::Client,
    url: &str,
    body: &serde_json::Value,
) -> Result<(String, bytes::Bytes), String> {
    let reply = client
        .post(url)
        .json(body)
        .send()
        .await
        .map_err(|error| root_cause(&error))?;

    let region = reply
        .headers()
        .get("x-regionmesh-region")
        .and_then(|value| value.to_str().ok())
        .map(str::to_owned);
    let status = reply.status();
    let answer = reply.bytes().await.map_err(|error| root_cause(&error))?;

    match region {
        Some(region) if status.is_success() => Ok((region, answer)),
        _ => {
            let message: String = String::from_utf8_lossy(&answer)
                .chars()
                .take(QUOTE_MAX)
                .collect();
            Err(format!("HTTP {status}: {message}"))
        }
    }
}

fn root_cause(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), root_cause)
}

/// The time during which some request failed: from the first failed one's sending to the end of the
/// last failed one.
pub fn error_window(samples: &[Sample]) -> Option<(Duration, Duration)> {
    let failed = || samples.iter().filter(|sample| sample.outcome.is_err());
    Some((
        failed().map(|sample| sample.sent).min()?,
        failed().map(|sample| sample.sent + sample.took).max()?,
    ))
}

/// A condition was not met in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not within {0:?}")]
pub struct NotWithin(pub Duration);

/// Polls until the result is as wanted.
pub async fn wait<T, F: Future<Output = T>>(
    timeout: Duration,
    mut poll: impl FnMut() -> F,
    is_wanted: impl Fn(&T) -> bool,
) -> Result<T, NotWithin> {
    let deadline = Instant::now() + timeout;
    loop {
        let seen = poll().await;
        if is_wanted(&seen) {
            return Ok(seen);
        }
        if Instant::now() >= deadline {
            return Err(NotWithin(timeout));
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// For each DNS server the time until it answered for `service` with addresses and none of `gone`.
pub async fn watch_dns(
    servers: &[SocketAddr],
    service: &str,
    gone: &[IpAddr],
    timeout: Duration,
) -> Vec<Result<Duration, NotWithin>> {
    let begin = Instant::now();
    let has_moved = |answer: &Result<Vec<IpAddr>, String>| {
        answer.as_ref().is_ok_and(|found| {
            !found.is_empty() && !gone.iter().any(|address| found.contains(address))
        })
    };
    let watch = |server| async move {
        wait(timeout, || resolve(server, service, DNS_TIMEOUT), has_moved)
            .await
            .map(|_| begin.elapsed())
    };

    join_all(servers.iter().map(|&server| watch(server))).await
}

/// Asks one DNS server one question over UDP; the addresses in its answer.
pub async fn resolve(
    server: SocketAddr,
    name: &str,
    timeout: Duration,
) -> Result<Vec<IpAddr>, String> {
    let name = Name::from_ascii(name).map_err(|error| error.to_string())?;
    let id = rand::random();
    let mut question = Message::new(id, MessageType::Query, OpCode::Query);

    question.add_query(Query::query(name, RecordType::A));
    let bytes = question.to_vec().map_err(|error| error.to_string())?;
    let local: SocketAddr = if server.is_ipv4() {
        ([0, 0, 0, 0], 0).into()
    } else {
        ([0u16; 8], 0).into()
    };
    let exchange = async {
        let socket = UdpSocket::bind(local).await?;
        socket.connect(server).await?;
        socket.send(&bytes).await?;

        let mut buffer = [0; 1232];
        let length = socket.recv(&mut buffer).await?;
        std::io::Result::Ok(buffer[..length].to_vec())
    };

    let reply = tokio::time::timeout(timeout, exchange)
        .await
        .map_err(|_| format!("{server} did not answer within {timeout:?}"))?
        .map_err(|error| format!("{server}: {error}"))?;
    let reply = Message::from_vec(&reply).map_err(|error| format!("{server}: {error}"))?;

    if reply.metadata.id != id {
        return Err(format!("{server} answered another question"));
    }
    Ok(reply
        .answers
        .iter()
        .filter_map(|record| match record.data {
            RData::A(address) => Some(IpAddr::V4(address.0)),
            RData::AAAA(address) => Some(IpAddr::V6(address.0)),
            _ => None,
        })
        .collect())
}
