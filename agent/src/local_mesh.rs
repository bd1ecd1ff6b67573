//! A whole mesh on one machine: prepared, started, broken on purpose, stopped. `regionmesh up`, the
//! end-to-end tests and the figures use it.

pub mod checks;
pub mod children;
mod error;
pub mod layout;
pub mod measure;
pub mod process;
pub mod publish;
mod ready;
pub mod settings;
mod state;

pub use error::{LocalMeshError, Trouble};

use crate::front_door::{FrontDoorArguments, FrontDoorMetrics, HOLD_TIMEOUT};
use children::{ChildEnded, ChildHandle, ChildState, Program, Restart, tail};
use futures::future::join_all;
use layout::{FIRST_ADDRESS, Layout, LocalAgent, Ports};
use process::Spawner;
use regionmesh_core::{backoff::Backoff, planning::Strategy, recovery::ramp::RecoveryPolicy};
use regionmesh_protocol::identity::{AgentId, IdentityError, MeshName, RegionName};
use state::DataDirectory;
use std::{
    collections::BTreeMap,
    ffi::OsString,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep},
};

/// Time between two polls of an agent's readiness.
const READY_POLL_INTERVAL: Duration = Duration::from_millis(50);
/// Ends of children that may wait to be read; more are dropped.
const EVENTS: usize = 256;

/// Options of a mesh on one machine.
#[derive(Debug, Clone)]
pub struct LocalMeshOptions {
    /// Its regions; none: those of the data directory, else the three of [`default_regions`].
    pub regions: Option<Vec<RegionName>>,
    /// Agents of each region; none: as in the data directory, else 1.
    pub agents_per_region: Option<u8>,
    /// Where all state lives.
    pub data_dir: PathBuf,
    /// The mesh's name and DNS zone; none: that of the data directory, else `regionmesh.test`.
    pub domain: Option<MeshName>,
    /// How traffic is shared.
    pub strategy: Strategy,
    /// How a region comes back.
    pub recovery: RecoveryPolicy,
    /// Ports of every agent.
    pub ports: Ports,
    /// Settings added to every agent's configuration.
    pub settings: toml::Table,
    /// Address of the first region's first agent.
    pub base: Ipv4Addr,
    /// The command that runs an agent.
    pub program: Program,
    /// Words before the command of a region's agents, for example `ip netns exec NAME`. Their
    /// addresses are in that namespace, so they are not checked beforehand.
    pub launchers: BTreeMap<RegionName, Vec<OsString>>,
    /// Whether an agent that ends unexpectedly is restarted.
    pub restart: Restart,
    /// Where a front door will listen, checked beforehand; empty: none.
    pub front_door: Vec<SocketAddr>,
    /// How long the agents may take to be ready.
    pub ready_timeout: Duration,
}

impl LocalMeshOptions {
    /// The defaults of `regionmesh up`.
    pub fn new(data_dir: impl Into<PathBuf>) -> std::io::Result<Self> {
        Ok(Self {
            regions: None,
            agents_per_region: None,
            data_dir: data_dir.into(),
            domain: None,
            strategy: Strategy::Weighted,
            recovery: RecoveryPolicy::default(),
            ports: Ports::default(),
            settings: toml::Table::new(),
            base: FIRST_ADDRESS,
            program: Program::this()?,
            launchers: BTreeMap::new(),
            // Long enough that a killed region is seen to fail before it is back.
            restart: Restart::BackOff(Backoff::new(
                Duration::from_secs(5),
                Duration::from_secs(60),
            )),
            front_door: Vec::new(),
            ready_timeout: Duration::from_secs(60),
        })
    }
}

/// The regions of a mesh for which none are given.
pub fn default_regions() -> Result<Vec<RegionName>, IdentityError> {
    ["us-west-2", "eu-west-1", "ap-south-1"]
        .into_iter()
        .map(RegionName::new)
        .collect()
}

