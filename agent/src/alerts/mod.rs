//! Speaking to those who want to know: one file per kind of receiver, and the queue before it.
//!
//! Here is how one message is made and sent; who sends which when is the business of
//! [`crate::actors::alerts`].

pub mod alertmanager;
pub mod outbox;
pub mod webhook;

use crate::config::ReceiverConfig;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use prometheus::{IntCounterVec, IntGaugeVec, Opts, Registry};
use regionmesh_protocol::text::is_unprintable;
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

/// Longest secret or token, bytes.
const SECRET_MAX: u64 = 4_096;
/// Longest `Retry-After` that is heeded.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(60);
/// Longest part of a refusal that is quoted, characters.
const QUOTED_MAX: usize = 200;
/// Longest answer that is read, bytes.
const ANSWER_MAX: usize = 64 << 10;

/// Why a message did not arrive.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// No answer: nobody there, too slow, or not to be trusted.
    #[error("no answer: {0}")]
    Unanswered(String),
    /// An answer that may be another one later.
    #[error("it answered {status}{said}")]
    NotNow {
        /// The status.
        status: u16,
        /// What it said, shortened.
        said: String,
        /// When it wants to be asked again.
        retry_after: Option<Duration>,
    },
    /// An answer that will stay: this message is not taken.
    #[error("it refused the message with {status}{said}")]
    Refused {
        /// The status.
        status: u16,
        /// What it said, shortened.
        said: String,
    },
    /// The token or secret can't be read, or the message can't be made.
    #[error("{0}")]
    Unready(String),
}

impl SendError {
    /// In one word, for metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Unanswered(_) => "unanswered",
            Self::NotNow { .. } => "not-now",
            Self::Refused { .. } => "refused",
            Self::Unready(_) => "unready",
        }
    }
}

/// Sends to one receiver.
#[derive(Debug, Clone)]
pub struct Sender {
    http: reqwest::Client,
    url: String,
    token_file: Option<PathBuf>,
}

impl Sender {
    /// A sender to `url` as the receiver's configuration says.
    pub fn new(config: &ReceiverConfig, url: String) -> Result<Self, String> {
        let mut builder = reqwest::Client::builder()
            .timeout(Duration::from_millis(config.timeout_ms))
            // Whoever is redirected to must not see the token.
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("regionmesh/", env!("CARGO_PKG_VERSION")));

        if let Some(path) = &config.ca_file {
            let pem = std::fs::read(path)
                .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
            let wrong = |error: reqwest::Error| {
                format!("{} holds no certificates: {error}", path.display())
            };

            builder = builder
                .tls_certs_merge(reqwest::Certificate::from_pem_bundle(&pem).map_err(wrong)?);
        }

        let http = builder
            .build()
            .map_err(|error| format!("no HTTP client can be made: {}", root(&error)))?;
        Ok(Self {
            http,
            url,
            token_file: config.token_file.clone(),
        })
    }

    /// POSTs JSON; done once it was taken.
    pub async fn post(&self, mut headers: HeaderMap, body: Vec<u8>) -> Result<(), SendError> {
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );

        if let Some(path) = &self.token_file {
            let token = secret(path).await.map_err(SendError::Unready)?;
            let mut value = HeaderValue::from_str(&format!("Bearer {token}"))
                .map_err(|_| SendError::Unready(format!("{} holds no token", path.display())))?;
            value.set_sensitive(true);
            headers.insert(header::AUTHORIZATION, value);
        }

        let sent = self
            .http
            .post(&self.url)
            .headers(headers)
            .body(body)
            .send()
            .await;

        // The URL may hold a secret.
        let reply = sent.map_err(|error| SendError::Unanswered(root(&error.without_url())))?;
        let status = reply.status();

        if status.is_success() {
            return Ok(());
        }

        let retry_after = reply
            .headers()
            .get(header::RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.parse().ok())
            .map(|seconds| Duration::from_secs(seconds).min(RETRY_AFTER_MAX));
        let said = said(reply).await;
        let status = status.as_u16();

        Err(if is_final(status) {
            SendError::Refused { status, said }
        } else {
            SendError::NotNow {
                status,
                said,
                retry_after,
            }
        })
    }
}

/// Whether the same message would be refused again. What an operator may put right meanwhile, a
/// token or a path, is not.
fn is_final(status: u16) -> bool {
    const MAY_CHANGE: [StatusCode; 6] = [
        StatusCode::UNAUTHORIZED,
        StatusCode::FORBIDDEN,
        StatusCode::NOT_FOUND,
        StatusCode::REQUEST_TIMEOUT,
        StatusCode::TOO_EARLY,
        StatusCode::TOO_MANY_REQUESTS,
    ];

    (400..500).contains(&status) && !MAY_CHANGE.iter().any(|code| code.as_u16() == status)
}

/// What a refusal says, safe in a log line.
async fn said(mut reply: reqwest::Response) -> String {
    let mut bytes = Vec::new();
    while let Ok(Some(piece)) = reply.chunk().await {
        bytes.extend_from_slice(&piece);
        if bytes.len() > ANSWER_MAX {
            break;
        }
    }

    let text = String::from_utf8_lossy(&bytes);
    let text: String = text
        .chars()
        .filter(|c| !is_unprintable(*c))
        .take(QUOTED_MAX)
        .collect();

    if text.is_empty() {
        text
    } else {
        format!(": {text}")
    }
}

