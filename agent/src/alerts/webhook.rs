//! A webhook: each event is one POST with JSON, which names itself so that a receiver may take it
//! once only.
//!
//! The same event has the same body and `Idempotency-Key` from whichever agent it comes. Where
//! there is a secret, `X-RegionMesh-Signature: sha256=<hex>` is the HMAC-SHA256 of
//! `X-RegionMesh-Timestamp`, a full stop, and the body.

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
pub struct Webhook {
    sender: Sender,
    mesh: String,
    secret_file: Option<PathBuf>,
}

impl Webhook {
    /// As configured.
    pub fn new(config: &ReceiverConfig, mesh: String) -> Result<Self, String> {
        let sender = Sender::new(config, config.url.clone())?;
        Ok(Self {
            sender,
            mesh,
            secret_file: config.secret_file.clone(),
        })
    }

    /// Tells of one event.
    pub async fn tell(&self, event: &Event) -> Result<(), SendError> {
        let unready = |error: String| SendError::Unready(error);
        let body = body(&self.mesh, event).map_err(|error| unready(error.to_string()))?;
        let mut headers = HeaderMap::new();
        let key =
            HeaderValue::from_str(&event.id).map_err(|_| unready("its id is no header".into()))?;

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
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::events::tests::event;
    use regionmesh_protocol::event::EventKind;

    #[test]
    fn a_message_is_signed_with_its_time() {
        // By: printf '%s' '1700000000.{"a":1}' | openssl dgst -sha256 -hmac key
        let expected = "sha256=a438e398bfafc57e4396bb7fc2304422f0f768e965d073ca313cb52e22e6ad03";
        assert_eq!(signature("key", "1700000000", b"{\"a\":1}"), expected);
    }

    #[test]
    fn the_body_of_an_event_is_the_same_wherever_it_is_made() {
        let told = event(7, EventKind::Verdict, "eu-west-1");
        let text = String::from_utf8(body("m", &told).unwrap()).unwrap();
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&text).unwrap(),
            json!({
                "mesh": "m", "id": "verdict:7", "kind": "verdict", "severity": "critical", "time_ms": 7,
                "region": "eu-west-1", "text": "event 7 of eu-west-1", "fields": { "number": "7" }, "reported_by": null,
            })
        );
    }
}
