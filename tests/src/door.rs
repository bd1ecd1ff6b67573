//! The front door in a process of its own, as users of a mesh run it.

use crate::{
    api::{self, sample},
    mesh::{SERVICE, TestMesh, binary},
    wait::{seconds, until},
};
use regionmesh::cli::up::layout::LocalAgent;
use reqwest::Client;
use serde_json::Value;
use std::{fs::File, net::SocketAddr, path::PathBuf, process::Stdio};
use tokio::process::{Child, Command};

/// `regionmesh front-door` to one mesh; ends with the value.
pub struct Door {
    http: Client,
    listen: SocketAddr,
    metrics: SocketAddr,
    log: PathBuf,
    _process: Child,
}

impl Door {
    /// Opens it on the mesh's own loopback network, with these options beside the usual ones.
    pub async fn open(mesh: &TestMesh, options: &[&str]) -> Self {
        let agent = mesh.agent(0);
        let [first, second, third, _] = agent.ip.octets();
        let at = |port| SocketAddr::from(([first, second, third, 9], port));
        let listen = at(8080);
        let metrics = at(9090);
        let log = mesh.layout().data_dir.join("front-door.log");
        let mut command = Command::new(binary());

        command.arg("front-door").args([
            "--service",
            SERVICE,
            "--port",
            &agent.ports.serving.to_string(),
        ]);

        command
            .args([
                "--listen",
                &listen.to_string(),
                "--metrics",
                &metrics.to_string(),
            ])
            .args(options);

        for server in mesh.agents().iter().map(LocalAgent::dns) {
            command.args(["--name-server", &server.to_string()]);
        }

        let file = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .expect("a log");

        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file)
            .kill_on_drop(true);

        let process = command.spawn().expect("regionmesh front-door");
        let door = Self {
            http: api::client(),
            listen,
            metrics,
            log,
            _process: process,
        };

        until("the front door is open", seconds(20), async || {
            door.metric("regionmesh_front_door_window", &[]).await?;
            tokio::net::TcpStream::connect(listen)
                .await
                .map(drop)
                .map_err(|error| error.to_string())
        })
        .await;

        door
    }

    /// A path's URL.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.listen)
    }

    /// POST: the status and the body, JSON or a JSON string.
    pub async fn post(&self, path: &str, body: &Value) -> Result<(u16, Value), String> {
        let reply = self
            .http
            .post(self.url(path))
            .json(body)
            .send()
            .await
            .map_err(|error| format!("{error:?}"))?;
        let status = reply.status().as_u16();
        let text = reply.text().await.map_err(|error| format!("{error:?}"))?;

        Ok((
            status,
            serde_json::from_str(&text).unwrap_or(Value::String(text)),
        ))
    }

    /// The sum of a metric's samples whose labels contain all of `labels`.
    pub async fn metric(&self, name: &str, labels: &[&str]) -> Result<f64, String> {
        let url = format!("http://{}/metrics", self.metrics);
        let reply = self
            .http
            .get(url)
            .send()
            .await
            .map_err(|error| format!("{error:?}"))?;
        let text = reply.text().await.map_err(|error| format!("{error:?}"))?;

        Ok(text
            .lines()
            .filter_map(|line| sample(line, name, labels))
            .sum())
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}
