//! Bodies of requests: small ones are buffered for retries, large ones are streamed.

use super::metrics::FrontDoorMetrics;
use bytes::{Bytes, BytesMut};
use futures::{StreamExt, stream};
use http::{HeaderMap, StatusCode, header};
use http_body_util::{BodyExt, BodyStream, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Body as _, Frame, Incoming};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout_at},
};

/// Largest body that is buffered, bytes.
pub(super) const BUFFERED_MAX: usize = 1 << 20;
/// Limit on all buffered bodies together, bytes; beyond it they are streamed.
const BUFFERED_TOTAL_MAX: usize = 64 << 20;
/// Unit in which memory is counted: a semaphore can't hand out more than 2^32 permits.
const UNIT: usize = 1 << 10;
/// Timeout between two frames of a body to be buffered.
const BODY_IDLE: Duration = Duration::from_secs(10);
/// Timeout for the whole body.
const BODY_DEADLINE: Duration = Duration::from_secs(60);

/// A body in either direction.
pub(super) type Outgoing = UnsyncBoxBody<Bytes, hyper::Error>;

/// The memory for buffered bodies.
#[derive(Clone)]
pub(super) struct Memory {
    units: Arc<Semaphore>,
    metrics: FrontDoorMetrics,
}

impl Memory {
    pub(super) fn new(metrics: FrontDoorMetrics) -> Self {
        Self {
            units: Arc::new(Semaphore::new(BUFFERED_TOTAL_MAX / UNIT)),
            metrics,
        }
    }
}

/// A request's body.
pub(super) enum RequestBody {
    /// The whole body, buffered.
    Buffered(BufferedBytes),
    /// Streamed, once; none after it was sent.
    Passing(Option<Outgoing>),
}

/// Bytes, and their reservation of memory.
pub(super) struct BufferedBytes {
    bytes: Bytes,
    metrics: FrontDoorMetrics,
    _memory: Option<OwnedSemaphorePermit>,
}

impl Drop for BufferedBytes {
    fn drop(&mut self) {
        self.metrics.held_bytes.sub(self.bytes.len() as i64);
    }
}

/// Why a body could not be read.
pub(super) struct BadBody {
    pub(super) status: StatusCode,
    pub(super) why: &'static str,
}

impl RequestBody {
    /// Reads a body if it is small enough to be buffered; otherwise only the part that was needed
    /// to find out.
    pub(super) async fn read(
        headers: &HeaderMap,
        mut incoming: Incoming,
        memory: &Memory,
    ) -> Result<Self, BadBody> {
        let declared = headers
            .get(header::CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
        if declared.is_some_and(|length| length > BUFFERED_MAX) {
            return Ok(Self::Passing(Some(incoming.boxed_unsync())));
        }

        let deadline = Instant::now() + BODY_DEADLINE;
        let mut bytes = BytesMut::new();
        let mut taken: Option<OwnedSemaphorePermit> = None;

        while !incoming.is_end_stream() {
            let next = deadline.min(Instant::now() + BODY_IDLE);
            let piece = match timeout_at(next, incoming.frame()).await {
                Err(_) => {
                    return Err(BadBody {
                        status: StatusCode::REQUEST_TIMEOUT,
                        why: "the body did not arrive in time",
                    });
                }
                Ok(None) => break,
                Ok(Some(Err(_))) => {
                    return Err(BadBody {
                        status: StatusCode::BAD_REQUEST,
                        why: "the body is incomplete",
                    });
                }
                Ok(Some(Ok(frame))) => frame.into_data().unwrap_or_default(),
            };

            let length = bytes.len() + piece.len();
            let units = length.div_ceil(UNIT) - bytes.len().div_ceil(UNIT);
            let more = u32::try_from(units)
                .ok()
                .and_then(|units| memory.units.clone().try_acquire_many_owned(units).ok());
            let Some(more) = more.filter(|_| length <= BUFFERED_MAX) else {
                return Ok(Self::Passing(Some(after(bytes.freeze(), piece, incoming))));
            };

            match &mut taken {
                Some(taken) => taken.merge(more),
                None => taken = Some(more),
            }

            bytes.extend_from_slice(&piece);
        }

        memory.metrics.held_bytes.add(bytes.len() as i64);
        Ok(Self::Buffered(BufferedBytes {
            bytes: bytes.freeze(),
            metrics: memory.metrics.clone(),
            _memory: taken,
        }))
    }

    /// Whether it can be sent more than once.
    pub(super) fn is_buffered(&self) -> bool {
        matches!(self, Self::Buffered(_))
    }

    /// The body for one attempt; none if it was streamed in an earlier one.
    pub(super) fn take(&mut self) -> Option<Outgoing> {
        match self {
            Self::Buffered(held) => Some(whole(held.bytes.clone())),
            Self::Passing(body) => body.take(),
        }
    }

    /// Returns a body that was not sent.
    pub(super) fn put_back(&mut self, body: Outgoing) {
        if let Self::Passing(passing) = self {
            *passing = Some(body);
        }
    }
}

/// A body of known bytes.
pub(super) fn whole(bytes: Bytes) -> Outgoing {
    Full::new(bytes)
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// What was read, followed by the rest of the stream.
fn after(first: Bytes, second: Bytes, rest: Incoming) -> Outgoing {
    let read = stream::iter([first, second]).map(|bytes| Ok::<_, hyper::Error>(Frame::data(bytes)));
    StreamBody::new(read.chain(BodyStream::new(rest))).boxed_unsync()
}
