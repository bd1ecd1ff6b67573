//! HTTP/1.1 over one connection, with deadlines for the client.
//!
//! The head of the first request must be complete soon after the connection opens, that of each
//! further one soon after its first byte; between two requests a connection may be idle for longer.
//! Bodies have their own deadlines where they are read. While a request is answered, the connection
//! can't be displaced.

use super::{Door, DoorLimits, DropReason, Seat, accept, write_timeout::WriteTimeout};
use axum::{BoxError, Router, body::Body, extract::ConnectInfo, response::Response};
use bytes::Bytes;
use http::{HeaderValue, header};
use hyper::{
    Request,
    body::{Frame, Incoming, SizeHint},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus::{IntCounterVec, IntGauge};
use std::{
    convert::Infallible,
    error::Error,
    future::Future,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    time::{Instant, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

/// The limits of a client.
#[derive(Debug, Clone, Copy)]
pub struct HttpLimits {
    /// The head of a request, from its first byte; of the first request, from the connection's
    /// beginning.
    pub head: Duration,
    /// Between an answer and the next request.
    pub idle: Duration,
    /// Longest head, bytes.
    pub head_bytes: usize,
    /// How long a client may read nothing of its answer.
    pub write: Duration,
    /// How long a request in progress may take to end after the stop.
    pub stop: Duration,
}

/// The answers on a door's reserve connections, which carry one request each.
#[derive(Debug, Clone, Copy)]
pub struct ReservePolicy {
    /// Whether a path is a health route, which is answered normally.
    pub is_health: fn(&str) -> bool,
    /// The answer to all other requests.
    pub otherwise: fn() -> Response,
}

/// On the reserve, which has few places, the head and each write must end within this time.
const RESERVE_TIMEOUT: Duration = Duration::from_secs(1);

/// Whose turn it is, with the deadline of the client.
#[derive(Debug, Clone, Copy)]
enum Phase {
    /// The client's: it is sending a request head.
    Head(Instant),
    /// The client's: it may send another request.
    Idle(Instant),
    Busy,
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Closed,
    /// It broke; most likely the client left.
    Broken,
    /// The client broke a limit; the reason is a metric's label.
    CutOff(&'static str),
}

/// An HTTP server: its limits, and what it counts.
pub struct HttpServer {
    /// For the log.
    pub name: &'static str,
    pub door: DoorLimits,
    pub connection: HttpLimits,
    pub reserve: ReservePolicy,
    /// Open connections.
    pub open: IntGauge,
    /// Connections that were refused or cut off, by reason.
    pub refused: IntCounterVec,
}

impl HttpServer {
    /// Serves `router` until `stop`, then lets requests in progress end.
    pub async fn serve(self, listener: TcpListener, router: Router, stop: CancellationToken) {
        let refused = self.refused.clone();
        let count = move |dropped: DropReason| refused.with_label_values(&[dropped.as_str()]).inc();
        let door = Door::new(self.name, self.door, self.open, count);

        let stopping = stop.clone();
        let connection = move |stream, seat| {
            let service = routed(router.clone());
            let refused = self.refused.clone();
            let served = serve(
                stream,
                seat,
                service,
                self.connection,
                self.reserve,
                stopping.clone(),
            );

            async move {
                if let End::CutOff(reason) = served.await {
                    refused.with_label_values(&[reason]).inc();
                }
            }
        };

        accept(listener, door, stop, connection).await;
    }
}

/// Serves one connection to its end. Each request has its client's address ([`ConnectInfo`]) and
/// its [`Seat`] among its extensions.
pub async fn serve<S, F, B>(
    stream: TcpStream,
    seat: Arc<Seat>,
    service: S,
    limits: HttpLimits,
    reserve: ReservePolicy,
    stop: CancellationToken,
) -> End
where
    S: Fn(Request<Incoming>) -> F,
    F: Future<Output = Response<B>>,
    B: hyper::body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let limits = match seat.is_reserve() {
        true => HttpLimits {
            head: RESERVE_TIMEOUT,
            idle: RESERVE_TIMEOUT,
            write: RESERVE_TIMEOUT,
            ..limits
        },
        false => limits,
    };

    let _ = stream.set_nodelay(true);
    let from = seat.from();
    let turn = Arc::new(Turn::new(seat, limits));
    let respond = {
        let turn = turn.clone();
        move |request| answer(request, turn.clone(), &service, reserve)
    };
    let on_read = {
        let turn = turn.clone();
        move || turn.read()
    };
    let stream = TokioIo::new(WriteTimeout::new(stream, limits.write, on_read));

    // The phases' deadlines replace hyper's own, which does not distinguish a slow head from an
    // idle connection.
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(None)
        .max_buf_size(limits.head_bytes);

    let mut connection = std::pin::pin!(http.serve_connection(stream, service_fn(respond)));

    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        expired = turn.expired() => return expired,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            timeout(limits.stop, connection).await.unwrap_or(Ok(()))
        }
    };
    let Err(error) = ended else {
        return End::Closed;
    };

    tracing::debug!(%from, %error, "a connection ended early");
    reason(&error).map_or(End::Broken, End::CutOff)
}

/// A router as a service for [`serve`].
fn routed(
    router: Router,
) -> impl Fn(Request<Incoming>) -> Pin<Box<dyn Future<Output = Response> + Send>> {
    move |request| {
        let answered = router.clone().oneshot(request.map(Body::new));
        Box::pin(async move {
            match answered.await {
                Ok(response) => response,
                Err(never) => match never {},
            }
        })
    }
}

/// Answers one request; the connection is busy until the whole answer is written.
fn answer<S, F, B>(
    mut request: Request<Incoming>,
    turn: Arc<Turn>,
    service: &S,
    reserve: ReservePolicy,
) -> impl Future<Output = Result<Response<AnswerBody>, Infallible>> + use<S, F, B>
where
    S: Fn(Request<Incoming>) -> F,
    F: Future<Output = Response<B>>,
    B: hyper::body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let answering = Answering::new(turn);
    let seat = answering.0.seat.clone();
    let is_reserve = seat.is_reserve();
    let is_refused = is_reserve && !(reserve.is_health)(request.uri().path());

    request
        .extensions_mut()
        .insert(ConnectInfo::<SocketAddr>(seat.from()));
    request.extensions_mut().insert(seat);

    let answered = (!is_refused).then(|| service(request));
    async move {
        let mut response = match answered {
            Some(answered) => answered.await.map(Body::new),
            None => (reserve.otherwise)(),
        };

        if is_reserve {
            response
                .headers_mut()
                .insert(header::CONNECTION, HeaderValue::from_static("close"));
        }

        Ok(response.map(|body| AnswerBody {
            body,
            _answering: answering,
        }))
    }
}

