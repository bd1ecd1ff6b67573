//! A mesh of real agents for one test, one process each.

use crate::{
    api::{self, Api},
    command::{COMMAND_TIMEOUT, CommandOutput, binary, output_of, regionmesh},
    loopback::Loopback,
    namespaces::{self, Network},
    wait::seconds,
};
use regionmesh::{
    config::Config,
    local_mesh::{
        LocalMesh, LocalMeshOptions,
        children::{ChildState, Program, Restart, tail},
        layout::{LocalAgent, fast_recovery},
        measure,
    },
};
use std::{ffi::OsString, net::IpAddr, ops::Deref, time::Duration};
use tempfile::TempDir;
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::Instant,
};

/// The name that users resolve.
pub const SERVICE: &str = "serving.regionmesh.test";
/// Concurrent meshes in one test program: more would starve each other on two cores.
static PLACES: Semaphore = Semaphore::const_new(2);

/// The options of a test's mesh.
#[derive(Default)]
pub struct Setup<'a> {
    /// What to change in every agent's configuration.
    pub adjust: Option<fn(&mut Config)>,
    /// Agents of each region; 0: one.
    pub agents_per_region: u8,
    /// One namespace per region instead of loopback addresses.
    pub network: Option<&'a Network>,
    /// Variables of every agent's environment, in addition to those of this program.
    pub environment: &'a [(&'a str, &'a str)],
    /// Variables of the agents of one region: its index, name and value.
    pub region_environment: &'a [(usize, &'a str, &'a str)],
    /// The regions; empty: the three of `regionmesh up`.
    pub regions: &'a [&'a str],
}

/// A running mesh; ends with the value. Agents that die stay dead until started again.
pub struct TestMesh {
    mesh: LocalMesh,
    token: String,
    directory: TempDir,
    _place: SemaphorePermit<'static>,
}

impl Deref for TestMesh {
    type Target = LocalMesh;

    fn deref(&self) -> &LocalMesh {
        &self.mesh
    }
}

/// How an agent is run; its configuration's path comes last.
fn program(environment: &[(&str, &str)]) -> Program {
    let agent = ["agent", "--config"].map(OsString::from);
    if environment.is_empty() {
        return Program {
            executable: binary(),
            arguments: agent.to_vec(),
        };
    }

    // env runs the agent in its own place, under its own process id.
    let variables = environment
        .iter()
        .map(|(name, value)| OsString::from(format!("{name}={value}")));
    let arguments = variables.chain([binary().into()]).chain(agent).collect();

    Program {
        executable: "/usr/bin/env".into(),
        arguments,
    }
}

impl TestMesh {
    /// Three regions of one agent each.
    pub async fn start() -> Self {
        Self::start_with(Setup::default()).await
    }

    /// A mesh as `setup` describes it, ready.
    pub async fn start_with(setup: Setup<'_>) -> Self {
        let mesh = Self::prepare(setup).await;
        mesh.start().await.unwrap_or_else(|error| panic!("{error}"));
        mesh
    }

    /// A mesh as `setup` describes it, not started yet.
    pub async fn prepare(setup: Setup<'_>) -> Self {
        let place = PLACES.acquire().await.expect("never closed");
        // The provider of TLS, before anything makes an HTTP client.
        drop(api::client());

        let directory = tempfile::Builder::new()
            .prefix("regionmesh-e2e-")
            .tempdir()
            .expect("a temporary directory");
        let mut options = LocalMeshOptions::new(directory.path().join("mesh")).expect("options");
        let regions = match setup.regions {
            [] => regionmesh::local_mesh::default_regions().expect("regions"),
            names => names
                .iter()
                .map(|name| name.parse().expect("a region's name"))
                .collect(),
        };

        options.regions = Some(regions.clone());
        options.program = program(setup.environment);
        options.restart = Restart::Never;
        options.recovery = fast_recovery();
        options.agents_per_region = Some(setup.agents_per_region.max(1));
        options.base = match setup.network {
            Some(_) => namespaces::address(0),
            None => Loopback::reserve().at(11),
        };

        if let Some(network) = setup.network {
            let launchers = regions.iter().enumerate().map(|(index, region)| {
                (
                    region.clone(),
                    network
                        .launcher(index)
                        .into_iter()
                        .map(OsString::from)
                        .collect(),
                )
            });

            options.launchers = launchers.collect();
        }

        for (index, name, value) in setup.region_environment {
            let launcher = options
                .launchers
                .entry(regions[*index].clone())
                .or_insert_with(|| vec!["/usr/bin/env".into()]);
            launcher.push(format!("{name}={value}").into());
        }

        let mesh = LocalMesh::prepare(options)
            .await
            .unwrap_or_else(|error| panic!("{error}"));
        let token = std::fs::read_to_string(mesh.layout().token_file())
            .expect("a token")
            .trim()
            .to_owned();
        let mesh = Self {
            mesh,
            token,
            directory,
            _place: place,
        };

        if let Some(adjust) = setup.adjust {
            mesh.configure(adjust);
        }
        mesh
    }

