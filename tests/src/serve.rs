//! A region's model server in a process of its own, as where agents and serving live apart.

use crate::{
    api,
    mesh::binary,
    wait::{claim, seconds, until},
};
use regionmesh::{cli::up::layout::LocalAgent, config::Config};
use std::{fs::File, process::Stdio};
use tokio::process::{Child, Command};

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
        let mut command = Command::new(binary());

        command
            .args(["serve", "--config"])
            .arg(agent.config_file())
            .args(["--drain", "0s"]);

        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);

        let child = command
            .kill_on_drop(true)
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
