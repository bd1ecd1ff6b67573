//! A webhook: each event is a POST with JSON and an idempotency key, so that a receiver can detect
//! repeats.
//!
//! An event has the same body and `Idempotency-Key` from every agent. With a secret,
//! `X-RegionMesh-Signature: sha256=<hex>` is the HMAC-SHA256 of `X-RegionMesh-Timestamp`, a full
//! stop, and the body.

use super::{SendError, Sender, secret};
use crate::config::ReceiverConfig;
use aws_lc_rs::hmac;
use http::{HeaderMap, HeaderName, HeaderValue};
use regionmesh_client::EventEntry;
use regionmesh_protocol::event::Event;
use regionmesh_runtime::time::unix_ms;
use serde_json::json;
use std::path::PathBuf;

/// Named by draft-ietf-httpapi-idempotency-key-header.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const TIMESTAMP: HeaderName = HeaderName::from_static("x-regionmesh-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("x-regionmesh-signature");

/// One webhook.
#[derive(Debug, Clone)]
pub(crate) struct Webhook {
    sender: Sender,
    mesh: String,
    secret_file: Option<PathBuf>,
}

impl Webhook {
    /// As configured.
    pub(crate) fn new(config: &ReceiverConfig, mesh: String) -> Result<Self, String> {
        let sender = Sender::new(config, config.url.clone())?;
        Ok(Self {
            sender,
            mesh,
            secret_file: config.secret_file.clone(),
        })
    }

    /// Sends an event.
    pub(crate) async fn send(&self, event: &Event) -> Result<(), SendError> {
        let unready = |error: String| SendError::Unready(error);
        let body = body(&self.mesh, event).map_err(|error| unready(error.to_string()))?;
        let mut headers = HeaderMap::new();
        let key = HeaderValue::from_str(&event.id)
            .map_err(|_| unready("its id is not a valid header".into()))?;

        headers.insert(IDEMPOTENCY_KEY, key);
        if let Some(path) = &self.secret_file {
            let secret = secret(path).await.map_err(SendError::Unready)?;
            let timestamp = (unix_ms() / 1_000).to_string();
            let value =
                |text: &str| HeaderValue::from_str(text).map_err(|_| unready("no header".into()));

            headers.insert(SIGNATURE, value(&signature(&secret, &timestamp, &body))?);
            headers.insert(TIMESTAMP, value(&timestamp)?);
        }

        self.sender.post(headers, body).await
    }
}

fn body(mesh: &str, event: &Event) -> serde_json::Result<Vec<u8>> {
    let mut body = serde_json::to_value(EventEntry::of(event))?;
    body["mesh"] = json!(mesh);
    serde_json::to_vec(&body)
}

/// The signature of a message.
fn signature(secret: &str, timestamp: &str, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let mut context = hmac::Context::with_key(&key);
    for part in [timestamp.as_bytes(), b".", body] {
        context.update(part);
    }

    let hex: String = context
        .sign()
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();

    format!("sha256={hex}")
}

#[cfg(test)]
mod tests;