    /// Changes every agent's configuration, before anything is started.
    pub fn configure(&self, change: impl Fn(&mut Config)) {
        for agent in self.mesh.agents() {
            let mut config =
                Config::load(&agent.config_file()).expect("a configuration just written");
            change(&mut config);
            std::fs::write(agent.config_file(), toml::to_string(&config).expect("TOML"))
                .expect("a file");
        }
    }

    /// The first agent of region `index`.
    pub fn agent(&self, index: usize) -> &LocalAgent {
        let per_region = self.agents().len() / self.layout().regions.len();
        &self.agents()[index * per_region]
    }

    /// Region `index`'s name.
    pub fn region(&self, index: usize) -> &str {
        self.layout().regions[index].as_str()
    }

    /// The first agent of region `index`, over HTTP.
    pub fn api(&self, index: usize) -> Api {
        self.api_of(self.agent(index))
    }

    /// Any agent, over HTTP.
    pub fn api_of(&self, agent: &LocalAgent) -> Api {
        Api::new(agent, Some(self.token.clone()))
    }

    /// The bearer token that changes need.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Runs a command of the program against this mesh, with its token; standard input is closed.
    pub async fn cli(&self, arguments: &[&str]) -> CommandOutput {
        let agents: Vec<String> = self.agents().iter().map(LocalAgent::api_url).collect();
        let mut command = regionmesh(arguments);
        command
            .current_dir(self.directory.path())
            .env("REGIONMESH_AGENT", agents.join(","))
            .env("REGIONMESH_TOKEN_FILE", self.layout().token_file())
            // There is no terminal here, so that orders need a name.
            .env("REGIONMESH_BY", "tests");

        output_of(&mut command, COMMAND_TIMEOUT).await
    }

    /// Runs a command of the program against the first agent of region `asked` only.
    pub async fn cli_at(&self, asked: usize, arguments: &[&str]) -> CommandOutput {
        let agent = self.agent(asked).api_url();
        self.cli(&[arguments, &["--agent", &agent]].concat()).await
    }

    /// Every region's index except `index`.
    pub fn others(&self, index: usize) -> Vec<usize> {
        (0..self.layout().regions.len())
            .filter(|other| *other != index)
            .collect()
    }

    /// What the DNS of region `index`'s first agent answers for the service now.
    pub async fn resolve(&self, index: usize) -> Result<Vec<IpAddr>, String> {
        measure::resolve(self.agent(index).dns(), SERVICE, Duration::from_secs(2)).await
    }

    /// Ends the first agent of region `index` with SIGKILL.
    pub async fn kill_region(&self, index: usize) {
        self.kill(&self.agent(index).id)
            .await
            .expect("an agent of this mesh");
    }

    /// Starts it again and waits until it is ready.
    pub async fn revive(&self, index: usize) {
        let id = &self.agent(index).id;
        self.start_agent(id)
            .await
            .unwrap_or_else(|error| panic!("{error}"));

        let deadline = Instant::now() + seconds(30);
        self.wait_until_ready(id, deadline)
            .await
            .unwrap_or_else(|error| panic!("{error}"));
    }

    /// Fails unless every agent's process runs.
    pub fn assert_all_run(&self) {
        for agent in self.agents() {
            let state = self.state(&agent.id).expect("an agent of this mesh");
            let log = tail(&agent.log_file);
            assert!(
                matches!(state, ChildState::Running { .. }),
                "{} is {state:?}:\n{log}",
                agent.id
            );
        }
    }
}

impl Drop for TestMesh {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.directory.disable_cleanup(true);
            eprintln!(
                "the mesh's directory was not removed: {}",
                self.directory.path().display()
            );

            for agent in self.mesh.agents() {
                eprintln!(
                    "-- the last lines of {}:\n{}",
                    agent.id,
                    tail(&agent.log_file)
                );
            }
        }
    }
}
