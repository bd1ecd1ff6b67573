//! One request: its attempts, and the answer that its client gets.

use super::{
    admission::{Admission, Pass},
    backend::{ANSWER_TIMEOUT, Backend, Outcome},
    body::{Memory, Outgoing, RequestBody, whole},
    failure::Failure,
    headers::{retry_after_ms, small_length, strip_hop_by_hop},
    messages::{answer, outgoing},
    metrics::{ANSWERED, FrontDoorMetrics},
    regions::{AVOID_FOR, Regions},
};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header, request};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use parking_lot::Mutex;
use prometheus::IntGauge;
use regionmesh_core::admission::retry::{
    AttemptFailure, GiveUp, RetryBudget, Retryable, decide, is_idempotent,
};
use regionmesh_runtime::logging::Throttle;
use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use tokio::time::{Instant, timeout};

/// Answers up to this size are buffered before the client gets them: if a region dies while sending
/// one, the request can be retried.
const WHOLE_MAX: usize = 64 << 10;
/// Timeout for the body of a 503, which is only quoted.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(2);
/// Limit on the quoted part of a region's reason, characters.
const QUOTE_MAX: usize = 300;
/// Interval of log lines about failed requests.
const LOG_EVERY: Duration = Duration::from_secs(1);

/// State shared by all requests.
pub(super) struct Proxy {
    pub(super) regions: Regions,
    pub(super) admission: Arc<Admission>,
    pub(super) memory: Memory,
    pub(super) metrics: FrontDoorMetrics,
    hold: Duration,
    budget: Mutex<RetryBudget>,
    started: Instant,
    throttle: Throttle,
}

impl Proxy {
    pub(super) fn new(regions: Regions, hold: Duration, metrics: FrontDoorMetrics) -> Self {
        let budget = RetryBudget::new(0);
        metrics.budget.set(budget.left() as i64);
        Self {
            regions,
            admission: Admission::new(metrics.clone()),
            memory: Memory::new(metrics.clone()),
            metrics,
            hold,
            budget: Mutex::new(budget),
            started: Instant::now(),
            throttle: Throttle::new(LOG_EVERY),
        }
    }
}

/// Counts a waiting request until dropped: its client may disconnect.
struct Waiting(IntGauge);

