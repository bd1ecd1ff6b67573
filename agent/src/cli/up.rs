//! `regionmesh up`: a whole mesh on this machine, one child process per agent, and a front door on
//! localhost.

mod demo;
mod signals;
mod table;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;

use super::connect::{DATA_DIRECTORY, DATA_DIRECTORY_VARIABLE};
use anyhow::Context;
use regionmesh::{
    front_door::{FrontDoor, FrontDoorMetrics},
    local_mesh::{
        LocalMesh, LocalMeshError, LocalMeshOptions,
        children::{self, ChildEnded, ChildState},
        layout,
        publish::{self, ModelToPublish},
        settings,
    },
};
use regionmesh_core::{planning::Strategy, recovery::ramp::RecoveryPolicy};
use regionmesh_protocol::identity::{MeshName, RegionName};
use signals::StopSignals;
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    process::ExitCode,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Run a whole mesh on this machine: one process per agent, each region on its own loopback
/// address, and a front door that uses the mesh's DNS. State is kept between runs.
#[derive(Debug, clap::Args)]
pub(super) struct UpCommand {
    /// Regions, separated by commas [default: those of the data directory, else
    /// us-west-2,eu-west-1,ap-south-1]
    #[arg(long, value_delimiter = ',', value_name = "REGION")]
    regions: Option<Vec<RegionName>>,
    /// Agents of each region [default: as in the data directory, else 1]
    #[arg(long, value_name = "N")]
    agents_per_region: Option<u8>,
    /// Where all state lives: certificates, stores, logs [default: .regionmesh; with --demo a
    /// directory of its own]
    // Has the id of the global option, which it replaces here.
    #[arg(long, value_name = "DIR", env = DATA_DIRECTORY_VARIABLE)]
    data_dir: Option<PathBuf>,
    /// Publish this directory or file as version 1 of the model once the mesh is ready; may be
    /// repeated
    #[arg(long = "model", value_name = "NAME=PATH")]
    models: Vec<ModelToPublish>,
    /// Do not publish the sample model `iris` at the first start (it is not published with --model
    /// either)
    #[arg(long)]
    no_sample: bool,
    /// How traffic is shared between healthy regions
    #[arg(long, value_enum, default_value_t = StrategyOption::Weighted)]
    strategy: StrategyOption,
    /// The mesh's name and DNS zone [default: that of the data directory, else regionmesh.test]
    #[arg(long, value_name = "DOMAIN")]
    domain: Option<MeshName>,
    /// Where the front door listens, host:port
    #[arg(long, value_name = "ADDRESS", default_value = "localhost:8080")]
    front_door: String,
    /// How fast a region that failed gets its traffic back
    #[arg(long, value_enum, default_value_t)]
    recovery: RecoveryOption,
    /// As --recovery fast; for earlier versions
    #[arg(long, hide = true, conflicts_with = "recovery")]
    fast_recovery: bool,
    /// Settings to add to every agent's configuration, TOML: `cost`, `alerts`, `regions` by name,
    /// and so on
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    /// Loopback address of the first region's first agent, in 127.0.0.0/8; the others get the
    /// addresses after it
    #[arg(
        long,
        value_name = "IPV4",
        default_value_t = layout::FIRST_ADDRESS,
        value_parser = loopback
    )]
    base: Ipv4Addr,
    /// Run a self-checking demo (publish, serve, kill a region, recover), then exit. Exit code 0
    /// means that every step passed and no request failed. Needs at least 2 regions
    #[arg(
        long,
        conflicts_with_all = [
            "models",
            "no_sample",
            "strategy",
            "recovery",
            "fast_recovery",
            "agents_per_region",
        ]
    )]
    demo: bool,
}

/// [`Strategy`] as an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum StrategyOption {
    /// All regions, by weight
    Weighted,
    /// One region, the others in reserve in the order of --regions
    ActivePassive,
}

/// [`RecoveryPolicy`] as an option.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
enum RecoveryOption {
    /// Within about ten seconds, so that it can be watched
    #[default]
    Fast,
    /// As in production: a cool-down of 5 minutes, then 35 minutes step by step
    Production,
}

fn loopback(text: &str) -> Result<Ipv4Addr, String> {
    let address: Ipv4Addr = text
        .parse()
        .map_err(|_| format!("{text:?} is not an IPv4 address"))?;
    if address.is_loopback() {
        Ok(address)
    } else {
        Err(format!(
            "{address} is not a loopback address; use one in 127.0.0.0/8"
        ))
    }
}

