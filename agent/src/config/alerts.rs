//! `[alerts]`: who is told of events and alerts.
//!
//! Secrets are never here: files hold them, which are read anew for each message.

use regionmesh_protocol::event::{EventKind, Severity};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, path::PathBuf};

/// Most receivers: each has a queue and a connection of its own.
const RECEIVERS_MAX: usize = 16;
/// Longest name of a receiver, characters.
const NAME_MAX: usize = 63;

/// Who is told.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AlertsConfig {
    /// Every receiver; the same list in every agent, since any of them may have to tell.
    pub receivers: Vec<ReceiverConfig>,
    /// Where people look on, for example a dashboard: `generatorURL` of alerts. Default: the API of
    /// the agent that tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generator_url: Option<String>,
}

/// One receiver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReceiverConfig {
    /// Its name in metrics, logs and on the board.
    pub name: String,
    /// How it is spoken to.
    pub kind: ReceiverKind,
    /// `http://` or `https://`; of a webhook the whole URL, of an Alertmanager what comes before
    /// `/api/v2/alerts`.
    pub url: String,
    /// File with a bearer token to be sent along.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    /// File with the secret that a webhook's messages are signed with (HMAC-SHA256).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_file: Option<PathBuf>,
    /// PEM file with authorities to trust beside those of the system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// Only what is at least this severe.
    #[serde(default)]
    pub severity: Severity,
    /// Only these kinds; empty: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kinds: Vec<EventKind>,
    /// How long one message may take, milliseconds.
    #[serde(default = "timeout_ms")]
    pub timeout_ms: u64,
    /// How long an event is worth telling, seconds. 10 minutes: who is told later than that reads
    /// the history.
    #[serde(default = "deadline_s")]
    pub deadline_s: u64,
    /// How often an Alertmanager is told what still holds, seconds. It forgets what it is not told
    /// of for four times as long; 60 s: its own `resolve_timeout` is 5 minutes.
    #[serde(default = "resend_s")]
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

/// How a receiver is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReceiverKind {
    /// Each event is a POST with JSON.
    Webhook,
    /// Alerts go to Alertmanager's API, version 2.
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

        for (field, value, least, most) in [
            ("timeout_ms", self.timeout_ms, 100, 60_000),
            ("deadline_s", self.deadline_s, 10, 86_400),
            ("resend_s", self.resend_s, 1, 3_600),
        ] {
            if !(least..=most).contains(&value) {
                faults.push(format!("{field}: {value} is not within {least} to {most}"));
            }
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
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn faults(text: &str) -> Vec<String> {
        toml::from_str::<AlertsConfig>(text).unwrap().faults()
    }

    #[test]
    fn a_receiver_needs_a_name_a_kind_and_a_url() {
        let text = r#"
            [[receivers]]
            name = "ops"
            kind = "alertmanager"
            url = "https://alertmanager.example:9093/prefix"
            [[receivers]]
            name = "chat"
            kind = "webhook"
            url = "http://127.0.0.1:1/hook?room=7"
            severity = "warning"
            kinds = ["verdict", "fence-lost"]
            token_file = "/t"
            secret_file = "/s"
        "#;

        let config: AlertsConfig = toml::from_str(text).unwrap();
        assert_eq!(config.faults(), [""; 0]);

        let [ops, chat] = &config.receivers[..] else {
            unreachable!("two")
        };
        assert_eq!(
            (ops.severity, ops.resend_s, ops.kinds.len()),
            (Severity::Info, 60, 0)
        );

        assert_eq!(chat.kinds, [EventKind::Verdict, EventKind::FenceLost]);
        let again: AlertsConfig = toml::from_str(&toml::to_string(&config).unwrap()).unwrap();
        assert_eq!(again.receivers.len(), 2);
    }

    #[test]
    fn every_fault_is_told_and_no_url_is_quoted() {
        let text = r#"
            generator_url = "dashboard"
            [[receivers]]
            name = "a b"
            kind = "alertmanager"
            url = "https://user:hush@host/"
            secret_file = "/s"
            timeout_ms = 1
            [[receivers]]
            name = "c"
            kind = "webhook"
            url = "ftp://host/hush"
            deadline_s = 1
            resend_s = 0
            [[receivers]]
            name = "c"
            kind = "webhook"
            url = "http://host/"
        "#;

        let found = faults(text);
        for part in [
            "generator_url",
            "receivers.a b: name",
            "receivers.a b: url",
            "receivers.a b: secret_file",
            "receivers.a b: timeout_ms",
            "receivers.c: url",
            "receivers.c: deadline_s",
            "receivers.c: resend_s",
            "\"c\" is listed twice",
        ] {
            assert_eq!(
                found.iter().filter(|fault| fault.contains(part)).count(),
                1,
                "{part}: {found:#?}"
            );
        }

        assert_eq!(found.len(), 9, "{found:#?}");
        assert!(
            !found.iter().any(|fault| fault.contains("hush")),
            "{found:#?}"
        );
    }
}