impl Waiting {
    fn new(gauge: &IntGauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// A request in progress.
struct Sending {
    head: request::Parts,
    body: RequestBody,
    pass: Pass,
    retryable: Retryable,
    /// Addresses that this request avoids until then.
    unwanted: Vec<(IpAddr, Instant)>,
    /// Why the last attempt failed.
    last: Option<String>,
    deadline: Instant,
}

/// How one attempt ended.
enum Attempt {
    Answered(Response<Outgoing>),
    Failed(FailedAttempt),
}

struct FailedAttempt {
    failure: AttemptFailure,
    address: SocketAddr,
    why: String,
    /// The region's own answer, if there was one.
    refusal: Option<Response<Outgoing>>,
}

impl FailedAttempt {
    fn new(failure: AttemptFailure, address: SocketAddr, why: String) -> Self {
        Self {
            failure,
            address,
            why,
            refusal: None,
        }
    }
}

/// One client's connection. HTTP/1.1: one request at a time.
pub(super) struct Client {
    proxy: Arc<Proxy>,
    from: SocketAddr,
    /// The last request's connection to a region, for the next request.
    idle: Mutex<Option<Backend>>,
}

impl Client {
    pub(super) fn new(proxy: Arc<Proxy>, from: SocketAddr) -> Self {
        Self {
            proxy,
            from,
            idle: Mutex::new(None),
        }
    }

    /// Answers a request with a region's answer, or with an error.
    pub(super) async fn answer(&self, request: Request<Incoming>) -> Response<Outgoing> {
        let metrics = &self.proxy.metrics;
        let method = request.method().clone();
        let path = request.uri().path().to_owned();
        let (result, response) = match self.forward(request).await {
            Ok((result, response)) => (result, response),
            Err(failure) => {
                if let Some(left_out) = self.proxy.throttle.admit(std::time::Instant::now()) {
                    let from = self.from;
                    let error = failure.message();
                    let service = self.proxy.regions.service();
                    tracing::warn!(
                        %from,
                        %service,
                        %method,
                        path,
                        error,
                        left_out,
                        "a request failed"
                    );
                }

                (failure.result(), failure.response())
            }
        };

        metrics.requests.with_label_values(&[result]).inc();
        response
    }

    async fn forward(
        &self,
        request: Request<Incoming>,
    ) -> Result<(&'static str, Response<Outgoing>), Failure> {
        let proxy = &self.proxy;
        let left = {
            let mut budget = proxy.budget.lock();
            budget.deposit();
            budget.left()
        };

        proxy.metrics.budget.set(left as i64);
        let (head, incoming) = request.into_parts();
        if head.method == Method::CONNECT {
            return Err(Failure::Connect);
        }

        let body = RequestBody::read(&head.headers, incoming, &proxy.memory)
            .await
            .map_err(Failure::BadBody)?;

        // The wait begins once the body is here: time that a slow client needs does not count.
        let deadline = Instant::now() + proxy.hold;
        let waiting = Waiting::new(&proxy.metrics.held);
        let pass = proxy
            .admission
            .enter(deadline)
            .await
            .ok_or(Failure::NoPlace { held: proxy.hold })?;

        drop(waiting);
        let retryable = Retryable {
            is_idempotent: is_idempotent(head.method.as_str(), head.uri.path()),
            is_buffered: body.is_buffered(),
            attempts: 0,
            broken: 0,
        };

        let mut sending = Sending {
            head,
            body,
            pass,
            retryable,
            unwanted: Vec::new(),
            last: None,
            deadline,
        };

        loop {
            match self.attempt(&mut sending).await? {
                Attempt::Answered(response) => return Ok((ANSWERED, response)),
                Attempt::Failed(failed) => {
                    if let Some(response) = self.fail(&mut sending, failed)? {
                        return Ok(("unavailable", response));
                    }
                }
            }
        }
    }

    /// Decides what follows a failed attempt: a retry (none), the region's own refusal, or an
    /// error.
    fn fail(
        &self,
        sending: &mut Sending,
        failed: FailedAttempt,
    ) -> Result<Option<Response<Outgoing>>, Failure> {
        let proxy = &self.proxy;
        let FailedAttempt {
            failure,
            address,
            why,
            refusal,
        } = failed;
        let now_ms = u64::try_from(proxy.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let decided = {
            let mut budget = proxy.budget.lock();
            let decided = decide(
                failure,
                sending.retryable,
                &mut budget,
                now_ms,
                rand::random(),
            );

            proxy.metrics.budget.set(budget.left() as i64);
            decided
        };

        let reason = match failure {
            AttemptFailure::NotSent => "not_sent",
            AttemptFailure::Broken => "broken",
            AttemptFailure::Unavailable { .. } => "unavailable",
        };
        let now = Instant::now();

        match (decided, refusal) {
            (Err(why_not), None) => {
                return Err(Failure::GivenUp {
                    why: why_not,
                    last: why,
                });
            }
            (Err(GiveUp::Budget), Some(_)) => {
                return Err(Failure::GivenUp {
                    why: GiveUp::Budget,
                    last: why,
                });
            }
            (Err(_), Some(refusal)) => return Ok(Some(refusal)),
            (Ok(pause_ms), refusal) => {
                let pause = Duration::from_millis(pause_ms);
                // If the region asks for more time than is left, the client gets its refusal.
                if let Some(refusal) = refusal.filter(|_| now + pause >= sending.deadline) {
                    return Ok(Some(refusal));
                }

                // Not sent: all requests avoid the address already. Broken: the next attempt would
                // reach the same dying process.
                let until = now
                    + if failure == AttemptFailure::Broken {
                        AVOID_FOR
                    } else {
                        pause
                    };

                sending.unwanted.retain(|(_, until)| *until > now);
                sending.unwanted.push((address.ip(), until));
            }
        }

        tracing::debug!(why, reason, from = %self.from, "a request is sent again");
        sending.last = Some(why);
        proxy.metrics.retries.with_label_values(&[reason]).inc();
        Ok(None)
    }

    /// Sends the request to a region that DNS names.
    async fn attempt(&self, sending: &mut Sending) -> Result<Attempt, Failure> {
        let proxy = &self.proxy;
        let begin = Instant::now();
        let waiting = Waiting::new(&proxy.metrics.held);
        let found = proxy
            .regions
            .find(&sending.unwanted, sending.deadline)
            .await;
        let address = found.map_err(|why| {
            let last = sending.last.take().unwrap_or(why);
            Failure::NoRegion {
                held: proxy.hold,
                last,
            }
        })?;

        let reused = self.reuse(address, sending.retryable);
        let is_reused = reused.is_some();
        let connected = match reused {
            Some(backend) => Ok(backend),
            None => Backend::connect(address, sending.deadline).await,
        };
        let mut backend = match connected {
            Ok(backend) => backend,
            Err(why) => {
                proxy.metrics.unreached.inc();
                return Ok(Attempt::Failed(self.lost(sending, address, why).await));
            }
        };

        drop(waiting);
        proxy.metrics.search.observe(begin.elapsed().as_secs_f64());

        // A streamed body can be taken only once; then there is no further attempt.
        let Some(body) = sending.body.take() else {
            let last = format!("{address}: the body was sent already");
            return Err(Failure::GivenUp {
                why: GiveUp::NotBuffered,
                last,
            });
        };

        sending.pass.sent();
        match backend.send(outgoing(&sending.head, body, address)).await {
            Outcome::Answer(response) => {
                proxy.regions.found(address);
                sending.retryable.attempts += 1;
                Ok(self.receive(sending, backend, response).await)
            }
            Outcome::NotSent(body, why) => {
                sending.body.put_back(body);
                Ok(Attempt::Failed(self.lost(sending, address, why).await))
            }
            // A reused connection was most likely closed because it was idle.
            Outcome::Broken(why) if is_reused => {
                sending.pass.again();
                Ok(Attempt::Failed(FailedAttempt::new(
                    AttemptFailure::NotSent,
                    address,
                    why,
                )))
            }
            Outcome::Broken(why) => {
                sending.retryable.attempts += 1;
                Ok(Attempt::Failed(broken(sending, address, why)))
            }
            Outcome::TimedOut => Err(Failure::NoAnswer(address)),
        }
    }

    async fn lost(&self, sending: &mut Sending, address: SocketAddr, why: String) -> FailedAttempt {
        self.proxy.regions.lost(address, &why).await;
        sending.pass.lost();
        FailedAttempt::new(AttemptFailure::NotSent, address, why)
    }

    /// Handles a region's answer.
    async fn receive(
        &self,
        sending: &mut Sending,
        backend: Backend,
        response: Response<Incoming>,
    ) -> Attempt {
        let address = backend.address;
        let (mut head, body) = response.into_parts();
        strip_hop_by_hop(&mut head.headers);

        let asked_for_ms = retry_after_ms(&head.headers);
        if head.status == StatusCode::SERVICE_UNAVAILABLE
            && let Some(retry_after_ms) = asked_for_ms
        {
            sending.pass.overloaded();
            let read = timeout(REFUSAL_TIMEOUT, Limited::new(body, WHOLE_MAX).collect()).await;
            let bytes = read
                .ok()
                .and_then(Result::ok)
                .map(|body| body.to_bytes())
                .unwrap_or_default();

            head.headers.remove(header::CONTENT_LENGTH);
            self.keep_alive(backend);

            let quote: String = String::from_utf8_lossy(&bytes)
                .chars()
                .take(QUOTE_MAX)
                .collect();
            let failure = AttemptFailure::Unavailable { retry_after_ms };
            let why = format!("{address} answered 503: {quote}");

            return Attempt::Failed(FailedAttempt {
                refusal: Some(answer(head, whole(bytes))),
                ..FailedAttempt::new(failure, address, why)
            });
        }

        let is_whole = sending.retryable.is_buffered
            && sending.retryable.is_idempotent
            && sending.head.method != Method::HEAD
            && small_length(&head.headers, WHOLE_MAX);

        if !is_whole {
            sending.pass.answered();
            self.keep_alive(backend);
            return Attempt::Answered(answer(head, body.boxed_unsync()));
        }

        match timeout(ANSWER_TIMEOUT, body.collect()).await {
            Ok(Ok(body)) => {
                sending.pass.answered();
                self.keep_alive(backend);
                let bytes: Bytes = body.to_bytes();
                Attempt::Answered(answer(head, whole(bytes)))
            }
            Ok(Err(error)) => {
                let why = format!("{address}: the answer is incomplete: {error}");
                Attempt::Failed(broken(sending, address, why))
            }
            Err(_) => {
                let why = format!(
                    "{address}: the answer did not arrive within {} s",
                    ANSWER_TIMEOUT.as_secs()
                );
                Attempt::Failed(broken(sending, address, why))
            }
        }
    }

    /// The connection of the last request, if it leads to the right address and the request can be
    /// retried in case the region has closed it.
    fn reuse(&self, address: SocketAddr, retryable: Retryable) -> Option<Backend> {
        let idle = self.idle.lock().take()?;

        (idle.address == address
            && idle.is_ready()
            && retryable.is_buffered
            && retryable.is_idempotent)
            .then_some(idle)
    }

    fn keep_alive(&self, backend: Backend) {
        *self.idle.lock() = Some(backend);
    }
}

fn broken(sending: &mut Sending, address: SocketAddr, why: String) -> FailedAttempt {
    sending.pass.lost();
    sending.retryable.broken += 1;
    FailedAttempt::new(AttemptFailure::Broken, address, why)
}