impl UpCommand {
    /// Runs until Ctrl-C or SIGTERM; then stops everything and exits with 0.
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let mut stop = StopSignals::new().context("signals can't be received")?;
        for model in &self.models {
            model.check()?;
        }
        if self.demo {
            return self.demonstrate(&mut stop).await;
        }

        let options = self
            .options(
                self.data_dir
                    .clone()
                    .unwrap_or_else(|| DATA_DIRECTORY.into()),
            )
            .await?;
        let front_door = options.front_door.clone();
        let mut mesh = LocalMesh::prepare(options).await?;

        for leftover in mesh.leftovers() {
            eprintln!("Ended an agent that an earlier run left behind: {leftover}");
        }

        let doing = if mesh.is_continued() {
            "Continuing"
        } else {
            "Starting"
        };

        println!(
            "{doing} a mesh of {} agents in {} ...",
            mesh.agents().len(),
            mesh.layout().data_dir.display()
        );

        // Not scraped: the summary is printed at the end.
        let metrics = FrontDoorMetrics::new(&regionmesh_runtime::metrics::Registry::new())?;
        let result = tokio::select! {
            result = self.serve(&mut mesh, front_door, metrics.clone()) => result,
            () = stop.received() => Ok(ExitCode::SUCCESS),
        };

        println!("Stopping ...");
        mesh.stop().await;
        if let Some(summary) = metrics.summary() {
            println!("Requests through the front door: {summary}");
        }

        result
    }

    /// The guided tour. With a temporary directory it leaves nothing behind, unless a step failed.
    async fn demonstrate(&self, stop: &mut StopSignals) -> anyhow::Result<ExitCode> {
        if let Some(regions) = &self.regions {
            demo::check(regions.len())?;
        }

        // The environment variable names the mesh that other commands use; the tour must not break
        // that one.
        let is_variable = |dir: &&PathBuf| {
            std::env::var_os(DATA_DIRECTORY_VARIABLE)
                .is_some_and(|variable| dir.as_os_str() == variable)
        };
        let given = self
            .data_dir
            .as_ref()
            .filter(|dir| !is_variable(dir))
            .cloned();

        let own = match &given {
            Some(_) => None,
            None => Some(
                tempfile::Builder::new()
                    .prefix("regionmesh-demo-")
                    .tempdir()?,
            ),
        };
        let directory = given.or_else(|| own.as_ref().map(|own| own.path().to_owned()));
        let outcome = self.tour(directory.unwrap_or_default(), stop).await;

        if let Some(own) = own {
            demo::clean_up(own, &outcome)?;
        }
        outcome
    }

    async fn tour(&self, data_dir: PathBuf, stop: &mut StopSignals) -> anyhow::Result<ExitCode> {
        let options = LocalMeshOptions {
            // One region serves all users, so that its loss affects them all. The tour restarts
            // what it killed.
            strategy: Strategy::ActivePassive,
            recovery: layout::fast_recovery(),
            restart: children::Restart::Never,
            ..self.options(data_dir).await?
        };
        let front_door = options.front_door.clone();
        let mesh = LocalMesh::prepare(options).await?;

        demo::check(mesh.layout().regions.len())?;
        let outcome = tokio::select! {
            outcome = demo::run(&mesh, front_door) => outcome,
            () = stop.received() => Err(anyhow::anyhow!("interrupted")),
        };

        mesh.stop().await;
        outcome
    }

    /// Everything between preparation and the signal to stop. Returns only if something fails.
    async fn serve(
        &self,
        mesh: &mut LocalMesh,
        front_door: Vec<SocketAddr>,
        metrics: FrontDoorMetrics,
    ) -> anyhow::Result<ExitCode> {
        mesh.start().await?;
        let door = FrontDoor::bind(mesh.front_door(front_door, metrics)).await?;
        let listens = door.local_addrs();
        let closing = CancellationToken::new();
        let _close = closing.clone().drop_guard();

        tokio::spawn(door.serve(closing));
        for model in &self.models {
            publish::publish(mesh, model).await?;
            println!(
                "Published {} version 1 from {}",
                model.name,
                model.path.display()
            );
        }

        let has_sample = self.publish_sample(mesh).await;
        let pids: Vec<Option<u32>> = mesh.agents().iter().map(|agent| pid(mesh, agent)).collect();
        println!("\n{}", table::agents(mesh.agents(), &pids));

        let program = std::env::args()
            .next()
            .unwrap_or_else(|| "regionmesh".into());
        let options = self
            .data_dir
            .as_ref()
            .map(|dir| format!(" --data-dir {}", dir.display()))
            .unwrap_or_default();
        let layout = mesh.layout();
        let agents = mesh.agents();
        let client_file = mesh.client_file();

        let steps = table::NextSteps {
            layout,
            agents,
            pids: &pids,
            front_door: &listens,
            client_file: &client_file,
            program: &program,
            options: &options,
            has_sample,
        };

        println!("{}", steps.render());
        let mut events = mesh.events();
        while let Some(event) = next(&mut events).await {
            report(mesh, &event);
        }

        std::future::pending().await
    }

    /// Publishes the sample model at the first start, if no other model is given. Returns whether
    /// it is published.
    async fn publish_sample(&self, mesh: &LocalMesh) -> bool {
        if self.no_sample || mesh.is_continued() || !self.models.is_empty() {
            return false;
        }

        match publish::sample(mesh).await {
            Ok(()) => {
                println!(
                    "Published the sample model {} and promoted its version 1 to production",
                    publish::SAMPLE
                );
                true
            }
            Err(why) => {
                eprintln!(
                    "warning: the sample model {} was not published: {why}",
                    publish::SAMPLE
                );
                false
            }
        }
    }

    async fn options(&self, data_dir: PathBuf) -> anyhow::Result<LocalMeshOptions> {
        let mut options =
            LocalMeshOptions::new(data_dir).context("this program's own file can't be found")?;
        options.regions.clone_from(&self.regions);
        options.agents_per_region = self.agents_per_region;
        options.domain.clone_from(&self.domain);
        options.strategy = match self.strategy {
            StrategyOption::Weighted => Strategy::Weighted,
            StrategyOption::ActivePassive => Strategy::ActivePassive,
        };

        options.recovery = match self.recovery {
            RecoveryOption::Fast => layout::fast_recovery(),
            RecoveryOption::Production => RecoveryPolicy::default(),
        };

        if let Some(path) = &self.settings {
            options.settings = settings::read(path)?;
        }
        options.base = self.base;
        options.front_door = front_door_addresses(&self.front_door).await?;
        Ok(options)
    }
}

