//! The tree of commands.

use super::{
    agent, alerts, ca, common, completions, cost, dns, events, failover, front_door, models,
    optimizer, reference, serve, status, up, version,
};
use clap::{CommandFactory, Parser, Subcommand};
use regionmesh_runtime::listener;
use std::process::ExitCode;

const EXIT_CODES: &str =
    "Exit codes: 0 done, 1 failed, 2 bad usage or bad configuration, 3 the mesh can't do it now.";

/// Serve ML models from several regions and clouds, without a central coordinator.
#[derive(Debug, Parser)]
#[command(
    name = "regionmesh",
    version = regionmesh::VERSION,
    arg_required_else_help = true,
    after_help = EXIT_CODES
)]
pub(super) struct CommandLine {
    #[command(flatten)]
    pub(super) common: common::Common,
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    Up(up::UpCommand),
    Status(status::StatusCommand),
    Models(models::ModelsCommand),
    Dns(dns::DnsCommand),
    Failover(failover::FailoverCommand),
    Events(events::EventsCommand),
    Alerts(alerts::AlertsCommand),
    Cost(cost::CostCommand),
    Optimizer(optimizer::OptimizerCommand),
    Agent(agent::AgentCommand),
    Serve(serve::ServeCommand),
    FrontDoor(front_door::FrontDoorCommand),
    Ca(ca::CaCommand),
    Version(version::VersionCommand),
    Completions(completions::CompletionsCommand),
    #[command(hide = true)]
    Docs(reference::DocsCommand),
}

impl Command {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let listens = matches!(
            self,
            Self::Up(_) | Self::Agent(_) | Self::Serve(_) | Self::FrontDoor(_)
        );

        if let Some(Err(error)) = listens.then(listener::raise_file_limit) {
            eprintln!("warning: the limit of open files can't be raised: {error}");
        }

        match self {
            Self::Up(command) => command.run().await,
            Self::Status(command) => command.run().await,
            Self::Models(command) => command.run().await,
            Self::Dns(command) => command.run().await,
            Self::Failover(command) => command.run().await,
            Self::Events(command) => command.run().await,
            Self::Alerts(command) => command.run().await,
            Self::Cost(command) => command.run().await,
            Self::Optimizer(command) => command.run().await,
            Self::Agent(command) => command.run().await,
            Self::Serve(command) => command.run().await,
            Self::FrontDoor(command) => command.run().await,
            Self::Ca(command) => command.run().await,
            Self::Version(command) => command.run().await,
            Self::Completions(command) => command.run(tree()),
            Self::Docs(command) => command.run(&tree()),
        }
    }
}

/// The command line as clap parses it; the long help of every command lists the exit codes.
pub(super) fn tree() -> clap::Command {
    fn documented(command: clap::Command) -> clap::Command {
        command
            .after_long_help(EXIT_CODES)
            .mut_subcommands(documented)
    }

    CommandLine::command().mut_subcommands(documented)
}
