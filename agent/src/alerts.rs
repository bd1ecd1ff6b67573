//! Sending events and alerts: one file per kind of receiver, and the queue in front of it.
//!
//! These files create and send single messages; [`crate::actors::alerts`] decides which agent sends
//! which message, and when.

pub(crate) mod alertmanager;
pub(crate) mod outbox;
pub(crate) mod webhook;

use crate::config::ReceiverConfig;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use prometheus::{
    IntCounterVec, IntGaugeVec, register_int_counter_vec_with_registry,
    register_int_gauge_vec_with_registry,
};
use regionmesh_protocol::text::is_unprintable;
use regionmesh_runtime::metrics::Registry;
use std::{
    path::{Path, PathBuf},
    time::Duration,
};
use strum::IntoStaticStr;

/// Longest secret or token, bytes.
const SECRET_MAX: u64 = 4_096;
/// Limit on the `Retry-After` of receivers.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(60);
/// Limit on the quoted part of a refusal, characters.
const QUOTED_MAX: usize = 200;
/// Limit on the part of an answer that is read, bytes.
const ANSWER_MAX: usize = 64 << 10;

/// Why a message was not delivered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub(crate) enum SendError {
    /// No answer: unreachable, too slow, or not trusted.
    #[error("no answer: {0}")]
    Unanswered(String),
    /// A failure that may be temporary.
    #[error("it answered {status}{excerpt}")]
    NotNow {
        status: u16,
        /// The start of the answer's body.
        excerpt: String,
        /// The delay that it asked for.
        retry_after: Option<Duration>,
    },
    /// A permanent failure: the receiver does not accept this message.
    #[error("it refused the message with {status}{excerpt}")]
    Refused {
        status: u16,
        /// The start of the answer's body.
        excerpt: String,
    },
    /// The token or secret can't be read, or the message can't be created.
    #[error("{0}")]
    Unready(String),
}

impl SendError {
    /// The value of the label `reason`.
    pub(crate) fn reason(&self) -> &'static str {
        self.into()
    }
}

/// Sends to one receiver.
#[derive(Debug, Clone)]
pub(crate) struct Sender {
    http: reqwest::Client,
    url: String,
    token_file: Option<PathBuf>,
}

impl Sender {
    /// A sender to `url` as the receiver's configuration says.
    pub(crate) fn new(config: &ReceiverConfig, url: String) -> Result<Self, String> {
        let mut builder = reqwest::Client::builder()
            .timeout(Duration::from_millis(config.timeout_ms))
            // The target of a redirect must not see the token.
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
            .map_err(|error| format!("cannot create an HTTP client: {}", root(&error)))?;
        Ok(Self {
            http,
            url,
            token_file: config.token_file.clone(),
        })
    }

    /// POSTs JSON; successful once the receiver has accepted it.
    pub(crate) async fn post(
        &self,
        mut headers: HeaderMap,
        body: Vec<u8>,
    ) -> Result<(), SendError> {
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
        let excerpt = excerpt(reply).await;
        let status = status.as_u16();

        Err(if is_final(status) {
            SendError::Refused { status, excerpt }
        } else {
            SendError::NotNow {
                status,
                excerpt,
                retry_after,
            }
        })
    }
}

/// Whether the same message would be refused again. Errors that an operator can fix, such as a
/// wrong token or path, are not final.
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

/// The body of a refusal, safe for a log line.
async fn excerpt(mut reply: reqwest::Response) -> String {
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

/// The root cause of an HTTP client's error: the outer errors only say that a request failed.
fn root(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// Reads a token or a secret, without surrounding white space.
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

/// Metrics by receiver.
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
            register_int_counter_vec_with_registry!(name, help, labels, registry)
        };
        let gauges = |name: &str, help: &str| {
            register_int_gauge_vec_with_registry!(name, help, &["receiver"], registry)
        };

        Ok(Self {
            sent: counters(
                "regionmesh_alerts_sent_total",
                "Messages delivered.",
                &["receiver"],
            )?,
            failed: counters(
                "regionmesh_alerts_failed_total",
                "Failed attempts, by reason: unanswered, not-now, refused, unready.",
                &["receiver", "reason"],
            )?,
            dropped: counters(
                "regionmesh_alerts_dropped_total",
                "Events dropped, by reason: expired, queue-full, refused.",
                &["receiver", "reason"],
            )?,
            queued: gauges(
                "regionmesh_alerts_queued",
                "Events waiting, or left to another agent.",
            )?,
            responsible_agent: gauges(
                "regionmesh_alerts_responsible",
                "1 while this agent delivers.",
            )?,
        })
    }
}

#[cfg(test)]
mod tests;