async fn next(events: &mut Option<mpsc::Receiver<ChildEnded>>) -> Option<ChildEnded> {
    events.as_mut()?.recv().await
}

fn pid(mesh: &LocalMesh, agent: &layout::LocalAgent) -> Option<u32> {
    match mesh.state(&agent.id) {
        Ok(ChildState::Running { pid }) => Some(pid),
        _ => None,
    }
}

fn report(mesh: &LocalMesh, event: &ChildEnded) {
    let ChildEnded {
        agent,
        pid,
        status,
        restart_in,
    } = event;

    let next = restart_in.map_or_else(
        || "stays down".into(),
        |pause| format!("starts again in {} s", pause.as_secs()),
    );
    let log = mesh
        .agents()
        .iter()
        .find(|known| known.id == *agent)
        .map(|known| known.log_file.display().to_string());

    eprintln!(
        "{agent} (pid {pid}) ended: {status}; it {next}. Its log: {}",
        log.unwrap_or_default()
    );
}

/// `localhost` means both of its addresses; anything else is resolved.
async fn front_door_addresses(text: &str) -> Result<Vec<SocketAddr>, LocalMeshError> {
    let wrong = |why: String| {
        LocalMeshError::Options(format!("--front-door: {text:?} is not host:port ({why})"))
    };
    let (host, port) = text
        .rsplit_once(':')
        .ok_or_else(|| wrong("no colon".into()))?;
    let port: u16 = port
        .parse()
        .map_err(|_| wrong(format!("{port:?} is not a port")))?;

    if host == "localhost" {
        return Ok([
            IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(Ipv6Addr::LOCALHOST),
        ]
        .map(|ip| SocketAddr::new(ip, port))
        .to_vec());
    }

    let found: Vec<SocketAddr> = tokio::net::lookup_host(text)
        .await
        .map_err(|error| wrong(error.to_string()))?
        .collect();

    if found.is_empty() {
        Err(wrong("it has no address".into()))
    } else {
        Ok(found)
    }
}
