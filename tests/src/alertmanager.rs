//! A real Alertmanager, and the alerts that it holds.

use crate::{
    api,
    wait::{claim, seconds, until},
};
use serde_json::Value;
use std::{fs::File, net::TcpListener, process::Stdio};
use tempfile::TempDir;
use tokio::process::{Child, Command};

/// The program, and the Debian package that brings it.
pub const PROGRAM: (&str, &str) = ("prometheus-alertmanager", "prometheus-alertmanager");

/// A running Alertmanager that notifies a webhook immediately, and only once; ends with the value.
pub struct Alertmanager {
    url: String,
    http: reqwest::Client,
    _directory: TempDir,
    _child: Child,
}

impl Alertmanager {
    /// Starts one that notifies `webhook`, and waits until it is ready.
    pub async fn start(webhook: &str) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let config = format!(
            "route:\n  receiver: test\n  group_by: ['...']\n  group_wait: 0s\n  \
             group_interval: 1s\n  repeat_interval: 24h\n\
             receivers:\n  - name: test\n    webhook_configs:\n      - url: '{webhook}'\n        \
             send_resolved: true\n"
        );
        let file = directory.path().join("alertmanager.yml");

        std::fs::write(&file, config).expect("a file");
        // A port that was just free: Alertmanager cannot report which port it got.
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|free| free.local_addr())
            .expect("a port")
            .port();
        let log = File::create(directory.path().join("log")).expect("a log");
        let mut command = Command::new(PROGRAM.0);

        command
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.path={}", directory.path().display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .args(["--cluster.listen-address=", "--log.level=debug"]);

        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);

        let child = command.kill_on_drop(true).spawn().expect("Alertmanager");
        let url = format!("http://127.0.0.1:{port}");
        let http = api::client();

        until("Alertmanager is ready", seconds(30), async || {
            let reply = http
                .get(format!("{url}/-/ready"))
                .send()
                .await
                .map_err(|error| format!("{error:?}"))?;

            claim(reply.status().is_success(), || reply.status().to_string())
        })
        .await;

        Self {
            url,
            http,
            _directory: directory,
            _child: child,
        }
    }

    /// Where agents send alerts.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The active alerts of this name.
    pub async fn firing(&self, name: &str) -> Result<Vec<Value>, String> {
        let url = format!("{}/api/v2/alerts?active=true", self.url);
        let reply = self
            .http
            .get(url)
            .send()
            .await
            .map_err(|error| format!("{error:?}"))?;
        let all: Vec<Value> = reply.json().await.map_err(|error| format!("{error:?}"))?;

        Ok(all
            .into_iter()
            .filter(|alert| alert["labels"]["alertname"] == name)
            .collect())
    }
}