/// Why a connection ended, for a metric's label; none if the client left.
fn reason(error: &hyper::Error) -> Option<&'static str> {
    if error.is_parse_too_large() {
        return Some("head-too-large");
    }
    if error.is_parse() {
        return Some("not-http");
    }

    let cause = error
        .source()
        .and_then(|source| source.downcast_ref::<io::Error>());
    cause
        .is_some_and(|cause| cause.kind() == io::ErrorKind::TimedOut)
        .then_some("not-read")
}

/// Whose turn it is on one connection.
struct Turn {
    seat: Arc<Seat>,
    limits: HttpLimits,
    phase: watch::Sender<Phase>,
}

impl Turn {
    fn new(seat: Arc<Seat>, limits: HttpLimits) -> Self {
        let phase = watch::Sender::new(Phase::Head(Instant::now() + limits.head));
        Self {
            seat,
            limits,
            phase,
        }
    }

    /// Bytes arrived: if the connection was idle, they begin the next head.
    fn read(&self) {
        self.phase.send_if_modified(|phase| {
            let begins = matches!(phase, Phase::Idle(_));
            if begins {
                *phase = Phase::Head(Instant::now() + self.limits.head);
            }
            begins
        });
    }

    /// Waits until the client has taken too long.
    async fn expired(&self) -> End {
        let mut phases = self.phase.subscribe();
        loop {
            let phase = *phases.borrow_and_update();
            let changed = phases.changed();
            match phase {
                // We own the sender, so it can't be dropped.
                Phase::Busy => {
                    let _ = changed.await;
                }
                Phase::Head(deadline) | Phase::Idle(deadline) => tokio::select! {
                    _ = changed => {}
                    () = sleep_until(deadline) => {
                        return match phase {
                            Phase::Head(_) => End::CutOff("slow-head"),
                            _ => End::Closed,
                        };
                    }
                },
            }
        }
    }
}

/// A request is being answered until this is dropped.
struct Answering(Arc<Turn>);

impl Answering {
    fn new(turn: Arc<Turn>) -> Self {
        turn.seat.set_busy();
        turn.phase.send_replace(Phase::Busy);
        Self(turn)
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.seat.set_idle();
        self.0
            .phase
            .send_replace(Phase::Idle(Instant::now() + self.0.limits.idle));
    }
}

/// An answer's body; hyper drops it when all of it is written.
struct AnswerBody {
    body: Body,
    _answering: Answering,
}

impl hyper::body::Body for AnswerBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
