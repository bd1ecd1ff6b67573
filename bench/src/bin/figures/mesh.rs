//! The measured mesh: the product's binary, one process per agent, on loopback addresses.

use crate::distance::Distance;
use anyhow::{Context, Result, bail};
use regionmesh::{
    config::Config,
    local_mesh::{
        LocalMesh, LocalMeshOptions,
        children::{ChildState, Program, Restart},
        default_regions,
        layout::LocalAgent,
        measure::wait,
    },
};
use regionmesh_client::Status;
use regionmesh_core::{planning::Strategy, recovery::ramp::RecoveryPolicy};
use std::{ffi::OsString, net::Ipv4Addr, ops::Deref, path::PathBuf, time::Duration};
use tempfile::TempDir;

/// Longest wait for a condition, long enough to measure missed goals too.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(60);
/// Poll interval while a mesh converges, long enough not to disturb concurrent measurements.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// The network of a mesh.
#[derive(Clone, Copy)]
pub(crate) enum Network<'a> {
    /// Loopback addresses, by a number that is unique among concurrent meshes.
    Local(u8),
    /// Distant regions.
    Distant(&'a Distance),
}

/// A running mesh and its directory; stopped and removed on drop.
pub(crate) struct Measured {
    mesh: LocalMesh,
    http: reqwest::Client,
    _directory: TempDir,
}

impl Deref for Measured {
    type Target = LocalMesh;

    fn deref(&self) -> &LocalMesh {
        &self.mesh
    }
}

/// The product's binary, which `scripts/figures` builds into the same directory.
fn binary() -> Result<PathBuf> {
    let path = std::env::current_exe()?.with_file_name("regionmesh");
    if !path.exists() {
        bail!(
            "{} is missing: run scripts/figures, which builds it",
            path.display()
        );
    }

    Ok(path)
}

impl Measured {
    /// Starts three regions of one agent and waits until they are ready. A killed region comes back
    /// without a ramp as soon as it is healthy.
    pub(crate) async fn start(
        network: Network<'_>,
        strategy: Strategy,
        adjust: impl Fn(&mut Config),
    ) -> Result<Self> {
        let measured = Self::prepare(network, strategy, adjust).await?;
        measured.mesh.start().await?;
        Ok(measured)
    }

    /// Like [`start`](Self::start), but starts nothing.
    pub(crate) async fn prepare(
        network: Network<'_>,
        strategy: Strategy,
        adjust: impl Fn(&mut Config),
    ) -> Result<Self> {
        let directory = tempfile::Builder::new()
            .prefix("regionmesh-figures-")
            .tempdir()?;
        let mut options = LocalMeshOptions::new(directory.path().join("mesh"))?;

        options.program = Program {
            executable: binary()?,
            arguments: ["agent", "--config"].map(OsString::from).to_vec(),
        };

        options.restart = Restart::Never;
        options.strategy = strategy;
        match network {
            // Addresses that neither `up` nor the tests use.
            Network::Local(number) => options.base = Ipv4Addr::new(127, 88, 2 * number, 11),
            Network::Distant(distance) => {
                options.base = distance.address(0);
                let regions = default_regions()?.into_iter().enumerate();
                let launcher = |index| {
                    distance
                        .launcher(index)
                        .into_iter()
                        .map(OsString::from)
                        .collect()
                };

                options.launchers = regions
                    .map(|(index, region)| (region, launcher(index)))
                    .collect();
            }
        }

        options.recovery = RecoveryPolicy {
            cool_down_ms: 500,
            cool_down_max_ms: 500,
            forget_flaps_ms: 1_000,
            steps: Vec::new(),
            ..RecoveryPolicy::default()
        };

        let mesh = LocalMesh::prepare(options).await?;
        for agent in mesh.agents() {
            let mut config = Config::load(&agent.config_file())?;
            // The measurement queries more often than the rate limit allows.
            if matches!(network, Network::Distant(_)) {
                config.dns.rate_limit.responses_per_second = 0;
            }
            adjust(&mut config);
            std::fs::write(agent.config_file(), toml::to_string(&config)?)?;
        }

        let http = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(2))
            .build()?;

