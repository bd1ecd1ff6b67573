//! How many requests may be in progress: inferences that run, requests that wait, bytes of bodies.
//!
//! A request waits for a place until its deadline, first come, first served. One that is expected
//! to wait longer, estimated from recent service times ([`regionmesh_core::admission::queue`]), is
//! refused immediately, with a time to retry: an unbounded queue would answer every request too
//! late. A client that disconnects leaves the queue immediately.

use crate::settings::ServingConfig;
use crate::{metrics::ServingMetrics, refusal::Refusal};
use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, StatusCode, header};
use http_body_util::BodyExt;
use parking_lot::Mutex;
use regionmesh_core::admission::queue::QueueEstimate;
use regionmesh_runtime::logging::Throttle;
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout, timeout_at},
};

/// The client's total timeout, milliseconds, as set by an Envoy in front (Istio, KServe's ingress).
/// The Open Inference Protocol has no deadline of its own.
pub(crate) const DEADLINE_HEADER: HeaderName =
    HeaderName::from_static("x-envoy-expected-rq-timeout-ms");
/// Largest queue, regardless of deadlines: bounds memory.
const WAITING_MAX: usize = 1_024;
/// Interval between log lines about refused requests.
const LOG_EVERY: Duration = Duration::from_secs(60);
/// Longest `Retry-After`, seconds.
const RETRY_AFTER_MAX_S: u64 = 30;
/// A body must be complete in this time: 64 MiB in two minutes are 4.5 Mbit/s.
const BODY_DEADLINE: Duration = Duration::from_secs(120);
/// Time between two pieces of a body.
const BODY_IDLE: Duration = Duration::from_secs(10);
/// Time spent on reading what is refused for its size, so that the client sees the answer and not a
/// reset connection.
const DISCARD_DEADLINE: Duration = Duration::from_secs(2);
/// Memory for all bodies, as a multiple of the largest allowed body.
const BODIES_FACTOR: usize = 4;

#[derive(Debug)]
pub(crate) struct Admission {
    running: Arc<Semaphore>,
    parallel: usize,
    queue_timeout: Duration,
    waiting: AtomicUsize,
    estimate: Arc<Mutex<QueueEstimate>>,
    bodies: Arc<Semaphore>,
    body_limit: usize,
    metrics: ServingMetrics,
    throttle: Throttle,
}

/// A place among the running inferences. The computing task owns it, so that it is released when
/// the computation ends and not when the client disconnects.
#[derive(Debug)]
pub(crate) struct Place {
    _running: OwnedSemaphorePermit,
    taken: Instant,
    estimate: Arc<Mutex<QueueEstimate>>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let took_us = u64::try_from(self.taken.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.estimate.lock().record(took_us);
    }
}

/// A request's body and its part of the memory for bodies.
#[derive(Debug)]
pub(crate) struct HeldBody {
    pub(crate) bytes: Bytes,
    _memory: Option<OwnedSemaphorePermit>,
}

/// Counts a waiting request until dropped: the client may disconnect while it waits.
struct Waiting<'a>(&'a Admission);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
        self.0.metrics.waiting.queue.dec();
    }
}

impl Admission {
    /// The limits of `config`.
    pub(crate) fn new(config: &ServingConfig, metrics: ServingMetrics) -> Self {
        let parallel = config.parallel.clamp(1, 4_096);
        // A semaphore's permits are counted in u32 per acquisition, so that bodies are counted in
        // KiB.
        let bodies = kib(config.body_limit)
            .saturating_mul(BODIES_FACTOR)
            .clamp(1, Semaphore::MAX_PERMITS);

        Self {
            running: Arc::new(Semaphore::new(parallel)),
            parallel,
            queue_timeout: Duration::from_millis(config.queue_timeout_ms),
            waiting: AtomicUsize::new(0),
            estimate: Arc::default(),
            bodies: Arc::new(Semaphore::new(bodies)),
            body_limit: config.body_limit,
            metrics,
            throttle: Throttle::new(LOG_EVERY),
        }
    }

    fn overloaded(&self, what: &str, retry_after: Duration) -> Refusal {
        self.metrics.waiting.overloads.inc();
        if let Some(left_out) = self.throttle.admit(std::time::Instant::now()) {
            let waiting = self.waiting.load(Ordering::Relaxed);
            tracing::warn!(
                what,
                waiting,
                parallel = self.parallel,
                left_out,
                "overloaded: a request was refused"
            );
        }

        let seconds = retry_after.as_millis().div_ceil(1_000);
        let seconds = u64::try_from(seconds)
            .unwrap_or(u64::MAX)
            .clamp(1, RETRY_AFTER_MAX_S);
        let message = format!("overloaded: {what}; try again in {seconds} s, or another region");

        Refusal {
            retry_after_s: seconds,
            ..Refusal::unavailable(message)
        }
    }

