//! A connection to one address of one region.

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

/// How long one attempt to connect may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a region may take until its answer begins.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(300);
/// A peer that acknowledges nothing for this long is dead (TCP_USER_TIMEOUT, RFC 5482).
const DEAD_AFTER: Duration = Duration::from_secs(3);

pub(super) struct Backend {
    pub(super) address: SocketAddr,
    sender: SendRequest<Outgoing>,
}

/// How sending one request ended.
pub(super) enum Outcome {
    /// The head of an answer.
    Answer(Response<Incoming>),
    /// Nothing went out; its body is still whole.
    NotSent(Outgoing, String),
    /// The connection broke after something may have gone out.
    Broken(String),
    /// No answer began in time.
    TimedOut,
}

impl Backend {
    /// Connects, until the deadline or [`CONNECT_TIMEOUT`]; else why not.
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

        // Ends by itself: with the sender and the last answer's body, or with the peer.
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%address, %error, "a connection to a region broke");
            }
        });

        Ok(Self { address, sender })
    }

    /// Whether another request can be sent at once.
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

/// Without this a peer whose host vanishes would hold the connection for a quarter of an hour.
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