        Ok(Self {
            mesh,
            http,
            _directory: directory,
        })
    }

    /// Status of the mesh according to an agent.
    pub(crate) async fn status(&self, agent: &LocalAgent) -> Result<Status> {
        let reply = self
            .http
            .get(format!("{}/v1/status", agent.api_url()))
            .send()
            .await?;

        Ok(reply.error_for_status()?.json().await?)
    }

    /// Sends a request to an agent; returns the status of the reply.
    pub(crate) async fn post(
        &self,
        agent: &LocalAgent,
        path: &str,
        token: &str,
        body: &serde_json::Value,
    ) -> Result<reqwest::StatusCode> {
        let request = self
            .http
            .post(format!("{}{path}", agent.api_url()))
            .bearer_auth(token)
            .json(body);

        Ok(request.send().await?.status())
    }

    /// Status of the mesh according to each of `agents`; those that don't answer are left out.
    pub(crate) async fn all(&self, agents: &[&LocalAgent]) -> Vec<Status> {
        let asked = agents.iter().map(|agent| self.status(agent));
        futures::future::join_all(asked)
            .await
            .into_iter()
            .flatten()
            .collect()
    }

    pub(crate) fn all_agents(&self) -> Vec<&LocalAgent> {
        self.agents().iter().collect()
    }

    /// Waits until all agents agree on a leader and see all regions healthy and serving; returns
    /// the status according to the first agent.
    pub(crate) async fn converged(&self) -> Result<Status> {
        let agents = self.all_agents();
        let is_converged = |seen: &Vec<Status>| {
            let leaders: Vec<_> = seen
                .iter()
                .map(|status| status.leader.as_ref().map(|leader| &leader.agent))
                .collect();

            seen.len() == agents.len()
                && leaders
                    .iter()
                    .all(|leader| leader.is_some() && *leader == leaders[0])
                && seen
                    .iter()
                    .flat_map(|status| &status.agents)
                    .all(|agent| agent.alive)
                && seen
                    .iter()
                    .flat_map(|status| &status.regions)
                    .all(|region| {
                        region.traffic_state == "serving" && region.verdict.as_str() == "healthy"
                    })
        };

        let poll = || async {
            tokio::time::sleep(POLL_INTERVAL).await;
            self.all(&agents).await
        };
        let seen = wait(TIMEOUT, poll, is_converged)
            .await
            .context("the mesh did not converge")?;

        seen.into_iter().next().context("the mesh has no agent")
    }

    /// Waits until each of these agents' regions has the model.
    pub(crate) async fn wait_for_model(&self, agents: &[&LocalAgent], model: &str) -> Result<()> {
        let hold = |seen: &Vec<Status>| {
            seen.len() == agents.len() && seen.iter().all(|status| holds(status, model))
        };
        wait(TIMEOUT * 2, || self.all(agents), hold)
            .await
            .context("the model did not arrive everywhere")?;
        Ok(())
    }

    /// The pid of a running agent.
    pub(crate) fn pid(&self, agent: &LocalAgent) -> Result<u32> {
        match self.state(&agent.id)? {
            ChildState::Running { pid } => Ok(pid),
            state => bail!("{} is {state:?}", agent.id),
        }
    }
}

/// Whether the answering agent's own region has the model.
fn holds(status: &Status, model: &str) -> bool {
    let region = status.answered_by.split('/').next().unwrap_or_default();
    let versions = status
        .models
        .iter()
        .filter(|known| known.model == model)
        .flat_map(|known| &known.versions);

    versions
        .flat_map(|version| &version.regions)
        .any(|holder| holder.as_str() == region)
}
