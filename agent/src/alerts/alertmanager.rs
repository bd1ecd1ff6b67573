//! Alertmanager's API, version 2: active alerts are sent repeatedly, with a time at which they end
//! unless they are sent again.
//!
//! As in Prometheus, that time is four intervals ahead, so that an alert survives the death of an
//! agent, but not that of the mesh. An alert that ended is sent as ended for some minutes.

use super::{SendError, Sender};
use crate::config::ReceiverConfig;
use http::HeaderMap;
use regionmesh_core::notify::alert::Alert;
use regionmesh_runtime::time::rfc3339;
use serde_json::{Value, json};

/// Number of intervals after which an alert ends unless it is sent again.
const INTERVALS: u64 = 4;

/// One Alertmanager.
#[derive(Debug, Clone)]
pub(crate) struct Alertmanager {
    sender: Sender,
    generator_url: String,
    resend_ms: u64,
}

impl Alertmanager {
    /// As configured; alerts link to `generator_url`.
    pub(crate) fn new(config: &ReceiverConfig, generator_url: String) -> Result<Self, String> {
        let sender = Sender::new(
            config,
            format!("{}/api/v2/alerts", config.url.trim_end_matches('/')),
        )?;

        Ok(Self {
            sender,
            generator_url,
            resend_ms: config.resend_s.saturating_mul(1_000),
        })
    }

    /// Sends active and recently resolved alerts.
    pub(crate) async fn send(&self, alerts: &[Alert], now_ms: u64) -> Result<(), SendError> {
        let alerts: Vec<Value> = alerts
            .iter()
            .map(|alert| self.render(alert, now_ms))
            .collect();
        let body =
            serde_json::to_vec(&alerts).map_err(|error| SendError::Unready(error.to_string()))?;

        self.sender.post(HeaderMap::new(), body).await
    }

    fn render(&self, alert: &Alert, now_ms: u64) -> Value {
        let until_ms = now_ms.saturating_add(self.resend_ms.saturating_mul(INTERVALS));
        // Alertmanager refuses an alert that ends before it begins.
        let ends_ms = alert.ended_ms.unwrap_or(until_ms).max(alert.starts_ms);

        json!({
            "labels": alert.labels,
            "annotations": { "summary": alert.summary, "description": alert.description },
            "startsAt": rfc3339(alert.starts_ms),
            "endsAt": rfc3339(ends_ms),
            "generatorURL": self.generator_url,
        })
    }
}

#[cfg(test)]
mod tests;
