//! The front door in a process of its own, as users of a mesh run it.

use crate::{
    api::{self, sum_of_samples},
    command::regionmesh,
    mesh::{SERVICE, TestMesh},
    wait::{seconds, until},
};
use regionmesh::{
    front_door::{FrontDoor, FrontDoorMetrics},
    local_mesh::layout::LocalAgent,
};
use regionmesh_runtime::metrics::Registry;
use reqwest::Client;
use serde_json::Value;
use std::{fs::File, net::SocketAddr, path::PathBuf, process::Stdio};
use tokio::process::Child;
use tokio_util::sync::CancellationToken;

/// `regionmesh front-door` to one mesh; ends with the value.
pub struct Door {
    http: Client,
    listen: SocketAddr,
    metrics: SocketAddr,
    log: PathBuf,
    _process: Child,
}

impl Door {
    /// Opens it on the mesh's own loopback network, with these options after the usual ones.
    pub async fn open(mesh: &TestMesh, options: &[&str]) -> Self {
        let agent = mesh.agent(0);
        let [first, second, third, _] = agent.ip.octets();
        let at = |port| SocketAddr::from(([first, second, third, 9], port));
        let listen = at(8080);
        let metrics = at(9090);
        let log = mesh.layout().data_dir.join("front-door.log");
        let mut command = regionmesh(&["front-door", "--service", SERVICE]);

        command
            .args(["--port", &agent.ports.serving.to_string()])
            .args(["--listen", &listen.to_string()])
            .args(["--metrics", &metrics.to_string()])
            .args(options);

        for server in mesh.agents().iter().map(LocalAgent::dns) {
            command.args(["--name-server", &server.to_string()]);
        }

        let file = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .expect("a log");

        let process = command
            .stdout(Stdio::null())
            .stderr(file)
            .spawn()
            .expect("regionmesh front-door");
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
        api::answer(self.http.post(self.url(path)).json(body)).await
    }

    /// The sum of a metric's samples whose labels contain all of `labels`.
    pub async fn metric(&self, name: &str, labels: &[&str]) -> Result<f64, String> {
        let url = format!("http://{}/metrics", self.metrics);
        let (_, text) = api::answer(self.http.get(url)).await?;
        Ok(sum_of_samples(
            text.as_str().unwrap_or_default(),
            name,
            labels,
        ))
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

/// A front door to the mesh within this process, for as long as it lives; its address.
pub async fn serve_in_process(mesh: &TestMesh) -> SocketAddr {
    let listen = vec![SocketAddr::from(([127, 0, 0, 1], 0))];
    let metrics = FrontDoorMetrics::new(&Registry::new()).expect("metrics");
    let front_door = FrontDoor::bind(mesh.front_door(listen, metrics))
        .await
        .expect("a front door");
    let address = front_door.local_addrs()[0];

    tokio::spawn(front_door.serve(CancellationToken::new()));
    address
}
