//! `[alerts]`: receivers of events and alerts.
//!
//! Secrets are kept in files, which are read again for each message.

use regionmesh_protocol::event::{EventKind, Severity};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, path::PathBuf};

/// Limit on receivers: each has its own queue and connection.
const RECEIVERS_MAX: usize = 16;
/// Longest name of a receiver, characters.
const NAME_MAX: usize = 63;

/// Receivers of events and alerts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AlertsConfig {
    /// The receivers, at most 16. Every agent needs all of them, since any may become responsible.
    pub receivers: Vec<ReceiverConfig>,
    /// `generatorURL` of alerts, for example a dashboard. Default: the API of the sending agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generator_url: Option<String>,
}

/// One receiver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReceiverConfig {
    /// Its name in metrics, logs and on the board: 1 to 63 letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// What the receiver is.
    pub kind: ReceiverKind,
    /// `http://` or `https://`: the full URL of a webhook, or an Alertmanager's URL up to
    /// `/api/v2/alerts`.
    pub url: String,
    /// File with a bearer token to send.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    /// File with the secret that a webhook's messages are signed with (HMAC-SHA256).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_file: Option<PathBuf>,
    /// PEM file with CA certificates to trust in addition to the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// Lowest severity to send.
    #[serde(default)]
    pub severity: Severity,
    /// [Kinds of events](events.md) to send; empty: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kinds: Vec<EventKind>,
    /// Timeout of one message, milliseconds.
    #[serde(default = "timeout_ms")]
    #[schemars(range(min = 100, max = 60_000))]
    pub timeout_ms: u64,
    /// Age at which an undelivered event is dropped, seconds. 10 minutes: later, people read the
    /// history.
    #[serde(default = "deadline_s")]
    #[schemars(range(min = 10, max = 86_400))]
    pub deadline_s: u64,
    /// Interval at which active alerts are sent to an Alertmanager again, seconds. An alert ends if
    /// it is not repeated for four intervals. 60 s: Alertmanager's own `resolve_timeout` is 5
    /// minutes.
    #[serde(default = "resend_s")]
    #[schemars(range(min = 1, max = 3_600))]
    pub resend_s: u64,
}

fn timeout_ms() -> u64 {
    5_000
}

fn deadline_s() -> u64 {
    600
}

fn resend_s() -> u64 {
    60
}

/// The protocol of a receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ReceiverKind {
    /// Each event is a POST with JSON.
    Webhook,
    /// Alerts are sent to Alertmanager's API, version 2.
    Alertmanager,
}

impl AlertsConfig {
    pub(super) fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if self.receivers.len() > RECEIVERS_MAX {
            faults.push(format!(
                "alerts.receivers: {} are more than {RECEIVERS_MAX}",
                self.receivers.len()
            ));
        }

        let mut names = BTreeSet::new();
        for receiver in &self.receivers {
            if !names.insert(&receiver.name) {
                faults.push(format!(
                    "alerts.receivers: {:?} is listed twice",
                    receiver.name
                ));
            }

            faults.extend(
                receiver
                    .faults()
                    .into_iter()
                    .map(|why| format!("alerts.receivers.{}: {why}", receiver.name)),
            );
        }

        if let Some(url) = &self.generator_url
            && !is_http(url)
        {
            faults.push(format!(
                "alerts.generator_url: {url:?} is not http://... or https://..."
            ));
        }

        faults
    }
}

impl ReceiverConfig {
    fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if self.name.is_empty() || self.name.len() > NAME_MAX || !self.name.chars().all(is_word) {
            faults.push(format!(
                "name: 1 to {NAME_MAX} letters, digits, '-', '_' and '.' are possible"
            ));
        }

        // The URL may hold a secret, so it is not quoted.
        if !is_http(&self.url) {
            faults.push("url: it is not http://host... or https://host...".into());
        }

        if self.kind == ReceiverKind::Alertmanager && self.secret_file.is_some() {
            faults.push(
                "secret_file: Alertmanager looks at no signature; only a webhook does".into(),
            );
        }

        faults
    }
}

fn is_http(url: &str) -> bool {
    let has_user = |url: &url::Url| !url.username().is_empty() || url.password().is_some();
    url::Url::parse(url).is_ok_and(|url| {
        matches!(url.scheme(), "http" | "https") && url.has_host() && !has_user(&url)
    })
}

#[cfg(test)]
mod tests;
