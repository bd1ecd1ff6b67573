//! `regionmesh agent`: one agent, until it is stopped.

use super::duration;
use anyhow::Result;
use regionmesh::{agent::Agent, config::Config};
use regionmesh_runtime::logging;
use std::{path::PathBuf, process::ExitCode, time::Duration};
use tokio::signal::unix::{SignalKind, signal};

/// Run one agent of a mesh. SIGHUP reloads the configuration, SIGTERM drains and stops.
#[derive(Debug, clap::Args)]
pub(super) struct AgentCommand {
    /// The configuration, TOML; docs/reference/settings.md lists all settings.
    #[arg(long)]
    config: PathBuf,
    /// Validate the configuration, report every error, and exit.
    #[arg(long)]
    check: bool,
    /// Drain for this long on SIGTERM before exiting, for example 10s.
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, default_value = "0s")]
    drain: Duration,
    /// As --drain, in whole seconds; for earlier versions.
    #[arg(long, value_name = "SECONDS", hide = true, conflicts_with = "drain")]
    drain_seconds: Option<u64>,
}

impl AgentCommand {
    /// Runs the command.
    pub(super) async fn run(self) -> Result<ExitCode> {
        // First, so that signals which arrive during the start are not lost.
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut hangup = signal(SignalKind::hangup())?;
        let config = Config::load(&self.config)?;
        let drain = self.drain_seconds.map_or(self.drain, Duration::from_secs);

        if self.check {
            println!(
                "{}: configuration is valid (agent {})",
                self.config.display(),
                config.id()
            );

            return Ok(ExitCode::SUCCESS);
        }

        logging::init(&config.log)?;
        tracing::info!(
            version = regionmesh::VERSION,
            agent = %config.id(),
            mesh = %config.mesh,
            "starting"
        );

        let agent = Agent::start(config).await?;
        let wait = loop {
            tokio::select! {
                _ = terminate.recv() => break drain,
                _ = interrupt.recv() => break Duration::ZERO,
                _ = hangup.recv() => agent.reload(&self.config).await,
            }
        };

        tracing::info!(drain_s = wait.as_secs(), "stopping");
        // Without time for traffic to move there is no drain: a drain outlives the agent in the
        // plan, and the region would have to ramp up from zero afterwards.
        if !wait.is_zero() {
            agent.drain();
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                _ = interrupt.recv() => {}
            }
        }

        agent.stop().await;
        Ok(ExitCode::SUCCESS)
    }
}
