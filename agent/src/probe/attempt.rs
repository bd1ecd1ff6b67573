//! One attempt at one address, without a time-out of its own.

use super::Target;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use regionmesh_protocol::probe::ProbeResult;
use std::{
    error::Error,
    io::{self, ErrorKind},
    net::SocketAddr,
    time::Instant,
};
use tokio::{net::TcpStream, task::JoinHandle};

/// How much of an answer's body is read, bytes. The rest is of no interest; that it ends properly before is.
const BODY_LIMIT: usize = 64 << 10;
/// Largest head of an answer, bytes.
const HEAD_LIMIT: usize = 16 << 10;

/// Connects and asks.
pub(super) async fn attempt(target: &Target, address: SocketAddr) -> ProbeResult {
    let start = Instant::now();
    let stream = match TcpStream::connect(address).await {
        Ok(stream) => stream,
        Err(error) => return connect_failed(&error),
    };
    match &target.path {
        None => success(start, "connected".into()),
        Some(path) => match get(target, path, stream).await {
            Ok(status) if status.is_success() => success(start, status.as_u16().to_string()),
            Ok(status) => ProbeResult::Positive(format!("HTTP {status}")),
            Err(why) => ProbeResult::Positive(why),
        },
    }
}

fn success(start: Instant, evidence: String) -> ProbeResult {
    let elapsed = start.elapsed();
    let round_trip_us = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
    let evidence = format!("{evidence} in {:.1} ms", elapsed.as_secs_f64() * 1_000.0);
    ProbeResult::Success { round_trip_us, evidence }
}

/// A host that answers "no" is evidence; one that can't be reached, or our own lack of sockets, is not.
fn connect_failed(error: &io::Error) -> ProbeResult {
    match error.kind() {
        ErrorKind::ConnectionRefused => ProbeResult::Positive("connection refused".into()),
        ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted => ProbeResult::Positive("connection reset".into()),
        _ => ProbeResult::Silence(format!("can't connect: {error}")),
    }
}

/// The status, after the whole answer or its first [`BODY_LIMIT`] bytes came in; else why it is no good.
async fn get(target: &Target, path: &str, stream: TcpStream) -> Result<http::StatusCode, String> {
    let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
        .max_buf_size(HEAD_LIMIT)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| describe(&error))?;
    let _driver = AbortOnDrop(tokio::spawn(async move { drop(connection.await) }));
    let request = http::Request::get(path)
        .header(http::header::HOST, target.authority())
        .header(http::header::USER_AGENT, concat!("regionmesh/", env!("CARGO_PKG_VERSION")))
        .header(http::header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|error| format!("the path {path:?} can't be asked for: {error}"))?;
    let response = sender.send_request(request).await.map_err(|error| describe(&error))?;
    let status = response.status();
    let mut body = response.into_body();
    let mut read = 0;
    while read < BODY_LIMIT {
        match body.frame().await {
            None => break,
            Some(Ok(frame)) => read += frame.data_ref().map_or(0, Bytes::len),
            Some(Err(error)) => return Err(describe(&error)),
        }
    }
    Ok(status)
}

fn describe(error: &hyper::Error) -> String {
    let cause = error.source().and_then(|source| source.downcast_ref::<io::Error>()).map(io::Error::kind);
    if matches!(cause, Some(ErrorKind::ConnectionReset | ErrorKind::BrokenPipe)) {
        "connection reset".into()
    } else if error.is_incomplete_message() || cause == Some(ErrorKind::UnexpectedEof) {
        "connection closed before the answer was complete".into()
    } else if error.is_parse() || error.is_parse_too_large() {
        format!("the answer is not HTTP: {error}")
    } else {
        error.to_string()
    }
}

/// A connection's task ends with the probe that needed it, also when a time-out drops that.
struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
