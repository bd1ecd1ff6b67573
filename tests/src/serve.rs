//! A region's model server in a process of its own, as where agents and serving live apart.

use crate::{
    api,
    command::regionmesh,
    mesh::{Setup, TestMesh},
    wait::{claim, seconds, until},
};
use futures::future::join_all;
use regionmesh::{config::Config, local_mesh::layout::LocalAgent};
use std::{fs::File, process::Stdio};
use tokio::process::Child;

/// To be given to [`crate::mesh::Setup::adjust`]: the agents serve no models themselves.
pub fn apart(config: &mut Config) {
    config.serving.embedded = false;
}

/// `regionmesh serve`, reading the bucket of one region; ends with the value.
pub struct Serve(Child);

impl Serve {
    /// Starts it where `agent` says that its region serves, and waits until it is ready.
    pub async fn start(agent: &LocalAgent) -> Self {
        let log = File::options()
            .create(true)
            .append(true)
            .open(agent.directory.join("serve.log"))
            .expect("a log");
        let child = regionmesh(&["serve", "--config"])
            .arg(agent.config_file())
            .args(["--drain", "0s"])
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("regionmesh serve");
        let http = api::client();
        let url = format!("http://{}/v2/health/ready", agent.serving());

        until(&format!("{} serves", agent.id), seconds(30), async || {
            let answer = http
                .get(&url)
                .send()
                .await
                .map_err(|error| format!("{error:?}"))?;

            claim(answer.status().is_success(), || answer.status().to_string())
        })
        .await;

        Self(child)
    }

    /// Ends it with SIGKILL.
    pub async fn kill(mut self) {
        self.0.kill().await.expect("a child of ours");
    }
}

/// A converged mesh whose regions' models are served by processes of their own: agents may die and
/// nothing else.
pub async fn mesh_apart(change: impl Fn(&mut Config)) -> (TestMesh, Vec<Serve>) {
    let mesh = TestMesh::prepare(Setup {
        adjust: Some(apart),
        ..Setup::default()
    })
    .await;

    mesh.configure(change);
    let servings = join_all(mesh.agents().iter().map(Serve::start)).await;
    mesh.start().await.unwrap_or_else(|error| panic!("{error}"));
    mesh.converged().await;
    (mesh, servings)
}
