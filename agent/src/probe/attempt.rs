//! One attempt at one address, without its own timeout.

use super::{Question, Target, expect::compare, tls::Tls};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use regionmesh_core::health::probe::ProbeResult;
use std::{
    error::Error,
    io::{self, ErrorKind},
    net::SocketAddr,
    time::Instant,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    task::JoinHandle,
};

/// Limit on the part of an answer's body that is read, bytes. A body that breaks off earlier is a
/// failure.
const BODY_LIMIT: usize = 64 << 10;
/// Largest head of an answer, bytes.
const HEAD_LIMIT: usize = 16 << 10;

/// Connects and asks.
pub(super) async fn attempt(target: &Target, address: SocketAddr, tls: &Tls) -> ProbeResult {
    let start = Instant::now();
    let stream = match TcpStream::connect(address).await {
        Ok(stream) => stream,
        Err(error) => return connect_failed(&error),
    };

    if target.question == Question::Connect {
        return success(start, "connected".into());
    }

    let answer = if target.is_tls {
        match tls.connect(target, stream).await {
            Ok(stream) => ask(target, stream).await,
            Err(result) => return result,
        }
    } else {
        ask(target, stream).await
    };

    match (answer, &target.question) {
        (Err(why), _) => ProbeResult::DefiniteFailure(why),
        (Ok(Answer { status, .. }), _) if !status.is_success() => {
            ProbeResult::DefiniteFailure(format!("HTTP {status}"))
        }
        (
            Ok(Answer {
                is_whole: false, ..
            }),
            Question::Infer { .. },
        ) => ProbeResult::DefiniteFailure(format!(
            "the inference's answer is larger than {BODY_LIMIT} bytes"
        )),
        (Ok(Answer { body, .. }), Question::Infer { expected, .. }) => {
            match compare(&body, expected) {
                Ok(()) => success(start, "inference as expected".into()),
                Err(why) => ProbeResult::DefiniteFailure(why),
            }
        }
        (Ok(Answer { status, .. }), _) => success(start, status.as_u16().to_string()),
    }
}

fn success(start: Instant, evidence: String) -> ProbeResult {
    let elapsed = start.elapsed();
    let round_trip_us = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
    let evidence = format!("{evidence} in {:.1} ms", elapsed.as_secs_f64() * 1_000.0);

    ProbeResult::Success {
        round_trip_us,
        evidence,
    }
}

/// A host that answers "no" is evidence; one that can't be reached, or our own lack of sockets, is
/// not.
fn connect_failed(error: &io::Error) -> ProbeResult {
    match error.kind() {
        ErrorKind::ConnectionRefused => ProbeResult::DefiniteFailure("connection refused".into()),
        ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted => {
            ProbeResult::DefiniteFailure("connection reset".into())
        }
        _ => ProbeResult::Silence(format!("can't connect: {error}")),
    }
}

/// What an endpoint answered.
struct Answer {
    status: http::StatusCode,
    /// What was read of the body.
    body: Vec<u8>,
    /// Whether that is all of it.
    is_whole: bool,
}

/// The answer, after all of it or its first [`BODY_LIMIT`] bytes came in; else why it is no good.
async fn ask<S>(target: &Target, stream: S) -> Result<Answer, String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
        .max_buf_size(HEAD_LIMIT)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| describe(&error))?;
    let _driver = AbortOnDrop(tokio::spawn(async move { drop(connection.await) }));
    let (request, body) = match &target.question {
        Question::Infer { path, body, .. } => {
            let json =
                http::Request::post(path).header(http::header::CONTENT_TYPE, "application/json");
            (json, body.clone())
        }
        Question::Get(path) => (http::Request::get(path), Bytes::new()),
        Question::Connect => (http::Request::get("/"), Bytes::new()),
    };

    let request = request
        .header(http::header::HOST, target.authority())
        .header(
            http::header::USER_AGENT,
            concat!("regionmesh/", env!("CARGO_PKG_VERSION")),
        )
        .header(http::header::CONNECTION, "close")
        .body(Full::new(body))
        .map_err(|error| format!("the endpoint can't be asked: {error}"))?;

    let response = sender
        .send_request(request)
        .await
        .map_err(|error| describe(&error))?;
    let status = response.status();
    let mut incoming = response.into_body();
    let mut body = Vec::new();

    while body.len() < BODY_LIMIT {
        match incoming.frame().await {
            None => {
                return Ok(Answer {
                    status,
                    body,
                    is_whole: true,
                });
            }
            Some(Ok(frame)) => {
                // A frame is at most one read of hyper, so the limit is exceeded only slightly.
                if let Some(part) = frame.data_ref() {
                    body.extend_from_slice(part);
                }
            }
            Some(Err(error)) => return Err(describe(&error)),
        }
    }

    Ok(Answer {
        status,
        body,
        is_whole: false,
    })
}

fn describe(error: &hyper::Error) -> String {
    let cause = error
        .source()
        .and_then(|source| source.downcast_ref::<io::Error>())
        .map(io::Error::kind);

    if matches!(
        cause,
        Some(ErrorKind::ConnectionReset | ErrorKind::BrokenPipe)
    ) {
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