/// A mesh on one machine. Its processes end when it is dropped; [`LocalMesh::stop`] ends them
/// gracefully.
#[derive(Debug)]
pub struct LocalMesh {
    layout: Layout,
    agents: Vec<LocalAgent>,
    children: Vec<ChildHandle>,
    directory: DataDirectory,
    ended: Vec<String>,
    events: Option<mpsc::Receiver<ChildEnded>>,
    ready_timeout: Duration,
    program: PathBuf,
}

impl LocalMesh {
    /// Checks everything, makes certificates and configurations, and starts nothing yet.
    pub async fn prepare(options: LocalMeshOptions) -> Result<Self, LocalMeshError> {
        let directory = DataDirectory::open(&options.data_dir)?;
        let (layout, agents, ended) = match check(&options, &directory).await {
            Ok(checked) => checked,
            Err(error) => {
                directory.abandon();
                return Err(error);
            }
        };

        directory.write_files(&layout, &agents)?;
        let spawner =
            Spawner::start().map_err(LocalMeshError::io("start a thread for", &directory.path))?;
        let (sender, events) = mpsc::channel(EVENTS);
        let child = |agent: &LocalAgent| {
            let program = match options.launchers.get(&agent.id.region) {
                Some(launcher) => options.program.behind(launcher),
                None => options.program.clone(),
            };

            ChildHandle::new(
                agent.clone(),
                program,
                options.restart,
                spawner.clone(),
                sender.clone(),
            )
        };

        let children = agents.iter().map(child).collect();
        let ready_timeout = options.ready_timeout;
        let program = options.program.executable;

        Ok(Self {
            layout,
            agents,
            children,
            directory,
            ended,
            events: Some(events),
            ready_timeout,
            program,
        })
    }

    /// Starts every agent and waits until all are ready. On failure everything is stopped again.
    pub async fn start(&self) -> Result<(), LocalMeshError> {
        let result = self.start_all().await;
        if result.is_err() {
            self.stop().await;
        }
        result
    }

    async fn start_all(&self) -> Result<(), LocalMeshError> {
        for started in join_all(self.children.iter().map(ChildHandle::start)).await {
            started?;
        }

        let deadline = Instant::now() + self.ready_timeout;
        let ready = join_all(
            self.agents
                .iter()
                .map(|agent| self.wait_until_ready(&agent.id, deadline)),
        )
        .await;

        // An agent that ended explains why others are not ready: its error comes first.
        let (ended, others): (Vec<_>, Vec<_>) = ready
            .into_iter()
            .partition(|result| matches!(result, Err(LocalMeshError::Ended(_))));
        ended.into_iter().chain(others).collect()
    }

    /// Waits until a started agent is ready; fails as soon as its process ends.
    pub async fn wait_until_ready(
        &self,
        id: &AgentId,
        deadline: Instant,
    ) -> Result<(), LocalMeshError> {
        let (agent, child) = self.find(id)?;
        let begin = Instant::now();
        loop {
            let last = match ready::ask(agent.api()).await {
                Ok(()) => return Ok(()),
                Err(last) => last,
            };
            let trouble = |why| {
                let log = agent.log_file.clone();
                Box::new(Trouble {
                    agent: id.clone(),
                    why,
                    tail: tail(&log),
                    log,
                })
            };

            match child.state() {
                ChildState::Running { .. } => {}
                ChildState::Ended { status } => return Err(LocalMeshError::Ended(trouble(status))),
                ChildState::Stopped => {
                    return Err(LocalMeshError::Ended(trouble("stopped on request".into())));
                }
            }

            if Instant::now() >= deadline {
                let why = format!("{last}, after {} s", begin.elapsed().as_secs());
                return Err(LocalMeshError::NotReady(trouble(why)));
            }

            sleep(READY_POLL_INTERVAL).await;
        }
    }

    /// Ends an agent with SIGKILL; it stays down until [`LocalMesh::start_agent`].
    pub async fn kill(&self, id: &AgentId) -> Result<(), LocalMeshError> {
        self.find(id)?.1.kill().await;
        Ok(())
    }

    /// Starts an agent that is down; does not wait until it is ready.
    pub async fn start_agent(&self, id: &AgentId) -> Result<u32, LocalMeshError> {
        self.find(id)?.1.start().await
    }

