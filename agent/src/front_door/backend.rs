//! A connection to one address of a region.

use super::body::Outgoing;
use http::{Request, Response};
use hyper::{
    body::Incoming,
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use socket2::{SockRef, TcpKeepalive};
use std::{io, net::SocketAddr, time::Duration};
use tokio::{
    net::TcpStream,
    time::{Instant, timeout, timeout_at},
};

/// Timeout of one attempt to connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// Timeout until a region's answer begins.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(300);
/// A peer that acknowledges nothing for this long counts as dead (TCP_USER_TIMEOUT, RFC 5482).
const DEAD_AFTER: Duration = Duration::from_secs(3);

pub(super) struct Backend {
    pub(super) address: SocketAddr,
    sender: SendRequest<Outgoing>,
}

/// The outcome of sending one request.
pub(super) enum Outcome {
    /// The head of an answer arrived.
    Answer(Response<Incoming>),
    /// Nothing was sent; the body is intact.
    NotSent(Outgoing, String),
    /// The connection broke after part of the request may have been sent.
    Broken(String),
    /// No answer began in time.
    TimedOut,
}

impl Backend {
    /// Connects, within [`CONNECT_TIMEOUT`] and before the deadline.
    pub(super) async fn connect(address: SocketAddr, deadline: Instant) -> Result<Self, String> {
        let until = deadline.min(Instant::now() + CONNECT_TIMEOUT);
        let stream = match timeout_at(until, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(format!("{address}: {error}")),
            Err(_) => return Err(format!("{address}: no answer within {CONNECT_TIMEOUT:?}")),
        };

        notice_death(&stream);
        let (sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| format!("{address}: {error}"))?;

        // The task ends with the sender and the last answer's body, or when the peer closes.
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%address, %error, "a connection to a region broke");
            }
        });

        Ok(Self { address, sender })
    }

    /// Whether another request can be sent now.
    pub(super) fn is_ready(&self) -> bool {
        self.sender.is_ready() && !self.sender.is_closed()
    }

    /// Sends a request and waits for the head of its answer.
    pub(super) async fn send(&mut self, request: Request<Outgoing>) -> Outcome {
        let address = self.address;
        match timeout(ANSWER_TIMEOUT, self.sender.try_send_request(request)).await {
            Ok(Ok(response)) => Outcome::Answer(response),
            Ok(Err(mut error)) => match error.take_message() {
                Some(request) => Outcome::NotSent(
                    request.into_body(),
                    format!("{address}: {}", error.into_error()),
                ),
                None => Outcome::Broken(format!("{address}: {}", error.into_error())),
            },
            Err(_) => Outcome::TimedOut,
        }
    }
}

/// Otherwise a connection to a host that vanished would stay open for about 15 minutes.
pub(super) fn notice_death(stream: &TcpStream) {
    let set = || -> io::Result<()> {
        stream.set_nodelay(true)?;
        let socket = SockRef::from(stream);
        let keepalive = TcpKeepalive::new()
            .with_time(DEAD_AFTER / 3)
            .with_interval(DEAD_AFTER / 3)
            .with_retries(2);

        socket.set_tcp_keepalive(&keepalive)?;
        #[cfg(any(target_os = "linux", target_os = "android"))]
        socket.set_tcp_user_timeout(Some(DEAD_AFTER))?;
        Ok(())
    };

    if let Err(error) = set() {
        tracing::debug!(%error, "TCP time-outs could not be set");
    }
}