/// The innermost reason of an HTTP client's error: the outer ones say only that something failed.
fn root(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// Reads a token or a secret, white space round it left out.
pub(crate) async fn secret(path: &Path) -> Result<String, String> {
    let unreadable = |error: std::io::Error| format!("cannot read {}: {error}", path.display());
    if tokio::fs::metadata(path).await.map_err(unreadable)?.len() > SECRET_MAX {
        return Err(format!("{} is too large for a secret", path.display()));
    }

    let text = tokio::fs::read_to_string(path).await.map_err(unreadable)?;
    match text.trim() {
        "" => Err(format!("{} is empty", path.display())),
        secret => Ok(secret.to_owned()),
    }
}

/// What is counted for each receiver.
#[derive(Debug, Clone)]
pub struct ReceiverMetrics {
    pub(crate) sent: IntCounterVec,
    pub(crate) failed: IntCounterVec,
    pub(crate) dropped: IntCounterVec,
    pub(crate) queued: IntGaugeVec,
    pub(crate) responsible_agent: IntGaugeVec,
}

impl ReceiverMetrics {
    /// Registers the metrics.
    pub fn new(registry: &Registry) -> prometheus::Result<Self> {
        let counters = |name: &str, help: &str, labels: &[&str]| {
            let counters = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counters.clone()))?;
            Ok::<_, prometheus::Error>(counters)
        };
        let gauges = |name: &str, help: &str| {
            let gauges = IntGaugeVec::new(Opts::new(name, help), &["receiver"])?;
            registry.register(Box::new(gauges.clone()))?;
            Ok::<_, prometheus::Error>(gauges)
        };

        Ok(Self {
            sent: counters(
                "regionmesh_alerts_sent_total",
                "Messages that a receiver took.",
                &["receiver"],
            )?,
            failed: counters(
                "regionmesh_alerts_failed_total",
                "Attempts that a receiver did not take, by reason: unanswered, not-now, refused, \
                    unready.",
                &["receiver", "reason"],
            )?,
            dropped: counters(
                "regionmesh_alerts_dropped_total",
                "Events that a receiver will not be told of, by reason: expired, queue-full, \
                    refused.",
                &["receiver", "reason"],
            )?,
            queued: gauges(
                "regionmesh_alerts_queued",
                "What waits for a receiver, or for another agent to tell it.",
            )?,
            responsible_agent: gauges(
                "regionmesh_alerts_responsible",
                "1 while it is this agent that tells the receiver.",
            )?,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
    use std::{
        io::{Read, Write},
        net::TcpListener,
        sync::Arc,
        thread::JoinHandle,
    };

    #[test]
    fn what_an_operator_can_put_right_is_tried_again() {
        assert!([400, 405, 413, 422].into_iter().all(is_final));
        assert!(
            ![301, 401, 403, 404, 408, 425, 429, 500, 503]
                .into_iter()
                .any(is_final)
        );
    }

    /// A receiver that speaks TLS and takes one message: its port, its certificate, and what it
    /// heard.
    fn secure_receiver() -> (u16, String, JoinHandle<String>) {
        let certified = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(
            certified.signing_key.serialize_der(),
        ));
        let config =
            rustls::ServerConfig::builder_with_provider(regionmesh_mesh::crypto_provider())
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(vec![certified.cert.der().clone()], key)
                .unwrap();

        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let heard = std::thread::spawn(move || {
            let (mut tcp, _) = listener.accept().unwrap();
            let mut tls = rustls::ServerConnection::new(Arc::new(config)).unwrap();
            let mut stream = rustls::Stream::new(&mut tls, &mut tcp);
            let mut heard = Vec::new();
            let mut piece = [0; 1_024];

            // A client that does not trust us breaks off.
            while !heard.ends_with(b"{}") {
                match stream.read(&mut piece) {
                    Ok(count) if count > 0 => heard.extend_from_slice(&piece[..count]),
                    _ => return String::new(),
                }
            }

            stream
                .write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")
                .unwrap();
            String::from_utf8(heard).unwrap()
        });

        (port, certified.cert.pem(), heard)
    }

    async fn send(port: u16, ca: Option<&Path>, token: &Path) -> Result<(), SendError> {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let text =
            format!("name = \"a\"\nkind = \"webhook\"\nurl = \"https://localhost:{port}/hush\"");
        let mut config: ReceiverConfig = toml::from_str(&text).unwrap();

        config.ca_file = ca.map(Path::to_owned);
        config.token_file = Some(token.to_owned());

        let url = config.url.clone();
        Sender::new(&config, url)
            .unwrap()
            .post(HeaderMap::new(), b"{}".to_vec())
            .await
    }

    #[tokio::test]
    async fn a_receiver_is_trusted_by_its_authority_and_gets_the_token_then_only() {
        let dir = tempfile::tempdir().unwrap();
        let ca = dir.path().join("ca.pem");
        let token = dir.path().join("token");

        std::fs::write(&token, "sesame\n").unwrap();

        let (port, certificate, heard) = secure_receiver();
        std::fs::write(&ca, certificate).unwrap();
        send(port, Some(&ca), &token).await.unwrap();

        let heard = heard.join().unwrap();
        assert!(
            heard.contains("authorization: Bearer sesame\r\n") && heard.starts_with("POST /hush "),
            "{heard}"
        );

        let (port, _, heard) = secure_receiver();
        let error = send(port, None, &token).await.unwrap_err();
        assert!(
            matches!(error, SendError::Unanswered(_)) && error.to_string().contains("certificate"),
            "{error}"
        );

        assert!(!error.to_string().contains("hush"), "{error}");
        assert_eq!(heard.join().unwrap(), "");

        std::fs::write(&token, " ").unwrap();
        let error = send(port, None, &token).await.unwrap_err();
        assert!(
            matches!(error, SendError::Unready(_)) && error.to_string().ends_with("token is empty"),
            "{error}"
        );
    }
}
