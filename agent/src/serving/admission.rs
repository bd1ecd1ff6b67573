//! How many requests may be in progress: inferences that run, requests that wait, bytes of bodies.
//!
//! Beyond that a request is refused at once: a queue that only grows answers everyone too late.

use super::{metrics::ServingMetrics, refusal::Refusal};
use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode, header};
use http_body_util::BodyExt;
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout, timeout_at},
};

/// Requests that may wait, per one that may run.
const WAITING_FACTOR: usize = 4;
/// A body must be complete in this time: 64 MiB in two minutes are 4.5 Mbit/s.
const BODY_DEADLINE: Duration = Duration::from_secs(120);
/// Time between two pieces of a body.
const BODY_IDLE: Duration = Duration::from_secs(10);
/// Time spent on reading what is refused for its size, so that the client sees the answer and not a reset connection.
const DISCARD_DEADLINE: Duration = Duration::from_secs(2);
/// All bodies held at once, in sizes of the largest allowed.
const BODIES_FACTOR: usize = 4;

/// The limits.
#[derive(Debug)]
pub struct Admission {
    running: Arc<Semaphore>,
    admitted: Arc<Semaphore>,
    bodies: Arc<Semaphore>,
    body_limit: usize,
    metrics: ServingMetrics,
}

/// A place among the running inferences; give it to the task that computes, so that the place is free when the
/// computation ends and not when the client goes away.
#[derive(Debug)]
pub struct Place {
    _running: OwnedSemaphorePermit,
    _admitted: OwnedSemaphorePermit,
}

/// A request's body and its part of the memory for bodies.
#[derive(Debug)]
pub struct HeldBody {
    /// The bytes.
    pub bytes: Bytes,
    _memory: Option<OwnedSemaphorePermit>,
}

/// Counts a waiting request until dropped: the client may go away while it waits.
struct Waiting<'a>(&'a ServingMetrics);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.queue.dec();
    }
}

impl Admission {
    /// `parallel` inferences at once, bodies of at most `body_limit` bytes.
    pub fn new(parallel: usize, body_limit: usize, metrics: ServingMetrics) -> Self {
        let parallel = parallel.clamp(1, 4_096);
        // A semaphore's permits are counted in u32 per acquisition, so that bodies are counted in KiB.
        let bodies = kib(body_limit).saturating_mul(BODIES_FACTOR).clamp(1, Semaphore::MAX_PERMITS);
        Self {
            running: Arc::new(Semaphore::new(parallel)),
            admitted: Arc::new(Semaphore::new(parallel * (1 + WAITING_FACTOR))),
            bodies: Arc::new(Semaphore::new(bodies)),
            body_limit,
            metrics,
        }
    }

    fn overloaded(&self, what: &str) -> Refusal {
        self.metrics.overloads.inc();
        Refusal::unavailable(format!("overloaded: {what}; try again in a second, or another region"))
    }

    /// Waits for a place among the running inferences.
    pub async fn enter(&self) -> Result<Place, Refusal> {
        let admitted = self.admitted.clone().try_acquire_owned();
        let admitted = admitted.map_err(|_| self.overloaded("too many inferences wait"))?;
        self.metrics.queue.inc();
        let _waiting = Waiting(&self.metrics);
        let running = self.running.clone().acquire_owned().await;
        let running = running.map_err(|_| Refusal::unavailable("the server is stopping"))?;
        Ok(Place { _running: running, _admitted: admitted })
    }

    /// Reads a body within the limits.
    pub async fn read(&self, headers: &HeaderMap, mut body: Body) -> Result<HeldBody, Refusal> {
        let declared = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        if declared.is_some_and(|length| length > self.body_limit as u64) {
            return Err(self.too_large(headers, body).await);
        }
        let deadline = Instant::now() + BODY_DEADLINE;
        let mut bytes = BytesMut::new();
        let mut memory: Option<OwnedSemaphorePermit> = None;
        loop {
            let next = Instant::now() + BODY_IDLE;
            let Ok(frame) = timeout_at(next.min(deadline), body.frame()).await else {
                return Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, "the request's body did not arrive in time"));
            };
            let frame = match frame {
                None => return Ok(HeldBody { bytes: bytes.freeze(), _memory: memory }),
                Some(Err(_)) => return Err(Refusal::bad_request("the request's body broke off")),
                Some(Ok(frame)) => frame,
            };
            let Ok(piece) = frame.into_data() else { continue };
            if bytes.len() + piece.len() > self.body_limit {
                drop((bytes, memory));
                return Err(self.too_large(headers, body).await);
            }
            // Counted as the bytes arrive, so that a client can hold no more than it has sent.
            let needed = kib(bytes.len() + piece.len()) - kib(bytes.len());
            if needed > 0 {
                let permits = u32::try_from(needed).unwrap_or(u32::MAX);
                let more = self.bodies.clone().try_acquire_many_owned(permits);
                let more = more.map_err(|_| self.overloaded("too many large requests are in progress"))?;
                match &mut memory {
                    Some(memory) => memory.merge(more),
                    None => memory = Some(more),
                }
            }
            bytes.extend_from_slice(&piece);
        }
    }

    async fn too_large(&self, headers: &HeaderMap, mut body: Body) -> Refusal {
        // A client that asked `Expect: 100-continue` has not sent the body and won't.
        if !headers.contains_key(header::EXPECT) {
            let mut left = self.body_limit.saturating_mul(2);
            let discard = async {
                while let Some(Ok(frame)) = body.frame().await {
                    left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
                    if left == 0 {
                        return;
                    }
                }
            };
            let _ = timeout(DISCARD_DEADLINE, discard).await;
        }
        let limit = self.body_limit;
        Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, format!("the request's body is larger than {limit} bytes"))
    }
}

fn kib(bytes: usize) -> usize {
    bytes.div_ceil(1024)
}
