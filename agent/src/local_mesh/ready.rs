//! Asking an agent whether it is ready.

use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use std::{net::SocketAddr, time::Duration};
use tokio::{net::TcpStream, time::timeout};

/// How long one question may take.
const ASK_TIMEOUT: Duration = Duration::from_secs(2);
/// Longest answer that is read, bytes.
const ANSWER_LIMIT: usize = 64 << 10;

/// GET `http://<api>/readyz`: fine, or why it is not ready.
pub(super) async fn ask(api: SocketAddr) -> Result<(), String> {
    ask_at(api, "/readyz").await
}

/// The same with another path.
pub(super) async fn ask_at(address: SocketAddr, path: &str) -> Result<(), String> {
    match timeout(ASK_TIMEOUT, get(address, path)).await {
        Ok(Ok((200, _))) => Ok(()),
        Ok(Ok((status, body))) => Err(format!("{path} says {status}: {}", body.trim())),
        Ok(Err(why)) => Err(why),
        Err(_) => Err(format!("{path} did not answer within {ASK_TIMEOUT:?}")),
    }
}

async fn get(api: SocketAddr, path: &str) -> Result<(u16, String), String> {
    let stream = TcpStream::connect(api)
        .await
        .map_err(|error| format!("{api}: {error}"))?;
    let failed = |error: hyper::Error| format!("{api}: {error}");
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(failed)?;
    let connection = tokio::spawn(connection);
    let request = http::Request::get(path)
        .header("host", api.to_string())
        .body(Empty::<bytes::Bytes>::new())
        .map_err(|error| error.to_string())?;
    let response = sender.send_request(request).await.map_err(failed)?;
    let status = response.status().as_u16();

    let body = Limited::new(response.into_body(), ANSWER_LIMIT)
        .collect()
        .await
        .map_err(|error| error.to_string())?;

    connection.abort();
    Ok((
        status,
        String::from_utf8_lossy(&body.to_bytes()).into_owned(),
    ))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;
