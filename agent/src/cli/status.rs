//! `regionmesh status`: the whole mesh, from any agent.

mod render;
mod watch;

use super::common::Common;
use anyhow::Result;
use regionmesh_client::Status;
use std::process::ExitCode;

pub(super) use render::render;
pub(in crate::cli) use render::{frozen, suspended};

/// Show regions, verdicts, shares of traffic, agents, models and the leader
#[derive(Debug, clap::Args)]
pub(super) struct StatusCommand {
    /// Refresh every second until Ctrl-C, even while agents are unreachable
    #[arg(long, short)]
    watch: bool,
    #[command(flatten)]
    common: Common,
}

impl StatusCommand {
    /// Runs the command.
    pub(super) async fn run(self) -> Result<ExitCode> {
        let client = self.common.client.connect()?;
        if self.watch {
            return watch::run(&client, self.common.output.format()).await;
        }

        let status: Status = client.get(watch::PATH).await?;
        self.common.print(&status, |paint| render(&status, paint))
    }
}