    /// Ends all agents gracefully, those that don't end in five seconds by force.
    pub async fn stop(&self) {
        join_all(self.children.iter().map(ChildHandle::stop)).await;
    }

    /// Every agent and its addresses, region by region.
    pub fn agents(&self) -> &[LocalAgent] {
        &self.agents
    }

    /// How an agent's process is.
    pub fn state(&self, id: &AgentId) -> Result<ChildState, LocalMeshError> {
        Ok(self.find(id)?.1.state())
    }

    /// The mesh as a whole: names, paths.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Whether the data directory held a mesh before.
    pub fn is_continued(&self) -> bool {
        self.directory.manifest.is_some()
    }

    /// Agents of an earlier run that had to be ended first.
    pub fn leftovers(&self) -> &[String] {
        &self.ended
    }

    /// The program that its agents run.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Where the CLI reads how to reach this mesh.
    pub fn client_file(&self) -> PathBuf {
        self.directory.client_file()
    }

    /// Unexpected ends of processes; only the first call returns the receiver.
    pub fn events(&mut self) -> Option<mpsc::Receiver<ChildEnded>> {
        self.events.take()
    }

    /// A front door to this mesh.
    pub fn front_door(
        &self,
        listen: Vec<SocketAddr>,
        metrics: FrontDoorMetrics,
    ) -> FrontDoorArguments {
        FrontDoorArguments {
            listen,
            service: self.layout.service(),
            name_servers: self.agents.iter().map(LocalAgent::dns).collect(),
            port: self.layout.ports.serving,
            hold: HOLD_TIMEOUT,
            metrics,
        }
    }

    fn find(&self, id: &AgentId) -> Result<(&LocalAgent, &ChildHandle), LocalMeshError> {
        let mut pairs = self.agents.iter().zip(&self.children);
        pairs
            .find(|(agent, _)| agent.id == *id)
            .ok_or_else(|| LocalMeshError::NoSuchAgent(id.clone()))
    }
}

/// Everything that can be refused before anything is written. Also the agents of an earlier run
/// that had to be ended.
async fn check(
    options: &LocalMeshOptions,
    directory: &DataDirectory,
) -> Result<(Layout, Vec<LocalAgent>, Vec<String>), LocalMeshError> {
    let layout = layout(options, directory)?;
    let faults = layout.faults();
    if !faults.is_empty() {
        return Err(LocalMeshError::Options(faults.join("\n")));
    }
    directory.check(&layout)?;

    let agents = layout
        .agents()
        .map_err(|error| LocalMeshError::Options(error.to_string()))?;
    let ended = checks::end_leftovers(&directory.path).await?;
    let is_local = |agent: &&LocalAgent| !options.launchers.contains_key(&agent.id.region);
    let local: Vec<LocalAgent> = agents.iter().filter(is_local).cloned().collect();

    checks::addresses(&local, &options.front_door)?;
    Ok((layout, agents, ended))
}

/// The options, completed by what the data directory holds.
fn layout(options: &LocalMeshOptions, directory: &DataDirectory) -> Result<Layout, LocalMeshError> {
    let invalid = |error: IdentityError| LocalMeshError::Options(error.to_string());
    let held = directory.manifest.as_ref();
    let regions = match (&options.regions, held) {
        (Some(regions), _) => regions.clone(),
        (None, Some(held)) => held.regions.clone(),
        (None, None) => default_regions().map_err(invalid)?,
    };
    let domain = match (&options.domain, held) {
        (Some(domain), _) => domain.clone(),
        (None, Some(held)) => held.domain.clone(),
        (None, None) => MeshName::new("regionmesh.test").map_err(invalid)?,
    };

    Ok(Layout {
        domain,
        regions,
        agents_per_region: options
            .agents_per_region
            .or(held.map(|held| held.agents_per_region))
            .unwrap_or(1),
        data_dir: directory.path.clone(),
        strategy: options.strategy,
        recovery: options.recovery.clone(),
        ports: options.ports,
        settings: options.settings.clone(),
        base: options.base,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;
