//! Alertmanager's API, version 2: what holds is told again and again, with a time at which it ends
//! if nobody tells it again.
//!
//! That time is four intervals ahead, as Prometheus does it, so that an alert outlives an agent
//! that dies, but not a mesh that is gone. An alert that ended is told as ended for some minutes.

use super::{SendError, Sender};
use crate::config::ReceiverConfig;
use http::HeaderMap;
use regionmesh_core::notify::alert::Alert;
use regionmesh_runtime::time::rfc3339;
use serde_json::{Value, json};

/// For how many intervals an alert holds if it is not told again.
const INTERVALS: u64 = 4;

/// One Alertmanager.
#[derive(Debug, Clone)]
pub struct Alertmanager {
    sender: Sender,
    generator_url: String,
    resend_ms: u64,
}

impl Alertmanager {
    /// As configured; alerts say to look on at `generator_url`.
    pub fn new(config: &ReceiverConfig, generator_url: String) -> Result<Self, String> {
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

    /// Tells what is the case, and what ceased to be.
    pub async fn tell(&self, alerts: &[Alert], now_ms: u64) -> Result<(), SendError> {
        let alerts: Vec<Value> = alerts
            .iter()
            .map(|alert| self.show(alert, now_ms))
            .collect();
        let body =
            serde_json::to_vec(&alerts).map_err(|error| SendError::Unready(error.to_string()))?;

        self.sender.post(HeaderMap::new(), body).await
    }

    fn show(&self, alert: &Alert, now_ms: u64) -> Value {
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
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use regionmesh_protocol::event::{EventKind, Severity};

    #[test]
    fn an_alert_ends_by_itself_unless_it_is_told_again_and_never_before_it_begins() {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let text = "name = \"a\"\nkind = \"alertmanager\"\nurl = \
            \"http://127.0.0.1:1/prefix/\"\nresend_s = 30";
        let receiver =
            Alertmanager::new(&toml::from_str(text).unwrap(), "http://here/".into()).unwrap();

        assert_eq!(
            receiver.sender.url,
            "http://127.0.0.1:1/prefix/api/v2/alerts"
        );

        let alert = |ended_ms| Alert {
            labels: [("alertname", "A".into()), ("region", "r".into())].into(),
            kind: EventKind::Verdict,
            severity: Severity::Critical,
            summary: "s".into(),
            description: "d".into(),
            starts_ms: 1_500,
            ended_ms,
            reported_by: None,
        };

        assert_eq!(
            receiver.show(&alert(None), 10_000),
            json!({
                "labels": { "alertname": "A", "region": "r" },
                "annotations": { "summary": "s", "description": "d" },
                "startsAt": "1970-01-01T00:00:01.500Z",
                "endsAt": "1970-01-01T00:02:10.000Z",
                "generatorURL": "http://here/",
            })
        );

        assert_eq!(
            receiver.show(&alert(Some(7_000)), 10_000)["endsAt"],
            "1970-01-01T00:00:07.000Z"
        );

        assert_eq!(
            receiver.show(&alert(Some(1_000)), 10_000)["endsAt"],
            "1970-01-01T00:00:01.500Z"
        );
    }
}