    /// Waits for a place among the running inferences, until the request's deadline.
    pub(crate) async fn enter(&self, headers: &HeaderMap) -> Result<Place, Refusal> {
        let begin = Instant::now();
        // Free places go to waiting requests, so there are none while a request waits.
        let running = match self.running.clone().try_acquire_owned() {
            Ok(running) => running,
            Err(_) => self.queue(self.timeout(headers)).await?,
        };

        self.metrics
            .waiting
            .queue_duration
            .observe(begin.elapsed().as_secs_f64());
        Ok(Place {
            _running: running,
            taken: Instant::now(),
            estimate: self.estimate.clone(),
        })
    }

    async fn queue(&self, timeout: Duration) -> Result<OwnedSemaphorePermit, Refusal> {
        let ahead = self.waiting.fetch_add(1, Ordering::Relaxed);
        self.metrics.waiting.queue.inc();

        let _waiting = Waiting(self);
        let expected = self.expected_wait(ahead);
        if ahead >= WAITING_MAX {
            return Err(self.overloaded(&format!("{ahead} inferences wait already"), expected));
        }

        if expected > timeout {
            let what = format!(
                "an inference would wait {:.1} s behind {ahead} others, longer than the {:.1} s \
                    that it may",
                expected.as_secs_f64(),
                timeout.as_secs_f64()
            );

            return Err(self.overloaded(&what, expected));
        }

        match tokio::time::timeout(timeout, self.running.clone().acquire_owned()).await {
            Ok(Ok(running)) => Ok(running),
            Ok(Err(_)) => Err(Refusal::unavailable("the server is stopping")),
            Err(_) => {
                self.metrics.waiting.queue_timeouts.inc();
                let what = format!(
                    "no place was free for an inference within {:.1} s",
                    timeout.as_secs_f64()
                );

                Err(self.overloaded(
                    &what,
                    self.expected_wait(self.waiting.load(Ordering::Relaxed)),
                ))
            }
        }
    }

    fn expected_wait(&self, ahead: usize) -> Duration {
        let estimate = *self.estimate.lock();
        Duration::from_micros(estimate.wait_us(ahead, self.parallel))
    }

    /// How long a request may wait: as configured, or less if the client's own timeout is shorter.
    fn timeout(&self, headers: &HeaderMap) -> Duration {
        let client_timeout_ms = headers
            .get(DEADLINE_HEADER)
            .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());

        // Envoy writes 0 for "no limit".
        client_timeout_ms
            .filter(|ms| *ms > 0)
            .map_or(self.queue_timeout, |ms| {
                self.queue_timeout.min(Duration::from_millis(ms))
            })
    }

    /// Reads a body within the limits.
    pub(crate) async fn read(
        &self,
        headers: &HeaderMap,
        mut body: Body,
    ) -> Result<HeldBody, Refusal> {
        let declared = headers
            .get(header::CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        if declared.is_some_and(|length| length > self.body_limit as u64) {
            return Err(self.too_large(headers, body).await);
        }

        let deadline = Instant::now() + BODY_DEADLINE;
        let mut bytes = BytesMut::new();
        let mut memory: Option<OwnedSemaphorePermit> = None;

        loop {
            let next = Instant::now() + BODY_IDLE;
            let Ok(frame) = timeout_at(next.min(deadline), body.frame()).await else {
                return Err(Refusal::new(
                    StatusCode::REQUEST_TIMEOUT,
                    "the request's body did not arrive in time",
                ));
            };

            let frame = match frame {
                None => {
                    return Ok(HeldBody {
                        bytes: bytes.freeze(),
                        _memory: memory,
                    });
                }
                Some(Err(_)) => return Err(Refusal::bad_request("the request's body broke off")),
                Some(Ok(frame)) => frame,
            };

            let Ok(piece) = frame.into_data() else {
                continue;
            };
            if bytes.len() + piece.len() > self.body_limit {
                drop((bytes, memory));
                return Err(self.too_large(headers, body).await);
            }

            // Counted as the bytes arrive, so that a client can hold no more than it has sent.
            let needed = kib(bytes.len() + piece.len()) - kib(bytes.len());
            if needed > 0 {
                let permits = u32::try_from(needed).unwrap_or(u32::MAX);
                let more = self.bodies.clone().try_acquire_many_owned(permits);
                let refused = |_| {
                    self.overloaded(
                        "too many large requests are in progress",
                        Duration::from_secs(1),
                    )
                };
                let more = more.map_err(refused)?;

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
        Refusal::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("the request's body is larger than {limit} bytes"),
        )
    }
}

fn kib(bytes: usize) -> usize {
    bytes.div_ceil(1024)
}
